"""Requests as they should be: whole, in pieces, one after another; states, limits and what is remembered."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anycore.wire.errors import RemoteProtocolError
from anycore.wire.http1 import BODY, CLOSED, ERROR, HEAD, Request, RequestParser

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /RPC2 HTTP/1.1\r\nHost: a\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
HOST = {"host": "a"}


def request(
    method: str = "GET",
    target: str = "/",
    path: str = "",
    query: str = "",
    version: str = "1.1",
    headers: dict[str, str] | None = None,
    body: bytes = b"",
    *,
    keep_alive: bool = True,
) -> Request:
    return Request(method, target, path or target, query, version, headers or HOST, body, keep_alive)


def post(body: bytes, **headers: str) -> Request:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return request("POST", "/RPC2", headers=HOST | named, body=body)


IN_CHUNKS = post(b"hello world", transfer_encoding="chunked")

# Every example is tested whole, byte by byte, with bytes of a next request behind it, and split at random.
EXAMPLES: dict[str, tuple[bytes, list[Request]]] = {
    "GET": (GET, [request()]),
    "no value, blanks around one": (
        b"GET / HTTP/1.1\r\nHost:a\r\nX:\r\nY: \t v\t w \t\r\n\r\n",
        [request(headers={"host": "a", "x": "", "y": "v\t w"})],
    ),
    "names of any case": (b"GET / HTTP/1.1\r\nhOST: a\r\nX-y: B\r\n\r\n", [request(headers=HOST | {"x-y": "B"})]),
    "Latin-1 value": (b"GET / HTTP/1.1\r\nHost: a\r\nX: \xe9\xa0\r\n\r\n", [request(headers=HOST | {"x": "é\xa0"})]),
    "repeated header": (
        b"GET / HTTP/1.1\r\nX: 1\r\nHost: a\r\nx: 2\r\nX: 3\r\n\r\n",
        [request(headers=HOST | {"x": "1, 2, 3"})],
    ),
    "POST": (POST + b"Content-Length: 5\r\n\r\nhello", [post(b"hello", content_length="5")]),
    "POST of nothing": (POST + b"Content-Length: 0\r\n\r\n", [post(b"", content_length="0")]),
    "body that looks like a head": (
        POST + b"Content-Length: 27\r\n\r\n" + GET,
        [post(GET, content_length="27")],
    ),
    "GET with a body": (
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
        [request(headers=HOST | {"content-length": "3"}, body=b"abc")],
    ),
    "chunks": (CHUNKED + b"6\r\nhello \r\n5\r\nworld\r\n0\r\n\r\n", [IN_CHUNKS]),
    "chunks with zeros, extensions and trailers": (
        CHUNKED + b'006;a=b\r\nhello \r\n5;c;d="e"\r\nworld\r\n000;z\r\nHost: evil\r\nX-Sum: 1\r\n\r\n',
        [IN_CHUNKS],
    ),
    "chunks of nothing": (CHUNKED + b"0\r\n\r\n", [post(b"", transfer_encoding="chunked")]),
    "chunk of line ends": (CHUNKED + b"4\r\n\r\n\r\n\r\n0\r\n\r\n", [post(b"\r\n\r\n", transfer_encoding="chunked")]),
    "coding in capitals": (
        POST + b"Transfer-Encoding: Chunked\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n",
        [post(b"0123456789", transfer_encoding="Chunked")],
    ),
    "pipelined": (
        GET + CHUNKED + b"b\r\nhello world\r\n0\r\n\r\n" + POST + b"Content-Length: 2\r\n\r\nhi" + GET,
        [request(), IN_CHUNKS, post(b"hi", content_length="2"), request()],
    ),
    "empty lines between": (b"\r\n" + GET + b"\r\n\r\n" + GET, [request(), request()]),
    "HTTP/1.0": (b"GET / HTTP/1.0\r\nX: y\r\n\r\n", [request(version="1.0", headers={"x": "y"}, keep_alive=False)]),
    "HTTP/1.0 that stays": (
        b"POST / HTTP/1.0\r\nHost: a\r\nConnection: Keep-Alive\r\nContent-Length: 1\r\n\r\nx",
        [
            request(
                "POST",
                version="1.0",
                headers=HOST | {"connection": "Keep-Alive", "content-length": "1"},
                body=b"x",
            )
        ],
    ),
    "close": (
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n",
        [request(headers=HOST | {"connection": "x, Close"}, keep_alive=False)],
    ),
    "close and data after it": (
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" + GET + b"\0",
        [request(headers=HOST | {"connection": "close"}, keep_alive=False)],
    ),
    "upgrade with a body, and a next request": (
        POST + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nhi" + GET,
        [
            post(b"hi", connection="Upgrade, HTTP2-Settings", upgrade="h2c", content_length="2"),
            request(),
        ],
    ),
    "expectation of a peer that does not wait": (
        POST + b"Expect: 100-Continue\r\nContent-Length: 2\r\n\r\nhi",
        [post(b"hi", expect="100-Continue", content_length="2")],
    ),
    "query": (
        b"GET /a?b=%zz&c=? HTTP/1.1\r\nHost: a\r\n\r\n",
        [request(target="/a?b=%zz&c=?", path="/a", query="b=%zz&c=?")],
    ),
    "escapes": (
        b"GET /%C3%A9/%2e%2E/%25 HTTP/1.1\r\nHost: a\r\n\r\n",
        [request(target="/%C3%A9/%2e%2E/%25", path="/é/../%")],
    ),
    "absolute target": (
        b"GET http://b:80/c?d HTTP/1.1\r\nHost: a\r\n\r\n",
        [request(target="http://b:80/c?d", path="/c", query="d", headers={"host": "b:80"})],
    ),
    "absolute target without a path": (
        b"GET HTTPS://b?d HTTP/1.1\r\nHost: a\r\n\r\n",
        [request(target="HTTPS://b?d", path="/", query="d", headers={"host": "b"})],
    ),
    "asterisk": (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", [request("OPTIONS", target="*", path="*")]),
    "address of IPv6": (b"GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", [request(headers={"host": "[::1]:80"})]),
    "empty Host": (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", [request(headers={"host": ""})]),
}


def run(pieces: list[bytes], **limits: int) -> tuple[list[Request], int]:
    parser = RequestParser(**limits)
    requests = [each for piece in pieces for each in parser.feed(piece)]
    return requests, parser.error.code if parser.error else 0


def bytewise(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


@pytest.mark.parametrize(("data", "expected"), EXAMPLES.values(), ids=EXAMPLES)
def test_examples(data: bytes, expected: list[Request]) -> None:
    assert run([data]) == (expected, 0)
    assert run(bytewise(data)) == (expected, 0)
    parser = RequestParser()
    assert parser.feed(data) == expected
    assert not parser.mid_request
    parser.eof()


@pytest.mark.parametrize(("data", "expected"), EXAMPLES.values(), ids=EXAMPLES)
def test_bytes_behind_an_example_begin_the_next_request(data: bytes, expected: list[Request]) -> None:
    parser = RequestParser()
    assert parser.feed(data + GET[:7]) == expected
    if expected[-1].keep_alive:
        assert parser.mid_request
        assert parser.feed(GET[7:]) == [request()]
    else:
        assert parser.state == CLOSED
        assert parser.feed(GET[7:]) == []
    assert parser.error is None


@given(data=st.sampled_from([*EXAMPLES.values()]), places=st.lists(st.integers(0, 500), max_size=8))
def test_examples_split_at_random(data: tuple[bytes, list[Request]], places: list[int]) -> None:
    assert run(cut(data[0], places)) == (data[1], 0)


def test_requests_before_an_error_are_returned_and_bytes_after_it_ignored() -> None:
    parser = RequestParser()
    assert parser.feed(GET + b"\0" + GET) == [request()]
    assert parser.error is not None
    assert parser.error.code == 400
    assert parser.state == ERROR
    first = parser.error
    assert parser.feed(GET) == parser.feed(b"") == []
    assert parser.error is first
    assert not parser.mid_request
    parser.eof()


def test_states_and_mid_request() -> None:
    parser = RequestParser()
    assert (parser.state, parser.mid_request) == (HEAD, False)
    parser.feed(b"POST")
    assert (parser.state, parser.mid_request) == (HEAD, True)
    parser.feed(POST[4:] + b"Content-Length: 2\r\n\r\nh")
    assert (parser.state, parser.mid_request) == (BODY, True)
    assert parser.feed(b"i") == [post(b"hi", content_length="2")]
    assert (parser.state, parser.mid_request) == (HEAD, False)
    assert parser.feed(b"") == []


@pytest.mark.parametrize("data", [b"G", GET[:-1], POST + b"Content-Length: 2\r\n\r\nh", CHUNKED + b"0\r\n"])
def test_end_in_the_middle_is_an_error(data: bytes) -> None:
    parser = RequestParser()
    assert parser.feed(data) == []
    with pytest.raises(RemoteProtocolError, match="middle") as raised:
        parser.eof()
    assert raised.value.code == 400


EXPECTING = POST + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n"


def test_continue_is_asked_for_once() -> None:
    parser = RequestParser()
    parser.feed(EXPECTING[:-2])
    assert not parser.take_continue()
    parser.feed(EXPECTING[-2:])
    assert parser.take_continue()
    assert not parser.take_continue()
    assert len(parser.feed(b"hi")) == 1
    parser.feed(EXPECTING)
    assert parser.take_continue()


@pytest.mark.parametrize(
    "data",
    [
        EXPECTING + b"h",
        EXPECTING.replace(b"2", b"0"),
        EXPECTING.replace(b"HTTP/1.1", b"HTTP/1.0"),
        EXPECTING.replace(b"2", b"99999999"),
        EXPECTING.replace(b"POST", b"BREW"),
    ],
    ids=["content came", "no content", "HTTP/1.0", "refused for its size", "refused for its method"],
)
def test_continue_is_not_due(data: bytes) -> None:
    parser = RequestParser()
    parser.feed(data)
    assert not parser.take_continue()


def test_continue_is_due_after_a_like_request_without_content() -> None:
    parser = RequestParser()
    assert len(parser.feed(EXPECTING.replace(b"2", b"0"))) == 1
    parser.feed(EXPECTING)
    assert parser.take_continue()


def test_continue_lapses_when_the_content_comes() -> None:
    parser = RequestParser()
    parser.feed(EXPECTING)
    parser.feed(b"h")
    assert not parser.take_continue()


def test_limits_are_met_exactly() -> None:
    line = b"GET /" + b"a" * 86 + b" HTTP/1.1"
    head = line + b"\r\nHost: a\r\nX: " + b"b" * 97 + b"\r\n\r\n"
    assert len(line) == 100
    for pieces in ([head], bytewise(head)):
        assert run(pieces, max_line=100, max_header_bytes=len(head), max_headers=2)[1] == 0
        assert run(pieces, max_line=99)[1] == 414
        assert run(pieces, max_header_bytes=len(head) - 1)[1] == 431
        assert run(pieces, max_headers=1)[1] == 431


@pytest.mark.parametrize(
    ("body", "limit", "status"),
    [
        (b"Content-Length: 5\r\n\r\nhello", 5, 0),
        (b"Content-Length: 5\r\n\r\n", 4, 413),
        (b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", 5, 0),
        (b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\n", 4, 413),
    ],
)
def test_a_body_is_refused_before_it_comes(body: bytes, limit: int, status: int) -> None:
    assert run([POST + body], max_body=limit)[1] == status
    assert run(bytewise(POST + body), max_body=limit)[1] == status


@pytest.mark.parametrize(
    ("trailers", "limits"),
    [
        (b"X: y\r\n" * 3, {"max_headers": 2}),
        (b"X: " + b"y" * 98 + b"\r\n", {"max_line": 100}),
        (b"X: " + b"y" * 200, {"max_line": 100}),
        ((b"X: " + b"y" * 90 + b"\r\n") * 3, {"max_line": 100, "max_header_bytes": 200}),
    ],
)
def test_trailers_are_bounded(trailers: bytes, limits: dict[str, int]) -> None:
    data = CHUNKED + b"0\r\n" + trailers
    assert run([data], **limits) == run(bytewise(data), **limits) == ([], 431)


def test_a_head_that_returns_with_another_length() -> None:
    parser = RequestParser()
    for length in (5, 0, 12, 12, 3):
        body = b"x" * length
        head = POST + b"Content-Length: %d\r\nX: y\r\n\r\n" % length
        assert parser.feed(head + body) == [post(body, content_length=str(length), x="y")]


def test_a_head_that_returns_belongs_to_its_receiver() -> None:
    parser = RequestParser()
    first = parser.feed(GET)[0]
    first.headers["x"] = "y"
    second = parser.feed(GET)[0]
    assert second == request()
    second.headers.clear()
    assert parser.feed(GET) == [request()]


@pytest.mark.parametrize(
    "digits", [b"", b"+5", b"5 5", b"0x5", b"99999999", b"5\r\nContent-Length: 5", b"5\r\nTransfer-Encoding: chunked"]
)
def test_a_head_that_returns_is_not_trusted(digits: bytes) -> None:
    parser = RequestParser()
    assert len(parser.feed(POST + b"Content-Length: 5\r\nX: y\r\n\r\nhello")) == 1
    assert parser.feed(POST + b"Content-Length: " + digits + b"\r\nX: y\r\n\r\nhello") == []
    assert parser.error is not None
    assert parser.error.code in {400, 413}


@given(lengths=st.lists(st.integers(0, 30), max_size=12), names=st.lists(st.sampled_from(["x", "y"]), max_size=12))
def test_memory_of_heads_changes_nothing(lengths: list[int], names: list[str]) -> None:
    heads = [
        POST + f"{name}: 1\r\nContent-Length: {length}\r\n\r\n".encode() + b"b" * length
        for name, length in zip(names, lengths, strict=False)
    ]
    parser = RequestParser()
    assert [parser.feed(head) for head in heads] == [RequestParser().feed(head) for head in heads]


@pytest.mark.parametrize(
    "start",
    [b"", b"GET /", b"GET / HTTP/1.1\r\nX: ", CHUNKED + b"5;", CHUNKED + b"0\r\nX: "],
    ids=["nothing", "request line", "header", "chunk extension", "trailer"],
)
def test_an_endless_trickle_is_cut_off(start: bytes) -> None:
    parser = RequestParser()
    parser.feed(start)
    count = 0
    while parser.error is None:
        parser.feed(b"a")
        count += 1
        assert count <= 8194


def test_memory_for_a_trickled_body_is_near_its_size() -> None:
    size = 200_000
    parser = RequestParser()
    parser.feed(POST + b"Content-Length: %d\r\n\r\n" % size)
    tracemalloc.start()
    try:
        done: list[Any] = [parser.feed(b"x") for _ in range(size)]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(done[-1][0].body) == size
    # The lists that feed returned, one pointer and one empty list each, are the test's own.
    assert peak < 2.5 * size + len(done) * 72
