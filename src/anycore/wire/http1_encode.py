"""HTTP/1.1 messages to bytes: a response or a request as one bytes object, for one write.

Lengths and the Connection field are this module's; a date is the caller's, for there is no clock on this floor.
"""

from __future__ import annotations

import re
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from anycore.wire.errors import LocalProtocolError
from anycore.wire.http1_head import TCHARS

if TYPE_CHECKING:
    from collections.abc import Sequence

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"

_NAME: Final = re.compile(TCHARS)
_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_TARGET: Final = re.compile(r"[\x21-\x7e]+")
_METHODS_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus}
# RFC 9110 section 6.4.1: these have no content, and 1xx and 204 no Content-Length either (section 8.6).
_NO_CONTENT: Final = frozenset({204, 304})


def encode_response(
    status: int,
    headers: Sequence[tuple[str, str]],
    body: bytes,
    *,
    keep_alive: bool,
    head: bool = False,
    version: str = "1.1",
) -> bytes:
    """Encode a response.

    Everything before the length is kept for the next time when `headers` is a tuple, so give a tuple for fields that
    return (a content type, the date of this second) and a list for those that do not.

    Args:
        status: 200 to 599.
        headers: Fields besides Content-Length, Transfer-Encoding and Connection, which are added as needed.
        body: The content.
        keep_alive: Whether the connection will be used further.
        head: Whether it answers a HEAD, so that the content is measured but not sent.
        version: The request's version; a "1.0" peer must be told that the connection stays.

    Raises:
        LocalProtocolError: The response cannot be expressed; its path names the field.
    """
    if type(headers) is tuple:
        start = _cached_start(status, headers, keep_alive, version)
    else:
        start = _response_start(status, tuple(headers), keep_alive, version)
    if status in _NO_CONTENT:
        if body:
            raise LocalProtocolError(f"a response with status {status} has no content; leave the body empty", "body")
        return start + b"\r\n"
    if head:
        return b"%bContent-Length: %d\r\n\r\n" % (start, len(body))
    return b"%bContent-Length: %d\r\n\r\n%b" % (start, len(body), body)


def usual_start(headers: tuple[tuple[str, str], ...]) -> bytes:
    """Encode what stands before the length in a 200 that leaves the connection open, to be kept by the caller for `usual_response`.

    Args:
        headers: As for `encode_response`.

    Raises:
        LocalProtocolError: As `encode_response` does.
    """
    return _response_start(200, headers, True, "1.1")


def usual_response(start: bytes, body: bytes) -> bytes:
    """Encode a 200 with content, to an HTTP/1.1 request that was no HEAD, which leaves the connection open: what most answers are.

    Args:
        start: What `usual_start` made of its headers.
        body: The content.
    """
    return b"%bContent-Length: %d\r\n\r\n%b" % (start, len(body), body)


def _response_start(status: int, headers: tuple[tuple[str, str], ...], keep_alive: bool, version: str) -> bytes:
    if not 200 <= status <= 599:
        raise LocalProtocolError(f"{status} is no final status; 200 to 599 was expected", "status")
    lines = [f"HTTP/1.1 {status} {_PHRASES.get(status, '')}"]
    for name, value in headers:
        if name.lower() == "connection":
            raise LocalProtocolError("this field is added here; say keep_alive instead", f"headers.{name}")
        lines.append(_field(name, value))
    if not keep_alive:
        lines.append("Connection: close")
    elif version == "1.0":
        lines.append("Connection: keep-alive")
    return "".join([f"{line}\r\n" for line in lines]).encode("latin-1")


# Keyed by values alone, so it can never answer wrongly; 256 is more than a server's kinds of answer within a second.
_cached_start: Final = lru_cache(maxsize=256)(_response_start)


def encode_request(method: str, target: str, headers: Sequence[tuple[str, str]], body: bytes = b"") -> bytes:
    """Encode a request of HTTP/1.1.

    Args:
        method: As in RFC 9110 section 9, in capitals.
        target: The path and query, percent-encoded.
        headers: Fields, Host among them; Content-Length is added where there is or could be content.
        body: The content.

    Raises:
        LocalProtocolError: The request cannot be expressed; its path names the part.
    """
    if not _NAME.fullmatch(method):
        raise LocalProtocolError(f"{method!r} is not a token", "method")
    if not _TARGET.fullmatch(target):
        raise LocalProtocolError(f"{target!r} has characters that must be percent-encoded, or none", "target")
    if sum(name.lower() == "host" for name, _ in headers) != 1:
        raise LocalProtocolError("exactly one Host is required by RFC 9112 section 3.2", "headers")
    lines = [f"{method} {target} HTTP/1.1", *(_field(name, value) for name, value in headers)]
    if body or method in _METHODS_WITH_BODY:
        lines.append(f"Content-Length: {len(body)}")
    return "".join([f"{line}\r\n" for line in lines]).encode("latin-1") + b"\r\n" + body


def _field(name: str, value: str) -> str:
    """Check a field, so that no value can end its line and begin another (response splitting)."""
    if not _NAME.fullmatch(name):
        raise LocalProtocolError(f"{name!r} is not a token", "headers")
    if name.lower() in {"content-length", "transfer-encoding"}:
        raise LocalProtocolError("this field is added here; leave it out", f"headers.{name}")
    # Callers without a type checker give numbers, as for Retry-After.
    if not isinstance(value, str) or not _VALUE.fullmatch(value):  # type: ignore[redundant-expr]
        raise LocalProtocolError(
            "the value is no string, or has a control character or one outside Latin-1; encode it as RFC 8187 does",
            f"headers.{name}",
        )
    return f"{name}: {value}"
