"""Responses as clients get them: whole, in pieces, until the connection closes, and refused."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anycore.wire.errors import RemoteProtocolError
from anycore.wire.http1 import Response, ResponseParser
from anycore.wire.http1_client import CLOSED, ERROR, HEAD, MAX_INTERIM, UNTIL_CLOSE

OK = b"HTTP/1.1 200 OK\r\n"
FULL = OK + b"Content-Length: 2\r\n\r\nhi"
HI = Response(200, {"content-length": "2"}, b"hi", keep_alive=True)

# Bytes, the methods they answer, and what they are; an example that needs the end of the connection is in UNTIL_EOF.
EXAMPLES: dict[str, tuple[bytes, list[str], list[Response]]] = {
    "length": (FULL, ["POST"], [HI]),
    "no reason phrase": (FULL.replace(b" OK", b""), ["POST"], [HI]),
    "empty reason phrase": (FULL.replace(b"OK", b""), ["POST"], [HI]),
    "reason phrase beyond ASCII": (FULL.replace(b"OK", b"\xe9 \t!"), ["POST"], [HI]),
    "no content": (OK + b"Content-Length: 0\r\n\r\n", ["GET"], [Response(200, {"content-length": "0"}, b"", True)]),
    "chunks": (
        OK + b"Transfer-Encoding: chunked\r\n\r\n1;a\r\nh\r\n1\r\ni\r\n0\r\nX: y\r\n\r\n",
        ["POST"],
        [Response(200, {"transfer-encoding": "chunked"}, b"hi", True)],
    ),
    "HEAD": (
        OK + b"Content-Length: 2\r\n\r\n" + OK + b"Transfer-Encoding: chunked\r\n\r\n" + OK + b"\r\n" + FULL,
        ["HEAD", "HEAD", "HEAD", "GET"],
        [
            Response(200, {"content-length": "2"}, b"", True),
            Response(200, {"transfer-encoding": "chunked"}, b"", True),
            Response(200, {}, b"", True),
            HI,
        ],
    ),
    "204 and 304": (
        b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 304 x\r\nContent-Length: 9\r\n\r\n" + FULL,
        ["POST", "GET", "GET"],
        [Response(204, {}, b"", True), Response(304, {"content-length": "9"}, b"", True), HI],
    ),
    "interim": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 x\r\nLink: y\r\n\r\n" + FULL + b"HTTP/1.1 102 x\r\n\r\n" + FULL,
        ["POST", "POST"],
        [HI, HI],
    ),
    "close, and what follows": (
        FULL.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + b"\0\0\r\n\r\n",
        ["POST", "POST"],
        [Response(200, {"content-length": "2", "connection": "close"}, b"hi", False)],
    ),
    "HTTP/1.0": (
        FULL.replace(b"1.1", b"1.0"),
        ["POST"],
        [Response(200, {"content-length": "2"}, b"hi", False)],
    ),
    "HTTP/1.0 that stays": (
        FULL.replace(b"1.1", b"1.0").replace(b"\r\n\r\n", b"\r\nConnection: keep-alive\r\n\r\n") + FULL,
        ["POST", "POST"],
        [Response(200, {"content-length": "2", "connection": "keep-alive"}, b"hi", True), HI],
    ),
    "offer to upgrade": (
        FULL.replace(b"\r\n\r\n", b"\r\nConnection: upgrade\r\nUpgrade: h2\r\n\r\n") + FULL,
        ["GET", "GET"],
        [Response(200, {"content-length": "2", "connection": "upgrade", "upgrade": "h2"}, b"hi", True), HI],
    ),
}
UNTIL_EOF: dict[str, tuple[bytes, Response]] = {
    "content": (OK + b"X: y\r\n\r\nhi\r\n\r\n", Response(200, {"x": "y"}, b"hi\r\n\r\n", False)),
    "nothing": (OK + b"\r\n", Response(200, {}, b"", False)),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nx",
                 Response(200, {"connection": "keep-alive"}, b"x", False)),
}  # fmt: skip
REFUSED: dict[str, bytes] = {
    "no HTTP": b"SSH-2.0-x\r\n",
    "leading empty line": b"\r\n" + FULL,
    "HTTP/2.0": b"HTTP/2.0 200 OK\r\n\r\n",
    "HTTP/0.9": b"<html>",
    "other protocol": b"RTSP/1.0 200 OK\r\n\r\n",
    "status of two digits": b"HTTP/1.1 20 OK\r\n\r\n",
    "status of four digits": b"HTTP/1.1 2000 OK\r\n\r\n",
    "status out of range": b"HTTP/1.1 600 OK\r\n\r\n",
    "status 0": b"HTTP/1.1 000 OK\r\n\r\n",
    "NUL in the phrase": b"HTTP/1.1 200 O\0K\r\n\r\n",
    "switching protocols": b"HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    "too many interim": b"HTTP/1.1 100 x\r\n\r\n" * (MAX_INTERIM + 1),
    "length and chunks": OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
    "two lengths": OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n",
    "length of words": OK + b"Content-Length: two\r\n\r\n",
    "large length": OK + b"Content-Length: 16777217\r\n\r\n",
    "absurd length": OK + b"Content-Length: 9999999999999999999\r\n\r\n",
    "chunks in HTTP/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    "unknown coding": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
    "coding without chunks": OK + b"Transfer-Encoding: gzip\r\n\r\n",
    "bad chunk": OK + b"Transfer-Encoding: chunked\r\n\r\nx\r\n",
    "folded header": OK + b"X: a\r\n b\r\n\r\n",
    "bare LF": b"HTTP/1.1 200 OK\nX: a\n\n",
    "long status line": b"HTTP/1.1 200 " + b"a" * 9000 + b"\r\n\r\n",
    "endless status line": b"HTTP/1.1 200 " + b"a" * 9000,
    "long header": OK + b"X: " + b"a" * 9000 + b"\r\n\r\n",
    "many headers": OK + b"X: a\r\n" * 101 + b"\r\n",
    "endless head": OK + b"X: a\r\n" * 11000,
}


def parser_for(*methods: str, **limits: int) -> ResponseParser:
    parser = ResponseParser(**limits)
    for method in methods:
        parser.expect(method)
    return parser


def pieces_of(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def everywhere(data: bytes) -> list[int]:
    return list(range(len(data)))


@pytest.mark.parametrize(("data", "methods", "expected"), EXAMPLES.values(), ids=EXAMPLES)
def test_examples(data: bytes, methods: list[str], expected: list[Response]) -> None:
    for places in ([], everywhere(data)):
        parser = parser_for(*methods)
        assert [each for piece in pieces_of(data, places) for each in parser.feed(piece)] == expected
        assert parser.outstanding == len(methods) - len(expected)
        assert parser.state == (HEAD if expected[-1].keep_alive else CLOSED)
        assert parser.error is None


@given(case=st.sampled_from([*EXAMPLES.values()]), places=st.lists(st.integers(0, 300), max_size=8))
def test_examples_split_at_random(case: tuple[bytes, list[str], list[Response]], places: list[int]) -> None:
    data, methods, expected = case
    parser = parser_for(*methods)
    assert [each for piece in pieces_of(data, places) for each in parser.feed(piece)] == expected


@pytest.mark.parametrize(("data", "expected"), UNTIL_EOF.values(), ids=UNTIL_EOF)
def test_content_until_the_connection_closes(data: bytes, expected: Response) -> None:
    for places in ([], everywhere(data)):
        parser = parser_for("GET")
        assert [each for piece in pieces_of(data, places) for each in parser.feed(piece)] == []
        assert parser.state == UNTIL_CLOSE
        assert parser.eof() == [expected]
        assert parser.state == CLOSED
        assert parser.eof() == []


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED)
def test_refusals(data: bytes) -> None:
    for places in ([], everywhere(data)):
        parser = parser_for("GET")
        with pytest.raises(RemoteProtocolError) as raised:
            assert [each for piece in pieces_of(data, places) for each in parser.feed(piece)] == []
        assert raised.value.code == 502
        assert parser.state == ERROR
        assert parser.error is raised.value
        for again in (lambda parser=parser: parser.feed(b""), parser.eof):
            with pytest.raises(RemoteProtocolError):
                again()


def test_a_response_before_broken_bytes_is_returned_first() -> None:
    parser = parser_for("GET", "GET")
    assert parser.feed(FULL + b"\0") == [HI]
    with pytest.raises(RemoteProtocolError, match="status line"):
        parser.feed(b"")


def test_a_response_that_nobody_asked_for_is_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="no request"):
        ResponseParser().feed(FULL)
    parser = parser_for("GET")
    assert parser.feed(FULL + FULL) == [HI]
    parser.expect("GET")
    with pytest.raises(RemoteProtocolError, match="no request"):
        parser.feed(b"")


@pytest.mark.parametrize("data", [b"", b"HTT", FULL[:-1], OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n"])
def test_an_early_end_is_an_error(data: bytes) -> None:
    parser = parser_for("GET")
    assert parser.feed(data) == []
    with pytest.raises(RemoteProtocolError, match="ended before") as raised:
        parser.eof()
    assert raised.value.code == 502


def test_an_end_between_responses_is_none() -> None:
    assert ResponseParser().eof() == []


@pytest.mark.parametrize(
    "data",
    [
        OK + b"Content-Length: 5\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\n",
        OK + b"\r\n12345",
    ],
    ids=["length", "chunks", "until close"],
)
def test_the_body_is_bounded(data: bytes) -> None:
    parser = parser_for("GET", max_body=4)
    with pytest.raises(RemoteProtocolError, match="larger than 4 bytes"):
        parser.feed(data)
