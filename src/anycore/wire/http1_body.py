"""Bodies of HTTP/1.1 messages that arrive in pieces: of a stated length, in chunks, or until the connection closes.

Which of the three a message has is decided with its head, elsewhere. Content codings (gzip) are not undone here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Protocol

from anycore.wire.errors import RemoteProtocolError
from anycore.wire.http1_head import FIELD_LINE

if TYPE_CHECKING:
    from collections.abc import Mapping

# RFC 9112 section 7.1.1: a recipient must limit the length of chunk extensions, which nobody uses for good.
MAX_CHUNK_LINE: Final = 256
MAX_EXTENSION_BYTES: Final = 16 * 1024
# Sixteen digits count more bytes than any machine has. No blank is taken before the semicolon, nor any control
# character after it: what other parsers make of those differs, and that difference is what smuggling lives on.
_CHUNK_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,16})((?:;[\t\x20-\x7e\x80-\xff]*)?)\r\n")


class Body(Protocol):
    """What the parsers need of a body under way."""

    complete: bool

    def feed(self, data: bytes, position: int) -> int:
        """Take bytes from `position` on and return the position after the last one taken."""

    def take(self) -> bytes:
        """Return the content received."""


class FixedBody:
    """A body of a stated length.

    Args:
        length: Its length in bytes; at least 1.
    """

    __slots__ = ("_content", "_missing", "_whole", "complete")

    def __init__(self, length: int) -> None:
        self._missing = length
        self._content = bytearray()
        self._whole = b""
        self.complete = False

    def feed(self, data: bytes, position: int) -> int:
        """Take bytes from `position` on and return the position after the last one taken."""
        end = position + self._missing
        if end > len(data):
            self._content += data[position:]
            self._missing = end - len(data)
            return len(data)
        self.complete = True
        if self._content:
            self._content += data[position:end]
        else:
            self._whole = data[position:end]
        return end

    def take(self) -> bytes:
        """Return the content received."""
        return self._whole or bytes(self._content)


class UntilCloseBody:
    """A body that ends with the connection (RFC 9112 section 6.3, rule 8); responses only.

    Args:
        max_body: Largest content, in bytes.
    """

    __slots__ = ("_content", "_max_body", "complete")

    def __init__(self, max_body: int) -> None:
        self._max_body = max_body
        self._content = bytearray()
        self.complete = False

    def feed(self, data: bytes, position: int) -> int:
        """Take all bytes from `position` on.

        Raises:
            RemoteProtocolError: The content is over its limit (413).
        """
        if len(self._content) + len(data) - position > self._max_body:
            raise _too_large(self._max_body)
        self._content += data[position:]
        return len(data)

    def take(self) -> bytes:
        """Return the content received."""
        return bytes(self._content)


# A chunked body (RFC 9112 section 7.1) is a sequence of lines, with content between some of them. Each state but DATA
# expects a line; the line decides what comes next:
#
#   state     expects                        and then
#   SIZE      size in hex [; extensions]     DATA, or TRAILER when the size is 0
#   DATA      that many bytes of content     DATA_END
#   DATA_END  an empty line                  SIZE
#   TRAILER   a field, or an empty line      TRAILER, or DONE when it is empty
#
# The event is what the line turned out to be.
_SIZE: Final = "size"
_DATA: Final = "data"
_DATA_END: Final = "data end"
_TRAILER: Final = "trailer"
_DONE: Final = "done"

_NEXT: Final[Mapping[tuple[str, str], str]] = {
    (_SIZE, "size"): _DATA,
    (_SIZE, "zero"): _TRAILER,
    (_DATA, "all"): _DATA_END,
    (_DATA_END, "empty"): _SIZE,
    (_TRAILER, "field"): _TRAILER,
    (_TRAILER, "empty"): _DONE,
}


class ChunkedBody:
    """A body in chunks (RFC 9112 section 7.1).

    Extensions and trailers are checked, bounded and dropped: nothing above this floor may take a trailer for a header.

    Args:
        max_body: Largest content, in bytes.
        max_line: Longest line of the trailer section, in bytes.
        max_trailer_bytes: Largest trailer section, in bytes.
        max_trailers: Largest number of lines in it.
    """

    __slots__ = ("_content", "_extensions", "_line", "_max_body", "_max_line", "_missing", "_state", "_trailer_bytes",
                 "_trailers", "complete")  # fmt: skip

    def __init__(self, max_body: int, max_line: int, max_trailer_bytes: int, max_trailers: int) -> None:
        self._max_body = max_body
        self._max_line = max_line
        self._trailer_bytes = max_trailer_bytes
        self._trailers = max_trailers
        self._extensions = MAX_EXTENSION_BYTES
        self._content = bytearray()
        self._line = bytearray()
        self._missing = 0
        self._state = _SIZE
        self.complete = False

    def feed(self, data: bytes, position: int) -> int:
        """Take bytes from `position` on and return the position after the last one taken.

        Raises:
            RemoteProtocolError: The chunks are malformed (400), the content (413) or the trailers (431) too large.
        """
        size = len(data)
        while position < size and not self.complete:
            if self._state is not _DATA:
                position = self._feed_line(data, position)
                continue
            end = min(position + self._missing, size)
            self._content += data[position:end]
            self._missing -= end - position
            position = end
            if not self._missing:
                self._state = _NEXT[_DATA, "all"]
        return position

    def take(self) -> bytes:
        """Return the content received."""
        return bytes(self._content)

    def _feed_line(self, data: bytes, position: int) -> int:
        limit = self._line_limit() - len(self._line)
        end = data.find(b"\n", position, position + limit) + 1
        if not end:
            self._line += data[position : position + limit]
            if len(data) - position >= limit:
                raise self._overlong()
            return len(data)
        line = bytes(self._line) + data[position:end]
        self._line.clear()
        self._state = _NEXT[self._state, self._event(line)]
        self.complete = self._state is _DONE
        return end

    def _line_limit(self) -> int:
        """Longest line that the state can take, with its CRLF; content that overruns its chunk shows after two bytes."""
        if self._state is _DATA_END:
            return 2
        return MAX_CHUNK_LINE + 2 if self._state is _SIZE else self._max_line + 2

    def _overlong(self) -> RemoteProtocolError:
        if self._state is _TRAILER:
            return RemoteProtocolError(f"a trailer line is longer than {self._max_line} bytes", 431)
        if self._state is _SIZE:
            return RemoteProtocolError(f"a chunk's size and extensions are longer than {MAX_CHUNK_LINE} bytes", 400)
        return RemoteProtocolError("a chunk is longer than its size says", 400)

    def _event(self, line: bytes) -> str:
        if self._state is _SIZE:
            return self._start_chunk(line)
        if line == b"\r\n":
            return "empty"
        if self._state is _DATA_END:
            raise self._overlong()
        self._trailers -= 1
        self._trailer_bytes -= len(line)
        if self._trailers < 0 or self._trailer_bytes < 0:
            raise RemoteProtocolError("the trailer section is too large", 431)
        if not FIELD_LINE.fullmatch(line):
            raise RemoteProtocolError("a trailer line is malformed", 400)
        return "field"

    def _start_chunk(self, line: bytes) -> str:
        match = _CHUNK_LINE.fullmatch(line)
        if match is None:
            raise RemoteProtocolError("a chunk's size is malformed; hexadecimal digits and CRLF were expected", 400)
        digits, extensions = match.groups()
        self._extensions -= len(extensions)
        if self._extensions < 0:
            raise RemoteProtocolError(f"more than {MAX_EXTENSION_BYTES} bytes of chunk extensions", 400)
        self._missing = int(digits, 16)
        if self._missing + len(self._content) > self._max_body:
            raise _too_large(self._max_body)
        return "size" if self._missing else "zero"


def _too_large(max_body: int) -> RemoteProtocolError:
    return RemoteProtocolError(f"the body is larger than {max_body} bytes", 413)
