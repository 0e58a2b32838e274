"""What a server must not take for a request, each with the status to answer; request smuggling above all."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anycore.wire.http1 import Request, RequestParser
from anycore.wire.http1_body import MAX_CHUNK_LINE, MAX_EXTENSION_BYTES
from anycore.wire.http1_head import MAX_BLANK_LINES

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
ANSWERED = Request("GET", "/", "/", "", "1.1", {"host": "a"}, b"", keep_alive=True)
POST = b"POST /RPC2 HTTP/1.1\r\nHost: a\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"

# What is refused, with the status to answer. Limits are the parser's defaults.
REFUSED: dict[str, tuple[bytes, int]] = {
    "HTTP/0.9": (b"GET /\r\n", 505),
    "HTTP/0.9 in full": (b"GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505),
    "HTTP/1.2": (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505),
    "HTTP/2.0": (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
    "HTTP/3": (b"GET / HTTP/3\r\nHost: a\r\n\r\n", 505),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "lower-case version": (b"GET / http/1.1\r\nHost: a\r\n\r\n", 400),
    "other protocol": (b"OPTIONS / RTSP/1.0\r\n\r\n", 400),
    "TLS hand-shake": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "no Host": (b"GET / HTTP/1.1\r\nX: a\r\n\r\n", 400),
    "Host twice": (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
    "Host twice in HTTP/1.0": (b"GET / HTTP/1.0\r\nHost: a\r\nhost: b\r\n\r\n", 400),
    "Host with a path": (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
    "Host with a user": (b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400),
    "list of Hosts": (b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400),
    "CONNECT": (b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 405),
    "unknown method": (b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
    "lower-case method": (b"get / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
    "method that is no token": (b"G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "two blanks": (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "blank after the version": (b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400),
    "tab for blank": (b"GET\t/\tHTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "leading LF": (b"\n" + GET, 400),
    "leading CR": (b"\r" + GET, 400),
    "LF for CRLF": (b"GET / HTTP/1.1\nHost: a\n\n", 400),
    "relative target": (b"GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "target with a fragment": (b"GET /#a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "target beyond ASCII": (b"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "asterisk for GET": (b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "other scheme": (b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "absolute without a host": (b"GET http:///a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "absolute with a user": (b"GET http://u:p@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "escaped NUL": (b"GET /a%00 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "escaped line end": (b"GET /a%0d%0a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "escape of one digit": (b"GET /%a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "escape of no hex": (b"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "escapes not UTF-8": (b"GET /%ff HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "long request line": (b"GET /" + b"a" * 8192 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    "long header line": (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 8192 + b"\r\n\r\n", 431),
    "long header line in the middle": (b"GET / HTTP/1.1\r\nX: " + b"a" * 8192 + b"\r\nHost: a\r\n\r\n", 431),
    "large head": (b"GET / HTTP/1.1\r\nHost: a\r\n" + (b"X: " + b"a" * 8000 + b"\r\n") * 9 + b"\r\n", 431),
    "many headers": (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: a\r\n" * 100 + b"\r\n", 431),
    "endless request line": (b"GET /" + b"a" * 9000, 414),
    "endless header line": (b"GET / HTTP/1.1\r\nX: " + b"a" * 9000, 431),
    "endless head": (b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 11000, 431),
    "endless empty lines": (b"\r\n" * (MAX_BLANK_LINES + 1), 400),
    "no length": (POST + b"\r\n", 411),
    "PUT without length": (b"PUT / HTTP/1.0\r\n\r\n", 411),
    "large body": (POST + b"Content-Length: 16777217\r\n\r\n", 413),
    "absurd body": (POST + b"Content-Length: 9999999999999999999\r\n\r\n", 413),
    "large chunk": (CHUNKED + b"1000001\r\n", 413),
    "absurd chunk": (CHUNKED + b"ffffffffffffffff\r\n", 413),
    "other expectation": (POST + b"Expect: tea\r\nContent-Length: 2\r\n\r\n", 417),
    "unknown transfer coding": (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 501),
    "unknown transfer coding in two headers": (
        POST + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n",
        501,
    ),
    "NUL in a value": (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", 400),
    "header without colon": (b"GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", 400),
    "header without name": (b"GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n", 400),
    "name beyond ASCII": (b"GET / HTTP/1.1\r\nHost: a\r\nX\xe9: x\r\n\r\n", 400),
}

LENGTH = b"Content-Length: 6\r\n"
CODING = b"Transfer-Encoding: chunked\r\n"
END = b"\r\n0\r\n\r\nG"
# Requests that two parsers in a row could take for different ones: nothing of them may be taken for a request.
SMUGGLED: dict[str, bytes] = {
    "CL.TE": POST + LENGTH + CODING + END,
    "TE.CL": POST + CODING + LENGTH + END,
    "CL.CL": POST + LENGTH + b"Content-Length: 5\r\n" + END,
    "CL.CL, equal": POST + LENGTH + LENGTH + END,
    "CL list": POST + b"Content-Length: 6, 6\r\n" + END,
    "CL signed": POST + b"Content-Length: +6\r\n" + END,
    "CL negative": POST + b"Content-Length: -6\r\n" + END,
    "CL hexadecimal": POST + b"Content-Length: 0x6\r\n" + END,
    "CL with underscore": POST + b"Content-Length: 1_0\r\n" + END,
    "CL superscript": POST + b"Content-Length: \xb2\r\n" + END,
    "CL empty": POST + b"Content-Length:\r\n" + END,
    "CL in two words": POST + b"Content-Length: 6 6\r\n" + END,
    "CL folded": POST + b"Content-Length:\r\n 6\r\n" + END,
    "TE.TE, two": POST + CODING + CODING + END,
    "TE.TE, identity": POST + CODING + b"Transfer-Encoding: identity\r\n" + END,
    "TE twice in a list": POST + b"Transfer-Encoding: chunked, chunked\r\n" + END,
    "TE not last": POST + b"Transfer-Encoding: chunked, gzip\r\n" + END,
    "TE identity": POST + b"Transfer-Encoding: identity\r\n" + END,
    "TE misspelt": POST + b"Transfer-Encoding: xchunked\r\n" + END,
    "TE quoted": POST + b'Transfer-Encoding: "chunked"\r\n' + END,
    "TE with parameter": POST + b"Transfer-Encoding: chunked;a=b\r\n" + END,
    "TE after vertical tab": POST + b"Transfer-Encoding: \x0bchunked\r\n" + END,
    "TE after no-break space": POST + b"Transfer-Encoding: \xa0chunked\r\n" + END,
    "TE folded": POST + b"Transfer-Encoding:\r\n chunked\r\n" + END,
    "TE empty": POST + b"Transfer-Encoding:\r\n" + END,
    "TE in HTTP/1.0": b"POST / HTTP/1.0\r\nHost: a\r\n" + CODING + END,
    "blank before colon": POST + b"Transfer-Encoding : chunked\r\n" + LENGTH + END,
    "tab before colon": POST + b"Content-Length\t: 6\r\n" + END,
    "blank before name": POST + b" " + CODING + END,
    "header hidden by bare CR": POST + b"X: a\rTransfer-Encoding: chunked\r\n" + LENGTH + END,
    "header hidden by bare LF": POST + b"X: a\nTransfer-Encoding: chunked\r\n" + LENGTH + END,
    "head ended by bare LF": POST + LENGTH + b"\n" + END,
    "NUL in a name": POST + b"Transfer-Encoding\0: chunked\r\n" + LENGTH + END,
    "underscored length only": POST + b"Content_Length: 6\r\n" + END,
    "chunk size with 0x": CHUNKED + b"0x1\r\na" + END,
    "chunk size with sign": CHUNKED + b"+1\r\na" + END,
    "chunk size empty": CHUNKED + b"\r\na" + END,
    "chunk size after blank": CHUNKED + b" 1\r\na" + END,
    "chunk size before blank": CHUNKED + b"1 \r\na" + END,
    "chunk size with underscore": CHUNKED + b"1_0\r\na" + END,
    "chunk size of 17 digits": CHUNKED + b"00000000000000001\r\na" + END,
    "chunk size ended by LF": CHUNKED + b"1\na" + END,
    "chunk size ended by CR": CHUNKED + b"1\ra" + END,
    "chunk extension with bare CR": CHUNKED + b"1;a\rb\r\na" + END,
    "chunk extension with bare LF": CHUNKED + b"1;a\nb\r\na" + END,
    "chunk extension overlong": CHUNKED + b"1;" + b"a" * MAX_CHUNK_LINE + b"\r\na" + END,
    "chunk extension endless": CHUNKED + b"1;" + b"a" * 2 * MAX_CHUNK_LINE,
    "chunk extensions in number": CHUNKED + (b"1;" + b"a" * 200 + b"\r\na\r\n") * (MAX_EXTENSION_BYTES // 200 + 1),
    "chunk longer than its size": CHUNKED + b"1\r\nab" + END,
    "chunk ended by LF": CHUNKED + b"1\r\na\n0\r\n\r\n",
    "trailer malformed": CHUNKED + b"0\r\nX : y\r\n\r\n",
    "trailer ended by LF": CHUNKED + b"0\r\nX: y\n\r\n",
    "trailer is a request": CHUNKED + b"0\r\n" + GET,
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


@pytest.mark.parametrize(("data", "status"), REFUSED.values(), ids=REFUSED)
def test_refusals(data: bytes, status: int) -> None:
    assert run([data]) == ([], status)
    assert run([GET + data]) == ([ANSWERED], status)
    assert run(bytewise(data)) == ([], status)


@pytest.mark.parametrize("data", SMUGGLED.values(), ids=SMUGGLED)
def test_smuggling(data: bytes) -> None:
    for requests, status in (run([data]), run(bytewise(data)), run([data + GET])):
        assert requests == []
        assert status in {400, 411, 501}


@given(
    case=st.sampled_from([*REFUSED.values(), *((data, 0) for data in SMUGGLED.values())]),
    places=st.lists(st.integers(0, 100_000), max_size=8),
)
def test_refusals_split_at_random(case: tuple[bytes, int], places: list[int]) -> None:
    data, status = case
    requests, found = run(cut(data, places))
    assert requests == []
    assert found == (status or run([data])[1])
