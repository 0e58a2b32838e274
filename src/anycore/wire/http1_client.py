"""HTTP/1.1 for clients: a parser of responses, fed with bytes as they come.

It must be told of each request sent, because only with the request's method does a response have an end. It knows no
socket and no clock.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from httptools import HttpResponseParser

from anycore.wire.errors import RemoteProtocolError
from anycore.wire.http1_body import Body, ChunkedBody, FixedBody, UntilCloseBody
from anycore.wire.http1_head import (
    HeadBuffer,
    check_chunked,
    check_grammar,
    check_limits,
    keeps_alive,
    parse_fields,
    parse_length,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

# As for requests, with one state more: without a length, the end of the connection is the end of the content.
#
#   state   bytes are                     body    until close  whole   last      broken
#   HEAD    a status line and fields      BODY    UNTIL_CLOSE  HEAD    CLOSED    ERROR
#   BODY    content of that response      -       -            HEAD    CLOSED    ERROR
#   UNTIL_CLOSE  content, until eof       -       -            -       CLOSED    ERROR
#   CLOSED  ignored                       -       -            -       -         -
#   ERROR   refused                       -       -            -       -         -
HEAD: Final = "head"
BODY: Final = "body"
UNTIL_CLOSE: Final = "until close"
CLOSED: Final = "closed"
ERROR: Final = "error"

_NEXT: Final[Mapping[tuple[str, str], str]] = {
    (HEAD, "body"): BODY,
    (HEAD, "until close"): UNTIL_CLOSE,
    (HEAD, "whole"): HEAD,
    (HEAD, "last"): CLOSED,
    (HEAD, "broken"): ERROR,
    (BODY, "whole"): HEAD,
    (BODY, "last"): CLOSED,
    (BODY, "broken"): ERROR,
    (UNTIL_CLOSE, "last"): CLOSED,
    (UNTIL_CLOSE, "broken"): ERROR,
}

_STATUS_LINE: Final = re.compile(r"HTTP/(1\.[01]) ([1-5][0-9][0-9])(?: [\t\x20-\x7e\x80-\xff]*)?")
_NO_CONTENT: Final = frozenset({204, 304})
# More than any chain of proxies sends of "100 Continue" and "103 Early Hints" before the response itself.
MAX_INTERIM: Final = 16


@dataclass(slots=True)
class Response:
    """One complete response.

    Attributes:
        status: 200 to 599; interim responses are skipped.
        headers: Names in lower case, the values of a repeated name joined with a comma.
        body: The content, its transfer coding undone and its content coding not.
        keep_alive: Whether the connection may be used further.
    """

    status: int
    headers: dict[str, str]
    body: bytes
    keep_alive: bool


class ResponseParser:
    """The responses of one connection.

    Args:
        max_line: Longest status line or header line, in bytes without CRLF.
        max_header_bytes: Largest head, in bytes.
        max_headers: Largest number of header lines.
        max_body: Largest body, in bytes.

    Attributes:
        error: Why the connection's bytes cannot be followed further, its `code` always 502; None as long as they can.
        state: `HEAD`, `BODY`, `UNTIL_CLOSE`, `CLOSED` or `ERROR`.
    """

    __slots__ = ("_body", "_buffer", "_interim", "_limits", "_max_body", "_methods", "_response", "error",
                 "state")  # fmt: skip

    def __init__(
        self,
        *,
        max_line: int = 8192,
        max_header_bytes: int = 65536,
        max_headers: int = 100,
        max_body: int = 16 * 1024 * 1024,
    ) -> None:
        self._limits = (max_line, max_header_bytes, max_headers)
        self._max_body = max_body
        self._buffer = HeadBuffer(max_line, max_header_bytes, _check_status_start)
        self._methods: deque[str] = deque()
        self._response: Response | None = None
        self._body: Body | None = None
        self._interim = 0
        self.error: RemoteProtocolError | None = None
        self.state = HEAD

    @property
    def outstanding(self) -> int:
        """The number of requests whose responses are not complete."""
        return len(self._methods)

    def expect(self, method: str) -> None:
        """Tell that a request was sent; to be called before its response is fed.

        Args:
            method: The request's method; the response to HEAD has no content whatever it says.
        """
        self._methods.append(method)

    def feed(self, data: bytes) -> list[Response]:
        """Take bytes as they come from the server.

        Returns:
            The responses that became complete, in order. When broken bytes follow them, the next call raises.

        Raises:
            RemoteProtocolError: The bytes break the protocol (502); so does every call after.
        """
        responses: list[Response] = []
        if self.error is None:
            try:
                self._feed(data, responses)
            except RemoteProtocolError as error:
                self._break(error.message)
        if self.error is not None and not responses:
            raise self.error
        return responses

    def eof(self) -> list[Response]:
        """Take note that the server sends no more.

        Returns:
            The response that ends with the connection, if that is how it was framed.

        Raises:
            RemoteProtocolError: A response is missing or incomplete (502).
        """
        if self.state is UNTIL_CLOSE:
            responses: list[Response] = []
            self._finish(responses)
            return responses
        if self.error is None and (self._buffer or self._methods):
            self._break("the connection ended before the response was complete")
        if self.error is not None:
            raise self.error
        return []

    def _break(self, message: str) -> None:
        self.error = RemoteProtocolError(message, 502)
        self.state = ERROR if self.state is CLOSED else _NEXT[self.state, "broken"]
        self._body = self._response = None

    def _feed(self, data: bytes, responses: list[Response]) -> None:
        position, size = 0, len(data)
        while position < size:
            if self.state is HEAD:
                position = self._feed_head(data, position, responses)
            elif self._body is not None:
                position = self._body.feed(data, position)
                if self._body.complete:
                    self._finish(responses)
            else:
                return

    def _feed_head(self, data: bytes, position: int, responses: list[Response]) -> int:
        if not self._methods:
            raise RemoteProtocolError("the server sent bytes that no request asked for", 502)
        if data[position] < 32 and not self._buffer:
            raise RemoteProtocolError("no HTTP response: a status line was expected", 502)
        position = self._buffer.feed(data, position)
        head = self._buffer.head
        if not head:
            return position
        max_line, max_bytes, _ = self._limits
        check_limits(head, max_line, max_bytes)
        self._open(head)
        if self._response is not None and self._body is None:
            self._finish(responses)
        return position

    def _open(self, head: bytes) -> None:
        lines = head.decode("latin-1").split("\r\n")
        version, status = _parse_status_line(lines[0])
        check_grammar(head, HttpResponseParser)
        headers = parse_fields(lines[1:-2], self._limits[2])
        if status < 200:
            self._skip_interim(status)
            return
        self._interim = 0
        keep_alive = keeps_alive(headers.get("connection", ""), version)
        self._response = response = Response(status, headers, b"", keep_alive)
        if self._methods[0] != "HEAD" and status not in _NO_CONTENT:
            self._open_body(response, version)

    def _skip_interim(self, status: int) -> None:
        self._interim += 1
        if status == 101:
            raise RemoteProtocolError("the server switches protocols, which was not asked for", 502)
        if self._interim > MAX_INTERIM:
            raise RemoteProtocolError(f"more than {MAX_INTERIM} interim responses", 502)

    def _open_body(self, response: Response, version: str) -> None:
        """Tell how the content is framed (RFC 9112 section 6.3)."""
        headers = response.headers
        if "transfer-encoding" in headers:
            if version == "1.0" or "content-length" in headers:
                raise RemoteProtocolError("Transfer-Encoding in HTTP/1.0 or next to Content-Length", 502)
            check_chunked(headers["transfer-encoding"])
            self._body = ChunkedBody(self._max_body, *self._limits)
        elif "content-length" in headers:
            length = parse_length(headers["content-length"])
            if length > self._max_body:
                raise RemoteProtocolError(f"the body is larger than {self._max_body} bytes", 502)
            self._body = FixedBody(length) if length else None
        else:
            response.keep_alive = False
            self._body = UntilCloseBody(self._max_body)
            self.state = _NEXT[self.state, "until close"]
            return
        if self._body is not None:
            self.state = _NEXT[self.state, "body"]

    def _finish(self, responses: list[Response]) -> None:
        response, body = self._response, self._body
        assert response is not None, "a body or a whole head has one"
        if body is not None:
            response.body = body.take()
        self._response = self._body = None
        self._methods.popleft()
        responses.append(response)
        self.state = _NEXT[self.state, "whole" if response.keep_alive else "last"]


def _check_status_start(line: bytes, complete: bool) -> None:
    if complete:
        _parse_status_line(line.decode("latin-1"))
    elif not b"HTTP/1.".startswith(line[:7]):
        raise RemoteProtocolError("no HTTP/1.1 response: HTTP/1.1 was expected", 502)


def _parse_status_line(line: str) -> tuple[str, int]:
    match = _STATUS_LINE.fullmatch(line)
    if match is None:
        raise RemoteProtocolError("the status line is malformed; HTTP/1.1 and three digits were expected", 502)
    return match[1], int(match[2])
