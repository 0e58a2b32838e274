"""The head of an HTTP/1.1 request: what it asks for, and each reason to refuse it with its status.

Heads in pieces, bodies and the order of requests on a connection live elsewhere.
"""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import unquote_to_bytes

import msgspec
from httptools import HttpRequestParser

from anycore.wire.errors import RemoteProtocolError
from anycore.wire.http1_head import (
    MAX_LENGTH_DIGITS,
    TCHARS,
    check_chunked,
    check_grammar,
    keeps_alive,
    parse_fields,
    parse_length,
)

CHUNKED: Final = -1

# RFC 9110 section 9.3 and RFC 5789. A method outside this table is one that nobody here has heard of: 501, not 405.
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"})
_METHODS_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
_VERSIONS: Final = {"HTTP/1.1": "1.1", "HTTP/1.0": "1.0"}

_METHOD_START: Final = re.compile(TCHARS.encode() + rb"(?: .*)?", re.DOTALL)
_METHOD: Final = re.compile(TCHARS)
_OTHER_VERSION: Final = re.compile(TCHARS + r" \S+(?: HTTP/[0-9]+(?:\.[0-9]+)?)?")
_ABSOLUTE: Final = re.compile(r"https?://([^/?]+)(.*)", re.IGNORECASE)
# RFC 3986 section 3.2 without user information, which RFC 9110 section 4.2.4 wants refused, and without a comma, by
# which a repeated Host would show.
_AUTHORITY: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+;=%-]*)(?::[0-9]*)?")
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


class Kin:
    """What requests of one connection have in common whose heads differ in nothing but the length.

    Attributes:
        note: For whoever reads the requests: what follows from their heads. None until then.
    """

    __slots__ = ("note",)

    def __init__(self) -> None:
        self.note: Any = None


class Request(msgspec.Struct, eq=False):
    """One complete request.

    Attributes:
        method: As sent, one of RFC 9110's or PATCH.
        target: As sent.
        path: The target's path, percent-decoded as UTF-8, without control characters; "*" for OPTIONS of the whole.
        query: What follows the question mark, as sent.
        version: "1.0" or "1.1".
        headers: Names in lower case, the values of a repeated name joined with a comma.
        body: The content, its transfer coding undone and its content coding not.
        keep_alive: Whether the peer wants to use the connection further.
        kin: The same object as in other requests with such a head; None where nobody knows.
    """

    method: str
    target: str
    path: str
    query: str
    version: str
    headers: dict[str, str]
    body: bytes
    keep_alive: bool
    kin: Kin | None = None

    def __eq__(self, other: object) -> bool:
        """Compare what two requests say."""
        return isinstance(other, Request) and _said(self) == _said(other)

    __hash__ = None  # type: ignore[assignment]  # it may be changed


def _said(request: Request) -> tuple[object, ...]:
    return msgspec.structs.astuple(request)[:-1]


class RequestHead(msgspec.Struct):
    """A request whose body is still to come.

    Attributes:
        request: The request, its body empty.
        length: Bytes of body that follow, or `CHUNKED`.
        expects_continue: Whether the peer waits for "100 Continue" before it sends them.
    """

    request: Request
    length: int
    expects_continue: bool


class KnownHead:
    """A head that was parsed, to be recognised when the peer sends it again with no more changed than its length.

    An RPC client repeats its head with every call; this saves four fifths of parsing it. Digits for digits is the one
    exchange that cannot change what the rest of the head means.

    Args:
        head: The bytes that were parsed.
        opened: What they meant, without an expectation. It may be changed by its owner afterwards.
    """

    __slots__ = ("_opened", "_prefix", "_suffix")

    def __init__(self, head: bytes, opened: RequestHead) -> None:
        self._opened = _copy(opened, opened.length)
        self._opened.request.kin = Kin()
        self._prefix, self._suffix = head, b""
        for name in (b"\r\nContent-Length: ", b"\r\ncontent-length: "):
            start = head.find(name) + len(name)
            if start >= len(name):
                self._prefix, self._suffix = head[:start], head[head.index(b"\r\n", start) :]

    def match(self, head: bytes, max_body: int) -> RequestHead | None:
        """Return what `head` means if it is the known one, and None if it has to be parsed."""
        prefix, suffix = self._prefix, self._suffix
        if not (head.startswith(prefix) and head.endswith(suffix)):
            return None
        opened = self._opened
        digits = head[len(prefix) : len(head) - len(suffix)]
        if not suffix:
            return None if digits else _copy(opened, opened.length)
        if not digits.isdigit() or len(digits) > MAX_LENGTH_DIGITS:
            return None
        length = int(digits)
        if length > max_body:
            return None
        known = _copy(opened, length)
        known.request.headers["content-length"] = digits.decode()
        return known


def _copy(opened: RequestHead, length: int) -> RequestHead:
    old = opened.request
    request = Request(
        old.method, old.target, old.path, old.query, old.version, old.headers.copy(), b"", old.keep_alive, old.kin
    )
    return RequestHead(request, length, expects_continue=False)


def parse_request_head(head: bytes, max_headers: int, max_body: int) -> RequestHead:
    """Parse a complete head.

    Args:
        head: All its bytes, from the request line to the empty line.
        max_headers: Largest number of header lines.
        max_body: Largest Content-Length, in bytes.

    Raises:
        RemoteProtocolError: With the status to answer: 400, 405, 411, 413, 417, 431, 501 or 505.
    """
    lines = head.decode("latin-1").split("\r\n")
    method, target, version = parse_request_line(lines[0])
    check_grammar(head, HttpRequestParser)
    headers = parse_fields(lines[1:-2], max_headers)
    path, query, authority = parse_target(target, method)
    _check_host(headers.get("host"), version)
    if authority:
        # RFC 9112 section 3.2.2: the target's authority stands in for whatever Host says.
        headers["host"] = authority
    length = _body_length(headers, method, version, max_body)
    expects = "expect" in headers and _expects_continue(headers["expect"], version) and length != 0
    keep_alive = keeps_alive(headers.get("connection", ""), version)
    return RequestHead(Request(method, target, path, query, version, headers, b"", keep_alive), length, expects)


def check_request_start(line: bytes, complete: bool) -> None:
    """Refuse the beginning of a request line that nothing can make good, such as that of a TLS hand-shake.

    Args:
        line: The request line as far as it is known, without CRLF; not empty.
        complete: Whether that is all of it.
    """
    if complete:
        parse_request_line(line.decode("latin-1"))
    elif not _METHOD_START.fullmatch(line[:64]):
        raise RemoteProtocolError("no HTTP request: a method was expected", 400)


def parse_request_line(line: str) -> tuple[str, str, str]:
    """Split a request line into method, target and version (RFC 9112 section 3).

    Raises:
        RemoteProtocolError: It is malformed (400), of another version (505), or its method is not served (405, 501).
    """
    parts = line.split(" ")
    if len(parts) != 3 or parts[2] not in _VERSIONS:
        if _OTHER_VERSION.fullmatch(line):
            raise RemoteProtocolError("only HTTP/1.1 and HTTP/1.0 are served here", 505)
        raise RemoteProtocolError("the request line is malformed; METHOD target HTTP/1.1 was expected", 400)
    method, target, version = parts
    if method not in _METHODS:
        raise _refused_method(method)
    return method, target, _VERSIONS[version]


def _refused_method(method: str) -> RemoteProtocolError:
    if not _METHOD.fullmatch(method):
        return RemoteProtocolError("the method is not a token", 400)
    if method == "CONNECT":
        return RemoteProtocolError("CONNECT is for proxies, and this is none", 405)
    return RemoteProtocolError(f"the method {method[:40]} is not known", 501)


def parse_target(target: str, method: str) -> tuple[str, str, str]:
    """Split a request target (RFC 9112 section 3.2).

    Returns:
        The decoded path, the query as sent, and the authority of an absolute target or an empty string.

    Raises:
        RemoteProtocolError: The target is malformed (400).
    """
    if not (target.isascii() and target.isprintable()) or "#" in target:
        raise RemoteProtocolError("the request target has a character that a URL cannot have", 400)
    authority = ""
    rest = target
    if not target.startswith("/"):
        if target == "*" and method == "OPTIONS":
            return "*", "", ""
        match = _ABSOLUTE.fullmatch(target)
        if match is None or not _AUTHORITY.fullmatch(match[1]) or match[1].startswith(":"):
            raise RemoteProtocolError("the request target is neither a path nor an http URL", 400)
        authority, rest = match.groups()
    path, _, query = rest.partition("?")
    if "%" in path:
        path = _unquote(path)
    return path or "/", query, authority


def _unquote(path: str) -> str:
    if _BAD_ESCAPE.search(path):
        raise RemoteProtocolError("the path has a % that two hexadecimal digits do not follow", 400)
    try:
        decoded = unquote_to_bytes(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise RemoteProtocolError("the path is not percent-encoded UTF-8", 400) from error
    if _CONTROL.search(decoded):
        raise RemoteProtocolError("the path has a percent-encoded control character", 400)
    return decoded


def _check_host(host: str | None, version: str) -> None:
    if host is None:
        if version == "1.1":
            raise RemoteProtocolError("the header Host is missing, which HTTP/1.1 requires", 400)
    elif not _AUTHORITY.fullmatch(host):
        raise RemoteProtocolError("the header Host is malformed; a name or address with or without port is", 400)


def _body_length(headers: dict[str, str], method: str, version: str, max_body: int) -> int:
    """Tell how the body is framed (RFC 9112 section 6.3)."""
    if "transfer-encoding" in headers:
        return _check_coding(headers, version)
    if "content-length" not in headers:
        if method in _METHODS_WITH_BODY:
            raise RemoteProtocolError(f"{method} needs a Content-Length, or chunked transfer coding", 411)
        return 0
    length = parse_length(headers["content-length"])
    if length > max_body:
        raise RemoteProtocolError(f"the body is larger than {max_body} bytes", 413)
    return length


def _check_coding(headers: dict[str, str], version: str) -> int:
    # RFC 9112 section 6.1: the framing of such a message is faulty, for a 1.0 hop would have passed it on unread.
    if version == "1.0":
        raise RemoteProtocolError("Transfer-Encoding does not exist in HTTP/1.0", 400)
    if "content-length" in headers:
        raise RemoteProtocolError("Content-Length and Transfer-Encoding contradict each other", 400)
    check_chunked(headers["transfer-encoding"])
    return CHUNKED


def _expects_continue(expect: str, version: str) -> bool:
    """Read the Expect field (RFC 9110 section 10.1.1); an HTTP/1.0 peer cannot wait for an interim answer."""
    if expect.lower() != "100-continue":
        raise RemoteProtocolError("the only expectation that can be met is 100-continue", 417)
    return version == "1.1"
