"""The HTTP conversation: requests in, jobs out, responses back in the order of the requests (RFC 9112 section 9.3).

What a request means is decided by a `Site`; this file knows only that requests become exchanges and exchanges responses.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Protocol

from anycore.conversations.base import NO_JOBS, Conversation, Job, Phase
from anycore.conversations.exchange import RETRY, Exchange, Headers
from anycore.wire.http1 import CONTINUE, RequestParser, encode_response, usual_response

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anycore.kernel.call import Peer
    from anycore.kernel.incidents import Incidents
    from anycore.wire.http1 import Request


class Site(Protocol):
    """What a server answers to HTTP requests."""

    incidents: Incidents

    def parser(self) -> RequestParser:
        """Return a new request parser with the site's limits."""

    def open(self, request: Request, peer: Peer) -> tuple[Exchange, Sequence[Job]]:
        """Begin the answer to a request; raises nothing."""

    def date(self) -> str:
        """Return the present time for the `Date` header (RFC 9110 section 6.6.1)."""

    def start(self, headers: Headers) -> bytes:
        """Return the start of a usual response with these headers and the date; see `usual_start`."""


class HttpConversation(Conversation):
    """A peer's dialogue in HTTP/1.1 or 1.0.

    Args:
        peer: The peer.
        site: What requests mean.
        max_pipeline: Requests that may wait for their answers; reading pauses above it.
    """

    __slots__ = ("_closing", "_max_pipeline", "_parser", "_queue", "_stopping", "peer", "site")

    def __init__(self, peer: Peer, site: Site, *, max_pipeline: int = 64) -> None:
        self.peer = peer
        self.site = site
        self._max_pipeline = max_pipeline
        self._parser = site.parser()
        self._queue: deque[Exchange] = deque()
        self._closing = False
        self._stopping = False

    @property
    def phase(self) -> Phase:
        """Whose turn it is: ours while a response is due, else the peer's."""
        if self._queue:
            return Phase.WORKING
        if self._closing:
            return Phase.CLOSING
        return Phase.RECEIVING if self._parser.mid_request else Phase.IDLE

    @property
    def wants_input(self) -> bool:
        """False after the last request, and while too many requests wait for their answers."""
        return not self._closing and len(self._queue) < self._max_pipeline

    def feed(self, data: bytes) -> Sequence[Job]:
        """Take bytes; see `Conversation.feed`."""
        if self._closing:
            return NO_JOBS
        requests = self._parser.feed(data)
        if len(requests) == 1:
            exchange, jobs = self.site.open(requests[0], self.peer)
            exchange.pending = len(jobs)
            self._queue.append(exchange)
            if exchange.close:
                self._closing = True
        else:
            jobs = [job for request in requests for job in self._open(request)]
        if self._parser.error is not None:
            self._blame(self._parser.error.code, self._parser.error.message)
        return jobs

    def _open(self, request: Request) -> Sequence[Job]:
        if self._closing:
            return NO_JOBS
        exchange, jobs = self.site.open(request, self.peer)
        exchange.pending = len(jobs)
        self._queue.append(exchange)
        if exchange.close:
            self._closing = True
        return jobs

    def finish(self, job: Job) -> Sequence[Job]:
        """Take back a job; see `Conversation.finish`."""
        exchange = job.exchange  # type: ignore[attr-defined]  # only jobs of exchanges were handed out
        jobs: Sequence[Job] = job.settle()  # type: ignore[attr-defined]
        exchange.pending += len(jobs) - 1
        return jobs

    def take(self) -> bytes:
        """Return what is ready, in the order of the requests."""
        queue = self._queue
        ready = b""
        if queue and not queue[0].pending:
            ready = self._encode(queue.popleft())
            if queue and not queue[0].pending:
                parts = [ready]
                while queue and not queue[0].pending:
                    parts.append(self._encode(queue.popleft()))
                ready = b"".join(parts)
        # An interim response comes after the final ones of the requests before (RFC 9110 section 15.2).
        if not queue and not self._closing and self._parser.take_continue():
            ready += CONTINUE
        return ready

    def _encode(self, exchange: Exchange) -> bytes:
        request = exchange.request
        last = (exchange.close or self._closing or self._stopping) and not self._queue
        if last:
            self._closing = True
        elif exchange.status == 200 and request is not None and request.version == "1.1" and request.method != "HEAD":
            return usual_response(self.site.start(exchange.headers), exchange.body)
        return encode_response(
            exchange.status,
            (*exchange.headers, ("Date", self.site.date())),
            exchange.body,
            keep_alive=not last,
            head=request is not None and request.method == "HEAD",
            version="1.1" if request is None else request.version,
        )

    def _blame(self, status: int, message: str) -> None:
        """Answer bytes that are no request, after what came before them, and close."""
        self.site.incidents.note(self.peer, f"http-{status}", message)
        self._say_last(status, message)

    def _say_last(self, status: int, message: str) -> None:
        exchange = Exchange(None, self.peer)
        exchange.reply(status, f"{message}\n", headers=RETRY if status == 503 else ())
        self._queue.append(exchange)
        self._closing = True

    def eof(self) -> None:
        """The peer will send no more."""
        if self._parser.mid_request and not self._closing:
            self.site.incidents.note(self.peer, "http-cut", "the connection ended in the middle of a request")
        self._closing = True

    def time_out(self) -> None:
        """Answer 408 to half a request, 503 to one whose answer takes too long, and close."""
        phase = self.phase
        if phase is Phase.RECEIVING:
            self._blame(408, "the request did not arrive in time")
        elif phase is Phase.WORKING:
            message = "the answer was not ready in time; the connection is closed"
            self.site.incidents.note(self.peer, "http-slow", message)
            self._queue.clear()  # what their jobs still find goes nowhere
            self._say_last(503, message)
        self._closing = True

    def refuse(self, reason: str) -> None:
        """Answer 503 before any request, and close."""
        self._blame(503, reason)

    def retire(self) -> None:
        """Let the next response be the last, whenever it is due (RFC 9112 section 9.6)."""
        self._stopping = True

    def stop(self) -> None:
        """Let the next response be the last; when none is due, the last one was."""
        self._stopping = True
        if self.phase is Phase.IDLE:
            self._closing = True
