from __future__ import annotations

import itertools
import random
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anycore.conversations.base import Phase
from anycore.conversations.http import HttpConversation
from anycore.conversations.site import HttpSite, Limits
from anycore.kernel.call import Peer
from anycore.kernel.kernel import Kernel

Begin = Callable[..., Any]


def post(method: str, *params: Any, ident: int = 1, extra: str = "", version: str = "1.1") -> bytes:
    arguments = ",".join(map(str, params))
    body = f'{{"jsonrpc":"2.0","method":"{method}","params":[{arguments}],"id":{ident}}}'
    head = f"POST /jsonrpc HTTP/{version}\r\nHost: localhost\r\nContent-Type: application/json\r\n{extra}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()


GET = b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n"
BROKEN = b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: elsewhere\r\n\r\n"


def statuses(data: bytes) -> list[int]:
    return [int(found) for found in re.findall(rb"HTTP/1\.1 (\d+) ", data)]


def idents(data: bytes) -> list[int]:
    return [int(found) for found in re.findall(rb'"id":(\d+)', data)]


def undated(data: bytes) -> bytes:
    return re.sub(rb"Date: [^\r]*", b"Date: now", data)


def test_a_request_is_answered_and_the_connection_stays(talk: Begin) -> None:
    peer = talk()
    assert peer.phase() is Phase.IDLE
    (response,) = peer.ask(post("kit.add", 1, 2))

    assert response.status == 200
    assert response.body == b'{"jsonrpc":"2.0","result":3,"id":1}'
    assert response.headers["date"].endswith(" GMT")
    assert response.keep_alive
    assert peer.phase() is Phase.IDLE
    assert peer.conversation.wants_input


def test_the_phase_says_whose_turn_it_is(talk: Begin) -> None:
    peer = talk()
    request = post("kit.add", 1, 2)
    peer.feed(request[:10])
    assert peer.phase() is Phase.RECEIVING
    peer.feed(request[10:])
    assert peer.phase() is Phase.WORKING
    peer.run()
    assert peer.phase() is Phase.IDLE


def test_answers_keep_the_order_of_the_requests_whatever_ends_first(talk: Begin) -> None:
    for seed in range(20):
        peer = talk()
        peer.feed(b"".join(post("kit.add", 1, number, ident=number) for number in range(8)))
        chance = random.Random(seed)
        while peer.jobs:
            peer.run(chance.choice(peer.jobs))

        assert idents(peer.sent) == list(range(8))


def test_an_answer_is_sent_as_soon_as_those_before_are(talk: Begin) -> None:
    peer = talk()
    peer.feed(post("kit.add", 1, 1, ident=1) + post("kit.add", 1, 1, ident=2) + post("kit.add", 1, 1, ident=3))
    first, second, third = peer.jobs
    peer.run(second)
    assert peer.sent == b""
    peer.run(first)
    assert idents(peer.sent) == [1, 2]
    peer.run(third)
    assert idents(peer.sent) == [1, 2, 3]


def test_requests_that_need_no_job_wait_for_their_turn_too(talk: Begin) -> None:
    peer = talk()
    peer.feed(post("kit.add", 1, 1) + GET)
    assert peer.sent == b""
    peer.run()
    assert statuses(peer.sent) == [200, 404]


def test_reading_pauses_while_too_many_requests_wait(talk: Begin) -> None:
    peer = talk(max_pipeline=2)
    peer.feed(post("kit.add", 1, 1))
    assert peer.conversation.wants_input
    peer.feed(post("kit.add", 1, 1))
    assert not peer.conversation.wants_input
    peer.run()
    assert peer.conversation.wants_input


def test_an_error_is_answered_after_the_good_requests_before_it(talk: Begin) -> None:
    peer = talk()
    peer.feed(post("kit.add", 1, 2) + BROKEN)
    assert peer.sent == b""
    assert not peer.conversation.wants_input
    peer.run_all()

    assert statuses(peer.sent) == [200, 400]
    assert peer.sent.count(b"Connection: close") == 1
    assert peer.phase() is Phase.CLOSING
    assert peer.conversation.site.incidents.counts() == {"http-400": 1}


def test_nothing_is_heard_after_an_error(talk: Begin) -> None:
    peer = talk()
    peer.feed(BROKEN)
    before = peer.sent
    peer.feed(post("kit.add", 1, 2))

    assert peer.sent == before
    assert not peer.jobs


@pytest.mark.parametrize("extra", ["Connection: close\r\n"])
def test_a_peer_that_wants_to_go_is_told_so_and_let_go(talk: Begin, extra: str) -> None:
    peer = talk()
    (response,) = peer.ask(post("kit.add", 1, 2, extra=extra), GET)

    assert response.status == 200
    assert not response.keep_alive
    assert peer.phase() is Phase.CLOSING


def test_http_1_0_ends_after_one_answer_unless_asked_to_stay(talk: Begin) -> None:
    peer = talk()
    (response,) = peer.ask(post("kit.add", 1, 2, version="1.0", extra="Connection: keep-alive\r\n"))
    assert response.headers["connection"] == "keep-alive"
    (response,) = peer.ask(post("kit.add", 1, 2, version="1.0"))
    assert response.headers["connection"] == "close"
    assert peer.phase() is Phase.CLOSING


def test_head_is_answered_without_the_content(talk: Begin) -> None:
    peer = talk()
    full = talk()
    full.feed(GET)
    peer.feed(GET.replace(b"GET", b"HEAD"))

    assert statuses(peer.sent) == [404]
    assert peer.sent.endswith(b"\r\n\r\n")
    assert undated(full.sent).startswith(undated(peer.sent))


def test_a_peer_that_waits_is_told_to_continue(talk: Begin) -> None:
    peer = talk()
    head, _, body = post("kit.add", 1, 2, extra="Expect: 100-continue\r\n").partition(b"\r\n\r\n")
    peer.feed(head + b"\r\n\r\n")
    assert peer.sent == b"HTTP/1.1 100 Continue\r\n\r\n"
    peer.feed(body)
    peer.run_all()
    assert statuses(peer.sent) == [100, 200]


def test_a_peer_that_did_not_wait_is_not_told_to_continue(talk: Begin) -> None:
    peer = talk()
    peer.feed(post("kit.add", 1, 2, extra="Expect: 100-continue\r\n"))
    peer.run_all()

    assert statuses(peer.sent) == [200]


def test_continue_comes_after_the_answers_to_the_requests_before(talk: Begin) -> None:
    peer = talk()
    head, _, body = post("kit.add", 1, 2, ident=2, extra="Expect: 100-continue\r\n").partition(b"\r\n\r\n")
    peer.feed(post("kit.add", 1, 1) + head + b"\r\n\r\n")
    assert peer.sent == b""
    peer.run_all()
    assert statuses(peer.sent) == [200, 100]
    peer.feed(body)
    peer.run_all()
    assert statuses(peer.sent) == [200, 100, 200]


def test_an_expectation_that_cannot_be_met_is_refused(talk: Begin) -> None:
    peer = talk()
    peer.feed(post("kit.add", 1, 2, extra="Expect: miracles\r\n"))

    assert statuses(peer.sent) == [417]


def test_what_was_asked_before_the_end_is_answered(talk: Begin) -> None:
    peer = talk()
    peer.feed(post("kit.add", 1, 2))
    peer.conversation.eof()
    assert peer.phase() is Phase.WORKING
    peer.run_all()

    assert statuses(peer.sent) == [200]
    assert b"Connection: close" in peer.sent
    assert peer.phase() is Phase.CLOSING
    assert peer.conversation.site.incidents.counts() == {}


def test_half_a_request_at_the_end_is_an_incident(talk: Begin) -> None:
    peer = talk()
    peer.feed(post("kit.add", 1, 2)[:-1])
    peer.conversation.eof()
    peer.take()

    assert peer.sent == b""
    assert peer.phase() is Phase.CLOSING
    assert peer.conversation.site.incidents.counts() == {"http-cut": 1}


def test_silence_between_requests_ends_the_connection_without_a_word(talk: Begin) -> None:
    peer = talk()
    peer.conversation.time_out()
    peer.take()

    assert peer.sent == b""
    assert peer.phase() is Phase.CLOSING
    assert peer.conversation.site.incidents.counts() == {}


def test_half_a_request_that_takes_too_long_is_answered_408(talk: Begin) -> None:
    peer = talk()
    peer.feed(post("kit.add", 1, 2)[:-1])
    peer.conversation.time_out()
    peer.take()

    assert statuses(peer.sent) == [408]
    assert b"Connection: close" in peer.sent
    assert peer.phase() is Phase.CLOSING


def test_an_answer_that_takes_too_long_is_answered_503(talk: Begin) -> None:
    peer = talk()
    peer.feed(post("kit.add", 1, 2) + post("kit.add", 1, 2))
    peer.conversation.time_out()
    peer.take()
    assert statuses(peer.sent) == [503]
    assert b"Connection: close" in peer.sent
    assert peer.phase() is Phase.CLOSING
    assert peer.conversation.site.incidents.counts() == {"http-slow": 1}

    peer.run_all()  # what is found later goes nowhere
    assert statuses(peer.sent) == [503]


def test_there_is_a_word_for_a_connection_too_many(talk: Begin) -> None:
    peer = talk()
    peer.conversation.refuse("the server has as many connections as it takes")
    peer.take()

    assert statuses(peer.sent) == [503]
    assert b"Retry-After: 1\r\n" in peer.sent
    assert peer.sent.endswith(b"the server has as many connections as it takes\n")
    assert peer.phase() is Phase.CLOSING
    peer.conversation.time_out()
    assert peer.phase() is Phase.CLOSING


def test_a_server_that_stops_lets_idle_peers_go(talk: Begin) -> None:
    peer = talk()
    peer.conversation.stop()

    assert peer.phase() is Phase.CLOSING


def test_a_server_that_stops_answers_what_it_has_taken(talk: Begin) -> None:
    peer = talk()
    peer.feed(post("kit.add", 1, 2) + post("kit.add", 1, 2))
    peer.conversation.stop()
    peer.run_all()

    assert statuses(peer.sent) == [200, 200]
    assert peer.sent.count(b"Connection: close") == 1
    assert peer.phase() is Phase.CLOSING


def test_a_server_that_stops_answers_the_request_that_is_on_its_way(talk: Begin) -> None:
    peer = talk()
    request = post("kit.add", 1, 2)
    peer.feed(request[:-1])
    peer.conversation.stop()
    assert peer.phase() is Phase.RECEIVING
    peer.feed(request[-1:])
    peer.run_all()

    assert statuses(peer.sent) == [200]
    assert peer.phase() is Phase.CLOSING


@pytest.mark.parametrize(
    ("limits", "request_", "status"),
    [
        (Limits(body=10), post("kit.add", 1, 2), 413),
        (Limits(line=20), GET[:4] + b"/" + b"x" * 30 + GET[4:], 414),
        (Limits(headers=2), post("kit.add", 1, 2), 431),
        (Limits(header_bytes=60), post("kit.add", 1, 2), 431),
    ],
)
def test_limits_are_the_sites(talk: Begin, limits: Limits, request_: bytes, status: int) -> None:
    peer = talk(limits=limits)
    peer.feed(request_)

    assert statuses(peer.sent) == [status]


STREAM = (
    post("kit.add", 1, 2, ident=1)
    + GET
    + post("kit.echo", 5, ident=2)
    + GET.replace(b"GET", b"HEAD")
    + post("kit.wait", 6, ident=3)
    + post("kit.missing", ident=4)
    + BROKEN
    + GET
)


def test_a_stream_split_anywhere_gives_the_same_answers(kernel: Kernel, talk: Begin) -> None:
    whole = talk()
    whole.feed(STREAM)
    whole.run_all()
    assert statuses(whole.sent) == [200, 404, 200, 404, 200, 200, 400]

    @settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.lists(st.integers(1, len(STREAM) - 1), max_size=20), st.randoms(use_true_random=False))
    def split(cuts: list[int], chance: random.Random) -> None:
        peer = talk()
        edges = [0, *sorted(cuts), len(STREAM)]
        for start, end in itertools.pairwise(edges):
            if start < end:
                peer.feed(STREAM[start:end])
            if peer.jobs and chance.random() < 0.3:
                peer.run(chance.choice(peer.jobs))
        while peer.jobs:
            peer.run(chance.choice(peer.jobs))
        assert undated(peer.sent) == undated(whole.sent)

    split()


@settings(max_examples=150, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=60) | st.sampled_from([GET, BROKEN, post("a.b")[:40]]), max_size=8))
def test_any_bytes_give_a_known_state(pieces: list[bytes]) -> None:
    site = HttpSite(Kernel())
    conversation = HttpConversation(Peer(), site)
    sent = b""
    for piece in pieces:
        for job in conversation.feed(piece):
            job.run()
            conversation.finish(job)
        sent += conversation.take()
    assert conversation.phase in (Phase.IDLE, Phase.RECEIVING, Phase.CLOSING)
    assert all(status in {404, 400, 408, 414, 431, 501, 505, 411} for status in statuses(sent))
