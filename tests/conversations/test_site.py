from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from anycore.conversations.base import NO_JOBS, Job
from anycore.conversations.exchange import Exchange
from anycore.wire.http1 import encode_request

Begin = Callable[..., Any]
JSON = b'{"jsonrpc":"2.0","method":"kit.add","params":[1,2],"id":1}'
XML = (
    b"<methodCall><methodName>kit.add</methodName><params><param><value><int>1</int></value></param>"
    b"<param><value><int>2</int></value></param></params></methodCall>"
)
XML_TYPES = ["text/xml", "application/xml"]
JSON_TYPES = ["application/json", "text/json", "application/json-rpc", "application/jsonrequest"]


class Hello:
    """A page that needs no job."""

    def open(self, exchange: Exchange) -> Sequence[Job]:
        exchange.reply(200, "hello\n")
        return NO_JOBS


def request(method: str, path: str, body: bytes = b"", host: str = "localhost", **headers: str) -> bytes:
    fields = [("Host", host), *((name.replace("_", "-"), value) for name, value in headers.items())]
    return encode_request(method, path, fields, body)


@pytest.mark.parametrize("path", ["/", "/RPC2", "/clarens/", "/RPC2?x=1", "/%52PC2"])
@pytest.mark.parametrize(("content_type", "body"), [(t, XML) for t in XML_TYPES] + [(t, JSON) for t in JSON_TYPES])
def test_the_content_type_says_which_wire(talk: Begin, path: str, content_type: str, body: bytes) -> None:
    (response,) = talk().ask(request("POST", path, body, Content_Type=f"{content_type.upper()}; charset=utf-8"))

    assert response.status == 200
    assert response.headers["content-type"] == ("text/xml" if body is XML else "application/json")


def test_one_path_takes_json_only(talk: Begin) -> None:
    peer = talk()
    (response,) = peer.ask(request("POST", "/jsonrpc", JSON, Content_Type="application/json"))
    assert response.status == 200
    (response,) = peer.ask(request("POST", "/jsonrpc", XML, Content_Type="text/xml"))
    assert response.status == 415
    assert response.headers["accept"] == ", ".join(JSON_TYPES)


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "", None]
)
def test_what_a_page_of_another_site_can_send_unasked_is_refused(
    talk: Begin, kit: Any, content_type: str | None
) -> None:
    """These are the content types that browsers send to other sites without a preflight (Fetch, section 2.2.2)."""
    peer = talk()
    headers = {} if content_type is None else {"Content_Type": content_type}
    (response,) = peer.ask(request("POST", "/", JSON, **headers))

    assert response.status == 415
    assert response.headers["accept"] == ", ".join(XML_TYPES + JSON_TYPES)
    assert repr(content_type or "").encode() in response.body
    assert peer.conversation.site.incidents.counts() == {"http-415": 1}


def test_a_preflight_is_answered_without_permission(talk: Begin) -> None:
    (response,) = talk().ask(
        request("OPTIONS", "/", Origin="https://example.org", Access_Control_Request_Method="POST")
    )

    assert response.status == 204
    assert not [name for name in response.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/", 200, None),
        ("HEAD", "/", 200, None),
        ("GET", "/page", 200, None),
        ("GET", "/RPC2", 405, "POST, OPTIONS"),
        ("HEAD", "/jsonrpc", 405, "POST, OPTIONS"),
        ("PUT", "/", 405, "GET, HEAD, POST, OPTIONS"),
        ("DELETE", "/page", 405, "GET, HEAD, OPTIONS"),
        ("POST", "/page", 405, "GET, HEAD, OPTIONS"),
        ("TRACE", "/", 405, "GET, HEAD, POST, OPTIONS"),
        ("OPTIONS", "/", 204, "GET, HEAD, POST, OPTIONS"),
        ("OPTIONS", "/page", 204, "GET, HEAD, OPTIONS"),
        ("OPTIONS", "/RPC2", 204, "POST, OPTIONS"),
        ("OPTIONS", "*", 204, "GET, HEAD, POST, OPTIONS"),
        ("GET", "/missing", 404, None),
        ("POST", "/missing", 404, None),
        ("OPTIONS", "/missing", 404, None),
        ("GET", "/RPC2/", 404, None),
    ],
)
def test_routes(talk: Begin, method: str, path: str, status: int, allow: str | None) -> None:
    peer = talk(pages={"/": Hello(), "/page": Hello()})
    (response,) = peer.ask(request(method, path))

    assert response.status == status
    assert response.headers.get("allow") == allow
    assert response.keep_alive
    assert sum(peer.conversation.site.incidents.counts().values()) == (status >= 400)


@pytest.mark.parametrize("path", ["/" + "x" * 5000, "/%C2%85line", "/%3Cscript%3E"])
def test_a_path_that_is_not_there_is_shown_harmlessly(talk: Begin, path: str) -> None:
    (response,) = talk().ask(request("GET", path))

    assert response.status == 404
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert len(response.body) < 300
    assert "\x85" not in response.body.decode()


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:6789", "127.0.0.1", "127.0.0.1:80", "[::1]", "[::1]:6789", "127.8.8.8", "10.0.0.7:1",
             "[2001:db8::1]:80", ""],
)  # fmt: skip
def test_this_machine_and_addresses_are_known_hosts(talk: Begin, host: str) -> None:
    (response,) = talk(pages={"/": Hello()}).ask(request("GET", "/", host=host))

    assert response.status == 200


@pytest.mark.parametrize(
    "host", ["attacker.example", "attacker.example:6789", "localhost.attacker.example", "127.0.0.1.attacker.example", "127.1"]
)  # fmt: skip
@pytest.mark.parametrize(("method", "path"), [("GET", "/"), ("POST", "/RPC2"), ("OPTIONS", "/")])
def test_a_name_that_somebody_else_pointed_here_is_refused(talk: Begin, method: str, path: str, host: str) -> None:
    peer = talk(pages={"/": Hello()})
    (response,) = peer.ask(request(method, path, host=host, Content_Type="application/json"))

    assert response.status == 421
    assert f"does not answer to the host {host!r}".encode() in response.body
    assert peer.conversation.site.incidents.counts() == {"http-421": 1}


def test_names_can_be_added_and_the_check_turned_off(talk: Begin) -> None:
    asked = request("GET", "/", host="Api.Example.org:80")
    other = request("GET", "/", host="other.example.org")

    (known, unknown) = talk(pages={"/": Hello()}, hosts=["API.example.org"]).ask(asked, other)
    assert (known.status, unknown.status) == (200, 421)
    (first, second) = talk(pages={"/": Hello()}, hosts=None).ask(asked, other)
    assert (first.status, second.status) == (200, 200)


def test_the_date_is_that_of_this_second(talk: Begin) -> None:
    site = talk().conversation.site
    site._date = (0, "Thu, 01 Jan 1970 00:00:00 GMT")
    found = parsedate_to_datetime(site.date())

    assert abs((found - datetime.now(UTC)).total_seconds()) < 5
    assert site.date().endswith(" GMT")


def test_what_was_noted_of_a_head_holds_for_that_head_alone(talk: Begin) -> None:
    """Requests with a head seen before go a short way, on which nobody looks for credentials, forwarding or the host again."""
    peer = talk()
    kernel = peer.conversation.site.handler.kernel
    seen: list[tuple[bool, str]] = []
    kernel.observers = (lambda call, _outcome, _ns: seen.append((call.peer.local, call.credentials.authorization)),)
    usual = {"Content_Type": "application/json"}
    for _ in range(4):
        (response,) = peer.ask(request("POST", "/", JSON, **usual))
        assert response.status == 200
    peer.ask(request("POST", "/", JSON, **usual, Authorization="Bearer x"))
    peer.ask(request("POST", "/", JSON, **usual, X_Forwarded_For="192.0.2.1"))
    peer.ask(request("POST", "/", JSON, **usual))
    assert seen[:4] == [(True, "")] * 4
    assert seen[4] == (True, "Bearer x")
    assert [local for local, _ in seen[5:]] == [False, True]
    (response,) = peer.ask(request("POST", "/", JSON, host="evil.example.org", **usual))
    assert response.status == 421
