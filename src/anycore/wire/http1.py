"""HTTP/1.1 for servers: a parser of requests, fed with bytes as they come, and the door to the other HTTP/1.1 modules.

It knows no socket and no clock, and nothing of what the bodies mean. Grammar is judged by llhttp (httptools) in its
strict mode, one head at a time; where a message ends is decided here, and never by two places.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from anycore.wire.errors import RemoteProtocolError
from anycore.wire.http1_body import Body, ChunkedBody, FixedBody
from anycore.wire.http1_client import Response, ResponseParser
from anycore.wire.http1_encode import CONTINUE, encode_request, encode_response, usual_response, usual_start
from anycore.wire.http1_head import HeadBuffer, check_limits
from anycore.wire.http1_request import CHUNKED, KnownHead, Request, RequestHead, check_request_start, parse_request_head

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "CONTINUE",
    "Request",
    "RequestParser",
    "Response",
    "ResponseParser",
    "encode_request",
    "encode_response",
    "usual_response",
    "usual_start",
]

# What a connection's bytes are at any time. A request without a body goes from HEAD to HEAD, so a well-behaved peer
# with short requests never leaves that state. CLOSED and ERROR have no way out: after the last request that the peer
# announced, and after the first broken one, no byte has a meaning that can be trusted (RFC 9112 sections 9.6 and 11.2).
#
#   state   bytes are                     body        whole       last        broken
#   HEAD    a request line and fields     BODY        HEAD        CLOSED      ERROR
#   BODY    content of that request       -           HEAD        CLOSED      ERROR
#   CLOSED  ignored                       -           -           -           -
#   ERROR   ignored                       -           -           -           -
HEAD: Final = "head"
BODY: Final = "body"
CLOSED: Final = "closed"
ERROR: Final = "error"

_NEXT: Final[Mapping[tuple[str, str], str]] = {
    (HEAD, "body"): BODY,
    (HEAD, "whole"): HEAD,
    (HEAD, "last"): CLOSED,
    (HEAD, "broken"): ERROR,
    (BODY, "whole"): HEAD,
    (BODY, "last"): CLOSED,
    (BODY, "broken"): ERROR,
}

# Heads up to this size, in bytes, are remembered: a connection that idles must not hold on to more.
_MEMORABLE: Final = 2048
# A peer whose heads differ this often differs always (it sends trace ids, say), and remembering would only cost.
_ATTEMPTS: Final = 8


class RequestParser:
    """The requests of one connection.

    Args:
        max_line: Longest request line or header line, in bytes without CRLF.
        max_header_bytes: Largest head, request line included, in bytes.
        max_headers: Largest number of header lines.
        max_body: Largest body, in bytes.

    Attributes:
        error: Why the connection's bytes cannot be followed further, its `code` the status to answer with; None as long
            as they can. Set by `feed`, after the requests before it were returned.
        state: `HEAD`, `BODY`, `CLOSED` or `ERROR`.
    """

    __slots__ = ("_attempts", "_body", "_buffer", "_continue", "_known", "_limits", "_max_body", "_request",
                 "error", "state")  # fmt: skip

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
        self._buffer = HeadBuffer(max_line, max_header_bytes, check_request_start)
        self._request: Request | None = None
        self._body: Body | None = None
        self._continue = False
        self._known: KnownHead | None = None
        self._attempts = _ATTEMPTS
        self.error: RemoteProtocolError | None = None
        self.state = HEAD

    @property
    def mid_request(self) -> bool:
        """Whether some bytes of an unfinished request have been seen."""
        return self.state is BODY or (self.state is HEAD and bool(self._buffer))

    def take_continue(self) -> bool:
        """Tell, once, that the peer waits for `CONTINUE` before it sends the body of an acceptable request."""
        asked, self._continue = self._continue, False
        return asked

    def feed(self, data: bytes) -> list[Request]:
        """Take bytes as they come from the peer.

        Never raises: bytes that break the protocol set `error`, and all that follow are ignored, as are those after a
        request with `keep_alive` false.

        Returns:
            The requests that became complete, in order.
        """
        requests: list[Request] = []
        try:
            self._feed(data, requests)
        except RemoteProtocolError as error:
            self.error = error
            self.state = _NEXT[self.state, "broken"]
            self._body = self._request = None
            self._continue = False
        return requests

    def eof(self) -> None:
        """Take note that the peer sends no more.

        Raises:
            RemoteProtocolError: In the middle of a request (400).
        """
        if self.mid_request:
            raise RemoteProtocolError("the connection ended in the middle of a request", 400)

    def _feed(self, data: bytes, requests: list[Request]) -> None:
        position, size = 0, len(data)
        while position < size:
            if self.state is HEAD:
                position = self._feed_head(data, position, requests)
            elif self.state is BODY:
                position = self._feed_body(data, position, requests)
            else:
                return

    def _feed_head(self, data: bytes, position: int, requests: list[Request]) -> int:
        # Below 32 is the CR of an empty line, or nothing that begins a request: both are the buffer's business.
        end = -1 if self._buffer or data[position] < 32 else data.find(b"\r\n\r\n", position)
        if end < 0:
            position = self._buffer.feed(data, position)
            head = self._buffer.head
            if not head:
                return position
        else:
            head = data[position : end + 4]
            position = end + 4
        known = self._known
        opened = (known.match(head, self._max_body) if known is not None else None) or self._parse(head)
        request, length = opened.request, opened.length
        end = position + length
        if length >= 0 and end <= len(data):
            request.body = data[position:end]
            self._finish(request, requests)
            return end
        self._open_body(opened, waiting=position == len(data))
        return position

    def _parse(self, head: bytes) -> RequestHead:
        max_line, max_bytes, max_headers = self._limits
        if len(head) > max_line or len(head) > max_bytes:
            check_limits(head, max_line, max_bytes)
        opened = parse_request_head(head, max_headers, self._max_body)
        if self._attempts and len(head) <= _MEMORABLE and "expect" not in opened.request.headers:
            self._attempts -= 1
            self._known = KnownHead(head, opened)
        return opened

    def _open_body(self, opened: RequestHead, *, waiting: bool) -> None:
        if opened.length == CHUNKED:
            self._body = ChunkedBody(self._max_body, *self._limits)
        else:
            self._body = FixedBody(opened.length)
        self._request = opened.request
        # RFC 9110 section 10.1.1: who already sent part of the content does not wait.
        self._continue = opened.expects_continue and waiting
        self.state = _NEXT[self.state, "body"]

    def _feed_body(self, data: bytes, position: int, requests: list[Request]) -> int:
        body, request = self._body, self._request
        assert body is not None, "what the state BODY means"
        assert request is not None, "as above"
        self._continue = False
        position = body.feed(data, position)
        if body.complete:
            request.body = body.take()
            self._body = self._request = None
            self._finish(request, requests)
        return position

    def _finish(self, request: Request, requests: list[Request]) -> None:
        requests.append(request)
        self.state = _NEXT[self.state, "whole" if request.keep_alive else "last"]
