"""The HTTP/1.1 parsers under mutated bytes: one exception, bounded, and the same however the bytes are split."""

from __future__ import annotations

import random
from itertools import pairwise

from anycore.testing.codec import check_codec
from anycore.testing.mutation import Mutator
from anycore.wire.errors import RemoteProtocolError
from anycore.wire.http1 import Request, RequestParser, Response, ResponseParser

COUNT = 20_000
STATUSES = {400, 405, 411, 413, 414, 417, 431, 501, 505}
LIMITS = {"max_line": 200, "max_header_bytes": 500, "max_headers": 8, "max_body": 300}

REQUESTS = [
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /RPC2 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n0A\r\n0123456789\r\n0\r\nX: y\r\n\r\n",
    b"POST / HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi",
    b"OPTIONS * HTTP/1.1\r\nHost: [::1]:80\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
    b"GET http://a/%C3%A9?b HTTP/1.1\r\nHost: a\r\nX: 1\r\nX: 2\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
]
RESPONSES = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n0\r\nX: y\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.0 404 Not Found\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 304 x\r\nContent-Length: 9\r\nX: 1\r\nX: 2\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\n\r\nuntil the end",
]
TOKENS = [
    b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b";", b",", b"0", b"-1", b"f" * 17, b"\xff", b"\x0b", b"\r\n\r\n",
    b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"Host: b\r\n", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0",
    b"Connection: close\r\n", b"Expect: 100-continue\r\n", b"Upgrade: x\r\n", b"chunked", b"%00", b"A" * 250, b"X: y\r\n",
]  # fmt: skip


def pieces(chance: random.Random, data: bytes) -> list[bytes]:
    edges = sorted({0, len(data), *(chance.randrange(len(data) + 1) for _ in range(chance.randint(0, 6)))})
    return [data[start:end] for start, end in pairwise(edges)]


def requests_of(parts: list[bytes]) -> tuple[list[Request], RemoteProtocolError | None, bool]:
    parser = RequestParser(**LIMITS)
    found = []
    for part in parts:
        found += parser.feed(part)
        parser.take_continue()
    assert parser.error is None or parser.error.code in STATUSES
    assert all(len(request.body) <= LIMITS["max_body"] for request in found)
    return found, parser.error, parser.mid_request


def decode_requests(data: bytes) -> None:
    error = requests_of([data])[1]
    if error is not None:
        raise error


def response_parser() -> ResponseParser:
    parser = ResponseParser(**LIMITS)
    for method in ("POST", "HEAD", "GET", "GET"):
        parser.expect(method)
    return parser


def responses_of(parts: list[bytes]) -> tuple[list[Response], int]:
    parser = response_parser()
    found = []
    try:
        for part in parts:
            found += parser.feed(part)
        found += parser.eof()
    except RemoteProtocolError as error:
        return found, error.code
    return found, 0


def decode_response(data: bytes) -> None:
    parser = response_parser()
    parser.feed(data)
    parser.feed(b"")


def test_requests() -> None:
    report = check_codec(
        decode_requests, REQUESTS, error=RemoteProtocolError, tokens=TOKENS, mutations=COUNT, max_memory=1 << 20
    )
    assert report.accepted > COUNT // 20  # mutants that are all refused would test little


def test_responses() -> None:
    report = check_codec(
        decode_response, RESPONSES, error=RemoteProtocolError, tokens=TOKENS, mutations=COUNT, max_memory=1 << 20
    )
    assert report.accepted > COUNT // 20


def test_requests_do_not_depend_on_how_bytes_arrive() -> None:
    chance = random.Random(1)
    mutator = Mutator([*REQUESTS, b"".join(REQUESTS)], TOKENS, seed=1)
    for _ in range(COUNT // 2):
        data = mutator.next()
        whole, error, unfinished = requests_of([data])
        split, split_error, split_unfinished = requests_of(pieces(chance, data))
        assert (whole, error is None, unfinished) == (split, split_error is None, split_unfinished), data


def test_responses_do_not_depend_on_how_bytes_arrive() -> None:
    chance = random.Random(2)
    mutator = Mutator([*RESPONSES, b"".join(RESPONSES)], TOKENS, seed=2)
    for _ in range(COUNT // 2):
        data = mutator.next()
        whole = responses_of([data])
        assert whole == responses_of(pieces(chance, data)), data
        assert whole[1] in {0, 502}


def test_noise() -> None:
    chance = random.Random(3)
    for _ in range(2000):
        data = chance.randbytes(chance.randrange(300))
        assert requests_of([data])[0] == requests_of(pieces(chance, data))[0] == []
        assert responses_of([data]) == ([], 502)
