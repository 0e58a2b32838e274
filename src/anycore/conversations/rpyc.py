"""The RPyC conversation: frames in, jobs and settled results out, frames back. What requests mean is `objects.connection`'s.

The peer's requests are done one after the other, in the order in which they came, unless concurrency is asked for. While one of them
waits for an answer of the peer, the next may run: so a callback may call back.
"""

from __future__ import annotations

from collections import deque
from threading import Lock
from typing import TYPE_CHECKING, Any

from anycore.conversations.base import NO_JOBS, Conversation, Job, Phase
from anycore.kernel.call import Mode
from anycore.wire import rpyc_constants as wire
from anycore.wire.errors import RemoteProtocolError
from anycore.wire.rpyc import FrameDecoder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from anycore.kernel.call import Peer
    from anycore.kernel.incidents import Incidents
    from anycore.objects.connection import Connection
    from anycore.objects.link import Link


class RequestJob(Job):
    """One request of the peer."""

    __slots__ = ("_connection", "_handler", "_sent", "_seq", "frame")

    def __init__(self, connection: Connection, seq: int, handler: Any, sent: Any, mode: Mode) -> None:
        self.mode = mode
        self.frame = b""
        self._connection = connection
        self._seq = seq
        self._handler = handler
        self._sent = sent

    def run(self) -> None:
        """Do what is asked."""
        self.frame = self._connection.handle(self._seq, self._handler, self._sent)

    def refuse(self, reason: str) -> None:
        """Answer that the server is at a limit."""
        self.frame = self._connection.refuse(self._seq, reason)


class _OpenJob(Job):
    """Tells the service about a new connection, before its first request."""

    __slots__ = ("_open",)

    def __init__(self, opened: Callable[[], None]) -> None:
        self.mode = Mode.BLOCKING
        self._open = opened

    def run(self) -> None:
        self._open()

    def refuse(self, reason: str) -> None:
        """Leave the service out of it; the requests will be refused as well."""


class RpycConversation(Conversation):
    """One peer's dialogue in RPyC's protocol.

    Args:
        peer: The peer.
        connection: Our end of it.
        incidents: Where bad input is counted; None at a client's end, which raises it instead.
        opened: Called as the first job; what it raises ends the connection.
        concurrency: How many of the peer's requests may run at once.
        max_frame: Bytes of a frame, as sent and after it is inflated.
        max_queue: Requests that may wait for their turn; reading pauses above it.
    """

    interactive = True

    def __init__(
        self,
        peer: Peer,
        connection: Connection,
        *,
        incidents: Incidents | None = None,
        opened: Callable[[], None] | None = None,
        concurrency: int = 1,
        max_frame: int = 64 * 1024 * 1024,
        max_queue: int = 1000,
    ) -> None:
        self.peer = peer
        self.connection = connection
        self._incidents = incidents
        self._opened = opened
        self._concurrency = concurrency
        self._max_queue = max_queue
        self._decoder = FrameDecoder(max_frame=max_frame, max_inflated=max_frame)
        self._queue: deque[Job] = deque()
        self._running = 0
        self._out: deque[bytes] = deque()
        self._lock = Lock()
        self._closing = False

    def begin(self, link: Link) -> Sequence[Job]:
        """Take the core's two verbs, and hand out the job that tells the service."""
        self.connection.link = link
        if self._opened is None:
            return NO_JOBS
        with self._lock:
            self._running += 1
        return (_OpenJob(self._opened),)

    @property
    def phase(self) -> Phase:
        """Whose turn it is; a peer may be silent for as long as it likes between messages."""
        if self._closing or self.connection.closed:
            return Phase.CLOSING
        if self._running or self._queue:
            return Phase.WORKING
        return Phase.RECEIVING if self._decoder.mid_frame else Phase.IDLE

    @property
    def wants_input(self) -> bool:
        """False after the end, and while too many requests wait for their turn."""
        return not self._closing and len(self._queue) < self._max_queue

    def feed(self, data: bytes) -> Sequence[Job]:
        """Take bytes; see `Conversation.feed`."""
        if self._closing:
            return NO_JOBS
        connection, requests = self.connection, []
        decode = connection.codec.decode
        try:
            for payload in self._decoder.feed(data):
                message = decode(payload)
                kind = message.kind
                if kind == wire.REQUEST:
                    handler, sent = self._request(message.args)
                    requests.append(RequestJob(connection, message.seq, handler, sent, connection.mode(handler, sent)))
                else:
                    connection.settle(message.seq, message.args, failed=kind == wire.EXCEPTION)
            if self._decoder.error is not None:
                raise self._decoder.error
        except RemoteProtocolError as error:
            self._blame(error)
        if not requests:
            return NO_JOBS
        with self._lock:
            self._queue.extend(requests)
            return self._next()

    @staticmethod
    def _request(args: Any) -> tuple[Any, Any]:
        if type(args) is tuple and len(args) == 2 and type(args[0]) is int:
            return args
        message = f"a request is a number and arguments, not {args!r:.100}"
        raise RemoteProtocolError(message, 0)

    def _next(self) -> Sequence[Job]:
        """Return the jobs whose turn it is; the lock is held."""
        jobs: list[Job] = []
        while self._queue and self._running < self._concurrency:
            jobs.append(self._queue.popleft())
            self._running += 1
        return jobs

    def finish(self, job: Job) -> Sequence[Job]:
        """Take back a job; see `Conversation.finish`."""
        if isinstance(job, RequestJob) and job.frame:
            self._out.append(job.frame)
        with self._lock:
            self._running -= 1
            return self._next()

    def suspend(self) -> Sequence[Job]:
        """A running job waits for the peer: let others run meanwhile."""
        with self._lock:
            self._running -= 1
            return self._next()

    def resume(self) -> None:
        """A job that waited goes on."""
        with self._lock:
            self._running += 1

    def take(self) -> bytes:
        """Return the frames that are ready."""
        out = self._out
        try:
            first = out.popleft()
        except IndexError:
            return b""
        if not out:
            return first
        parts = [first]
        while out:
            parts.append(out.popleft())
        return b"".join(parts)

    def eof(self) -> None:
        """The peer has gone; nothing can be answered any more."""
        self._closing = True
        self.connection.ended("the other side closed the connection")

    def time_out(self) -> None:
        """Close; there is no message that would say why."""
        self._blame(RemoteProtocolError(f"the peer took too long ({self.phase.value})", 0))

    def refuse(self, reason: str) -> None:
        """Close; the protocol has no answer before a request, so the log has the reason."""
        self._blame(RemoteProtocolError(reason, 0))

    def stop(self) -> None:
        """Close when nothing runs; a peer that waits for an answer still gets it."""
        if self.phase is not Phase.WORKING:
            self._closing = True
            self.connection.ended("the server stops")

    def _blame(self, error: RemoteProtocolError) -> None:
        if self._incidents is not None:
            self._incidents.note(self.peer, "rpyc", error.message)
        self._closing = True
        self.connection.ended(error.message)
