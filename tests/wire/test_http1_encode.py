"""What is written: responses and requests, and what may not be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anycore.wire.errors import LocalProtocolError
from anycore.wire.http1 import (
    CONTINUE,
    Request,
    RequestParser,
    Response,
    ResponseParser,
    encode_request,
    encode_response,
)

XML = (("Content-Type", "text/xml"),)


def test_a_response() -> None:
    expected = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 2\r\n\r\nhi"
    assert encode_response(200, XML, b"hi", keep_alive=True) == expected
    assert encode_response(200, list(XML), b"hi", keep_alive=True) == expected
    assert encode_response(200, XML, b"hi", keep_alive=True, head=True) == expected[:-2]


@pytest.mark.parametrize(
    ("version", "keep_alive", "expected"),
    [
        ("1.1", True, b""),
        ("1.1", False, b"Connection: close\r\n"),
        ("1.0", True, b"Connection: keep-alive\r\n"),
        ("1.0", False, b"Connection: close\r\n"),
    ],
)
def test_what_becomes_of_the_connection(version: str, keep_alive: bool, expected: bytes) -> None:
    encoded = encode_response(404, (), b"", keep_alive=keep_alive, version=version)
    assert encoded == b"HTTP/1.1 404 Not Found\r\n" + expected + b"Content-Length: 0\r\n\r\n"


def test_statuses_without_content() -> None:
    assert encode_response(204, (), b"", keep_alive=True) == b"HTTP/1.1 204 No Content\r\n\r\n"
    assert encode_response(304, (), b"", keep_alive=True, head=True) == b"HTTP/1.1 304 Not Modified\r\n\r\n"
    with pytest.raises(LocalProtocolError, match="no content") as raised:
        encode_response(204, (), b"x", keep_alive=True)
    assert raised.value.path == "body"


def test_a_status_without_a_phrase() -> None:
    assert encode_response(299, (), b"", keep_alive=True).startswith(b"HTTP/1.1 299 \r\n")


@pytest.mark.parametrize("status", [0, 100, 199, 600])
def test_a_status_that_ends_nothing_is_refused(status: int) -> None:
    with pytest.raises(LocalProtocolError, match="200 to 599"):
        encode_response(status, (), b"", keep_alive=True)


def test_a_value_that_is_no_string_is_refused() -> None:
    with pytest.raises(LocalProtocolError, match="no string"):
        encode_response(503, [("Retry-After", 5)], b"", keep_alive=True)  # type: ignore[list-item]


BAD_FIELDS = [
    ("X", "a\r\nSet-Cookie: b"),
    ("X", "a\nb"),
    ("X", "a\rb"),
    ("X", "a\0b"),
    ("X", "a\n"),
    ("X", "\u20ac"),
    ("X\r\nY", "a"),
    ("X:", "a"),
    ("X ", "a"),
    ("", "a"),
    ("É", "a"),
    ("Content-Length", "1"),
    ("transfer-encoding", "chunked"),
]


@pytest.mark.parametrize("field", BAD_FIELDS)
def test_fields_that_could_split_a_message_are_refused(field: tuple[str, str]) -> None:
    for headers in ((field,), [field]):
        with pytest.raises(LocalProtocolError) as raised:
            encode_response(200, headers, b"", keep_alive=True)
        assert raised.value.path.startswith("headers")
    with pytest.raises(LocalProtocolError):
        encode_request("GET", "/", [("Host", "a"), field])


def test_connection_is_for_keep_alive_to_say() -> None:
    with pytest.raises(LocalProtocolError, match="keep_alive"):
        encode_response(200, (("connection", "close"),), b"", keep_alive=True)


def test_a_request() -> None:
    host = [("Host", "a")]
    assert encode_request("GET", "/", host) == b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    assert encode_request("POST", "/", host) == b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
    assert encode_request("POST", "/", host, b"x") == b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"


@pytest.mark.parametrize(
    ("method", "target", "headers", "path"),
    [
        ("GE T", "/", [("Host", "a")], "method"),
        ("", "/", [("Host", "a")], "method"),
        ("GET", "", [("Host", "a")], "target"),
        ("GET", "/a b", [("Host", "a")], "target"),
        ("GET", "/a\r\nX: y", [("Host", "a")], "target"),
        ("GET", "/é", [("Host", "a")], "target"),
        ("GET", "/", [], "headers"),
        ("GET", "/", [("Host", "a"), ("host", "b")], "headers"),
    ],
)
def test_requests_that_cannot_be_sent(method: str, target: str, headers: list[tuple[str, str]], path: str) -> None:
    with pytest.raises(LocalProtocolError) as raised:
        encode_request(method, target, headers)
    assert raised.value.path == path


NAMES = st.from_regex(r"X-[A-Za-z0-9!#$%&'*+.^_`|~-]{1,10}", fullmatch=True)
VALUES = st.from_regex(
    r"(?:[\x21-\x7e\x80-\xff](?:[\t \x21-\x7e\x80-\xff]{0,20}[\x21-\x7e\x80-\xff])?)?", fullmatch=True
)
FIELDS = st.dictionaries(NAMES, VALUES, max_size=6).filter(lambda d: len({name.lower() for name in d}) == len(d))


@given(fields=FIELDS, body=st.binary(max_size=100), keep_alive=st.booleans(), status=st.sampled_from([200, 404, 599]))
def test_a_response_comes_back_as_it_went(fields: dict[str, str], body: bytes, keep_alive: bool, status: int) -> None:
    parser = ResponseParser()
    parser.expect("GET")
    sent = CONTINUE + encode_response(status, tuple(fields.items()), body, keep_alive=keep_alive)
    headers = {name.lower(): value for name, value in fields.items()} | {"content-length": str(len(body))}
    if not keep_alive:
        headers["connection"] = "close"
    assert parser.feed(sent) == [Response(status, headers, body, keep_alive)]


@given(fields=FIELDS, body=st.binary(max_size=100))
def test_a_request_comes_back_as_it_went(fields: dict[str, str], body: bytes) -> None:
    headers = {name.lower(): value for name, value in fields.items()} | {"host": "a", "content-length": str(len(body))}
    sent = encode_request("POST", "/a?b", [("Host", "a"), *fields.items()], body)
    assert RequestParser().feed(sent) == [Request("POST", "/a?b", "/a", "b", "1.1", headers, body, True)]
