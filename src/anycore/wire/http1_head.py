"""The head of an HTTP/1.1 message: its bytes collected within limits, its grammar checked, its fields as a dict.

What requests and responses share lives here. What a request line or a status line means does not, nor do bodies.
Every refusal carries the status a server answers with; a client's parser turns them all into 502.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser, HttpResponseParser

from anycore.wire.errors import RemoteProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable

TCHARS: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"  # a token, RFC 9110 section 5.6.2
FIELD_LINE: Final = re.compile(TCHARS.encode() + rb":[\t\x20-\x7e\x80-\xff]*\r\n")

# RFC 9112 section 2.2 asks to ignore "at least one" empty line before a request line; a stream of them is no request.
MAX_BLANK_LINES: Final = 4
# More digits than any length that fits in memory; int() of thousands of digits is slow, and refused by Python itself.
MAX_LENGTH_DIGITS: Final = 18
# Fields that decide where a message ends, whom it is for, or whose it is: two of them is an attack or a fault (RFC 9112 3.2, 6.3,
# RFC 9110 11.6.2).
_SINGLE: Final = frozenset({"host", "content-length", "authorization"})


class HeadBuffer:
    """A head that arrives in pieces.

    It refuses early what can only get worse, and leaves the rest for the whole head, so that the outcome does not
    depend on how the bytes were split.

    Args:
        max_line: Longest line, in bytes without its CRLF.
        max_bytes: Longest head, in bytes with the empty line that ends it.
        check_start: Called with the start line as far as it is known, and with whether it is complete; it raises when
            no continuation could make the line acceptable.
    """

    __slots__ = ("_blank", "_buffer", "_check_start", "_line", "_max_bytes", "_max_line", "head")

    def __init__(self, max_line: int, max_bytes: int, check_start: Callable[[bytes, bool], None]) -> None:
        self._max_line = max_line
        self._max_bytes = max_bytes
        self._check_start = check_start
        self._buffer = bytearray()
        self._blank = 0
        self._line = 0
        self.head = b""

    def __bool__(self) -> bool:
        """Whether bytes of an unfinished head are held."""
        return bool(self._buffer)

    def feed(self, data: bytes, position: int) -> int:
        """Take bytes of a head; `head` is set once it is complete, and empty until then.

        Returns:
            The position in `data` after the last byte taken.

        Raises:
            RemoteProtocolError: The head is over a limit (414, 431) or cannot become a head (400, 505).
        """
        buffer = self._buffer
        known = len(buffer)
        buffer += data[position : position + self._max_bytes + 1 - known]
        position -= known
        while buffer.startswith(b"\r\n"):
            del buffer[:2]
            position += 2
            known = 0
            self._blank += 1
        if self._blank > MAX_BLANK_LINES:
            raise RemoteProtocolError("empty lines where a start line was expected", 400)
        end = buffer.find(b"\r\n\r\n", max(known - 3, 0))
        if end < 0:
            self.head = b""
            self._check_partial(known)
            return position + len(buffer)
        self.head = bytes(buffer[: end + 4])
        self._buffer = bytearray()
        self._blank = 0
        self._line = 0
        return position + end + 4

    def _check_partial(self, known: int) -> None:
        buffer = self._buffer
        if buffer.count(b"\n", known) != buffer.count(b"\r\n", max(known - 1, 0)):
            raise RemoteProtocolError("a line of the head ends with LF alone; CRLF was expected", 400)
        while (end := buffer.find(b"\r\n", self._line)) >= 0:
            self._check_line(self._line, end, complete=True)
            self._line = end + 2
        # The last byte may turn out to be the CR that ends the line.
        self._check_line(self._line, len(buffer) - buffer.endswith(b"\r"), complete=False)
        if len(buffer) > self._max_bytes:
            raise RemoteProtocolError(f"the header section is larger than {self._max_bytes} bytes", 431)

    def _check_line(self, start: int, end: int, *, complete: bool) -> None:
        too_long = end - start > self._max_line
        if start:
            if too_long:
                raise RemoteProtocolError(f"a header line is longer than {self._max_line} bytes", 431)
        elif too_long:
            raise RemoteProtocolError(f"the start line is longer than {self._max_line} bytes", 414)
        elif end:
            self._check_start(bytes(self._buffer[:end]), complete)


def check_limits(head: bytes, max_line: int, max_bytes: int) -> None:
    """Refuse a complete head that is over a limit.

    Raises:
        RemoteProtocolError: The start line is too long (414), or another line or the whole is (431).
    """
    start, *lines = head.split(b"\r\n")
    if len(start) > max_line:
        raise RemoteProtocolError(f"the start line is longer than {max_line} bytes", 414)
    if len(head) > max_bytes:
        raise RemoteProtocolError(f"the header section is larger than {max_bytes} bytes", 431)
    if any(len(line) > max_line for line in lines):
        raise RemoteProtocolError(f"a header line is longer than {max_line} bytes", 431)


def check_grammar(head: bytes, parser: type[HttpRequestParser | HttpResponseParser]) -> None:
    """Let llhttp, in its strict mode, judge a complete head.

    A fresh parser costs 0.1 us, and one that has seen a single head and nothing else has no state that an earlier
    message could have confused. Once it agrees, lines end with CRLF and nowhere else, names are tokens, values have no
    control characters, and the framing fields do not contradict each other.

    Raises:
        RemoteProtocolError: The head is refused (400).
    """
    try:
        parser(None).feed_data(head)
    except HttpParserUpgrade:
        return  # An upgrade is an offer, which RFC 9110 section 7.8 lets the receiver ignore.
    except HttpParserError as error:
        raise RemoteProtocolError(f"the head is malformed: {error}", 400) from error


def parse_fields(lines: list[str], max_headers: int) -> dict[str, str]:
    """Turn header lines that passed `check_grammar` into a dict.

    Args:
        lines: One field each, without CRLF, decoded as Latin-1.
        max_headers: Largest number of lines.

    Returns:
        Names in lower case; the values of a repeated name joined with a comma (RFC 9110 section 5.3).

    Raises:
        RemoteProtocolError: Too many lines (431), or a field repeated that may not be (400).
    """
    if len(lines) > max_headers:
        raise RemoteProtocolError(f"more than {max_headers} header lines", 431)
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        fields[name.lower()] = value.strip(" \t")
    if len(fields) != len(lines):
        return _join_repeated(lines)
    return fields


def _join_repeated(lines: list[str]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in lines:
        raw, _, value = line.partition(":")
        name = raw.lower()
        if name not in fields:
            fields[name] = value.strip(" \t")
        elif name in _SINGLE:
            raise RemoteProtocolError(f"the header {name} is repeated", 400)
        else:
            fields[name] += ", " + value.strip(" \t")
    return fields


def tokens(value: str) -> list[str]:
    """Split a comma-separated field value into its members, in lower case, the empty ones left out."""
    return [token for part in value.lower().split(",") if (token := part.strip(" \t"))]


def parse_length(value: str) -> int:
    """Return what a Content-Length field says, in bytes (RFC 9110 section 8.6).

    Raises:
        RemoteProtocolError: It is not a number (400), or one beyond all reason (413).
    """
    # isdecimal and not isdigit: the latter takes the superscripts of Latin-1.
    if not value.isdecimal():
        raise RemoteProtocolError("Content-Length is not a number", 400)
    if len(value) > MAX_LENGTH_DIGITS:
        raise RemoteProtocolError("Content-Length is beyond any limit", 413)
    return int(value)


def check_chunked(value: str) -> None:
    """Refuse a Transfer-Encoding other than chunked alone (RFC 9112 section 6.1).

    Raises:
        RemoteProtocolError: Another coding is applied below chunked (501), or chunked is not the last (400).
    """
    codings = tokens(value)
    if codings == ["chunked"]:
        return
    if codings[-1:] == ["chunked"] and "chunked" not in codings[:-1]:
        raise RemoteProtocolError(f"the transfer coding {codings[0][:40]!r} is not supported; send chunked alone", 501)
    raise RemoteProtocolError("Transfer-Encoding does not end with chunked, once", 400)


def keeps_alive(connection: str, version: str) -> bool:
    """Tell whether the connection outlives this message (RFC 9112 section 9.3).

    Args:
        connection: The Connection field; empty when it is absent.
        version: "1.0" or "1.1".
    """
    if not connection or connection == "keep-alive":
        return bool(connection) or version == "1.1"
    options = tokens(connection)
    if "close" in options:
        return False
    return version == "1.1" or "keep-alive" in options
