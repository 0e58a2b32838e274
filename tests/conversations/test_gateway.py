"""Requests that another server has read: held to the rules of our own listeners."""

from __future__ import annotations

import gzip
import json

import pytest

from anycore import Peer, Plugin, exposed
from anycore.conversations.base import NO_JOBS
from anycore.conversations.gateway import Visit
from anycore.conversations.site import HttpSite, Limits
from anycore.kernel.kernel import Kernel
from anycore.kernel.registry import verify

PEER = Peer.of_address(("127.0.0.1", 4000))
CALL = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "echo.say", "params": ["hello"]}).encode()
HEADERS = [(b"host", b"localhost"), (b"content-type", b"application/json"), (b"content-length", b"%d" % len(CALL))]


class Echo(Plugin):
    @exposed
    def say(self, text: str) -> str:
        return text


@pytest.fixture
def site() -> HttpSite:
    kernel = Kernel()
    kernel.registry.commit([verify(Echo(), "here")])
    return HttpSite(kernel, limits=Limits(body=1000, line=200, headers=20))


def settle(visit: Visit) -> tuple[int, dict[str, str], bytes]:
    jobs = list(visit.open())
    while jobs:
        job = jobs.pop(0)
        job.run()
        jobs += visit.finish(job)
    assert visit.answered
    status, headers, body = visit.answer()
    return status, dict(headers), body


def ask(
    site: HttpSite,
    headers: list[tuple[bytes, bytes]] = HEADERS,
    body: bytes = CALL,
    *,
    method: str = "POST",
    target: bytes = b"/jsonrpc",
    version: str = "1.1",
    framed: bool = False,
) -> tuple[int, dict[str, str], bytes]:
    visit = Visit(site, PEER, method, target, headers, version=version, framed=framed)
    if body and visit.wants_body:
        for index in range(0, len(body), 50):
            visit.feed(body[index : index + 50])
    return settle(visit)


def with_(*more: tuple[bytes, bytes], without: bytes = b"") -> list[tuple[bytes, bytes]]:
    return [*(header for header in HEADERS if header[0] != without), *more]


def test_a_call_is_answered(site: HttpSite) -> None:
    status, headers, body = ask(site)
    assert (status, json.loads(body)["result"]) == (200, "hello")
    assert headers == {"Content-Type": "application/json", "Content-Length": str(len(body))}


def test_a_body_without_a_length_is_taken_to_its_end(site: HttpSite) -> None:
    chunked = with_((b"transfer-encoding", b"chunked"), without=b"content-length")
    assert ask(site, chunked)[0] == 200
    assert ask(site, with_(without=b"content-length"), framed=True)[0] == 200


@pytest.mark.parametrize(
    ("status", "headers", "options"),
    [
        (400, with_(without=b"host"), {}),
        (400, with_((b"host", b"other")), {}),
        (400, with_((b"x", b"y\r\nhost: other")), {}),
        (400, with_((b"x", b"y\x00z")), {}),
        (400, with_((b"content-length", b"5")), {}),
        (400, with_((b"transfer-encoding", b"chunked")), {}),
        (400, HEADERS, {"body": CALL[:-3]}),
        (400, HEADERS, {"target": b"/%zz"}),
        (405, HEADERS, {"method": "PUT"}),
        (411, with_(without=b"content-length"), {}),
        (413, [*with_(without=b"content-length"), (b"content-length", b"1001")], {"body": b"x" * 1001}),
        (413, with_((b"transfer-encoding", b"chunked"), without=b"content-length"), {"body": b"x" * 1001}),
        (413, with_((b"content-encoding", b"gzip"), (b"transfer-encoding", b"chunked"), without=b"content-length"),
         {"body": gzip.compress(b" " * 1001)}),
        (414, HEADERS, {"target": b"/" + b"x" * 200}),
        (415, with_((b"content-type", b"text/plain"), without=b"content-type"), {}),
        (415, with_((b"content-encoding", b"br")), {}),
        (417, with_((b"expect", b"miracles")), {}),
        (421, [(b"host", b"evil.example"), *HEADERS[1:]], {}),
        (431, with_((b"x", b"y" * 300)), {}),
        (431, with_(*[(b"x%d" % number, b"y") for number in range(20)]), {}),
        (501, HEADERS, {"method": "BREW"}),
    ],
)  # fmt: skip
def test_what_our_own_listeners_refuse_is_refused(
    site: HttpSite, status: int, headers: list[tuple[bytes, bytes]], options: dict
) -> None:
    assert ask(site, headers, **options)[0] == status


def test_older_peers_need_not_name_a_host(site: HttpSite) -> None:
    assert ask(site, with_(without=b"host"), version="1.0")[0] == 200


def test_a_body_that_is_too_large_is_not_kept(site: HttpSite) -> None:
    visit = Visit(site, PEER, "POST", b"/", with_((b"transfer-encoding", b"chunked"), without=b"content-length"))
    for _ in range(30):
        visit.feed(b"x" * 100)
    assert not visit.wants_body
    assert visit.last
    assert visit.answer()[0] == 413
    assert visit.open() is NO_JOBS


def test_a_longer_body_than_it_was_said_to_be_is_refused(site: HttpSite) -> None:
    visit = Visit(site, PEER, "POST", b"/jsonrpc", HEADERS)
    visit.feed(CALL + b"more")
    assert settle(visit)[0] == 400


def test_late_requests_and_late_answers_are_told_apart(site: HttpSite) -> None:
    visit = Visit(site, PEER, "POST", b"/jsonrpc", HEADERS)
    visit.time_out()
    assert visit.answer()[0] == 408
    visit = Visit(site, PEER, "POST", b"/jsonrpc", HEADERS)
    visit.feed(CALL)
    (job,) = visit.open()
    visit.time_out()
    assert visit.answer()[0] == 503
    job.run()
    visit.finish(job)
    assert visit.answer()[0] == 503
    assert site.incidents.counts() == {"http-408": 1, "http-slow": 1}


def test_a_question_about_the_head_has_no_body(site: HttpSite) -> None:
    status, headers, body = ask(site, HEADERS[:1], b"", method="OPTIONS", target=b"*")
    assert (status, body) == (204, b"")
    assert "Content-Length" not in headers
    status, headers, body = ask(site, HEADERS[:1], b"", method="GET", target=b"/nowhere")
    assert (status, int(headers["Content-Length"])) == (404, len(body))
    status, headers, nothing = ask(site, HEADERS[:1], b"", method="HEAD", target=b"/nowhere")
    assert (status, int(headers["Content-Length"]), nothing) == (404, len(body), b"")
