"""The RPyC conversation: frames in, jobs and settled results out, frames back. What requests mean is `objects.connection`'s.

The peer's requests are done one after the other, in the order in which they came, unless concurrency is asked for. While one of them
waits for an answer of the peer, the next may run: so a callback may call back.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from anycore.conversations.base import NO_JOBS, Conversation, Job, Phase
from anycore.kernel.call import Mode
from anycore.objects.answering import running
from anycore.objects.extensions import CANCEL, QUESTION
from anycore.objects.link import NoLink
from anycore.wire import rpyc_constants as wire
from anycore.wire.errors import RemoteProtocolError
from anycore.wire.rpyc import FrameDecoder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from anycore.kernel.call import Peer
    from anycore.kernel.incidents import Incidents
    from anycore.objects.connection import Connection
    from anycore.objects.link import Link
    from anycore.wire.rpyc import Message


_log = logging.getLogger("anycore.rpyc")


_ASKED: Final = (wire.PING, (wire.VALUE, (QUESTION,)))


def current_job() -> RequestJob | None:
    """Return the request that the running thread is at."""
    job = running.keeper
    return job if isinstance(job, RequestJob) else None


class RequestJob(Job):
    """One request of the peer. It is to be kept until its frame is sent, because it keeps alive what the frame speaks of.

    Attributes:
        seq: The request's number.
        handler: What is asked.
        frame: The answer; empty when none is due, or not yet.
        kept: The result, for as long as this job lives.
        cancelled: Whether the peer has said that it waits no longer.
        task: What runs, where that is a coroutine.
        urgent: Whether it takes no turn among the others.
        raised: What is to be raised in the serving thread as well, because the configuration says so of its kind.
    """

    __slots__ = (
        "_connection",
        "_sent",
        "_threads",
        "cancelled",
        "frame",
        "handler",
        "kept",
        "raised",
        "seq",
        "task",
        "urgent",
    )

    def __init__(
        self, connection: Connection, seq: int, handler: int, sent: Any, mode: Mode, threads: tuple[int, int] = (0, 0)
    ) -> None:
        self.mode = mode
        self.seq = seq
        self.handler = handler
        self.frame = b""
        self.raised: BaseException | None = None
        self._connection = connection
        self._sent = sent
        self._threads = threads
        self.kept: Any = None
        self.cancelled = False
        self.urgent = False
        self.task: asyncio.Task[Any] | None = None

    def run(self) -> None:
        """Do what is asked."""
        if self.cancelled:
            self.refuse("the caller gave this call up before its turn came")
            return
        sent, self._sent = self._sent, None
        here = running
        outer, job = here.connection, here.keeper
        here.connection, here.keeper = self._connection, self
        try:
            self.frame = self._connection.handle(self.seq, self.handler, sent, self, self._threads)
        finally:
            here.connection, here.keeper = outer, job

    def cancel(self) -> None:
        """Stop, or do not even begin: a coroutine is cancelled; other code that runs can only look, by `cancelled`."""
        self.cancelled = True
        task = self.task
        if task is not None:
            task.get_loop().call_soon_threadsafe(task.cancel)

    def refuse(self, reason: str) -> None:
        """Answer that the server is at a limit."""
        self._sent = None
        if self.handler != wire.CLOSE:
            self.frame = self._connection.refuse(self.seq, reason, self._threads)


class _OpenJob(Job):
    """Tells the service about a new connection, before its first request."""

    __slots__ = ("_connection", "_open")

    def __init__(self, connection: Connection, opened: Callable[[], None]) -> None:
        self.mode = Mode.BLOCKING
        self._connection = connection
        self._open = opened

    def run(self) -> None:
        outer, running.connection = running.connection, self._connection
        try:
            self._open()
        except Exception as error:  # noqa: BLE001 - whatever the service did, it ends here
            _log.exception("%s: the service's on_connect failed", self._connection)
            self._connection.ended(f"the service's on_connect failed: {error!r:.200}")
        finally:
            running.connection = outer

    def refuse(self, reason: str) -> None:
        """End the connection: a service that has not heard of it cannot serve it."""
        self._connection.ended(reason)


class CallbackJob(Job):
    """Calls back whoever asked to be told of an answer, or of the end. It is in nobody's way: it takes no turn among the requests."""

    __slots__ = ("_callbacks",)

    def __init__(self, callbacks: Sequence[Callable[[], Any]]) -> None:
        self.mode = Mode.BLOCKING
        self._callbacks = callbacks

    def run(self) -> None:
        """Call them, in their order."""
        for callback in self._callbacks:
            callback()

    def refuse(self, reason: str) -> None:
        """Nobody can be told: the results stay there to be asked."""
        _log.warning("callbacks about answers, or the end, were left out: %s", reason)


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
        self._queue: deque[Job] | tuple[()] = ()  # most peers never have anything to put there
        self._running = 0
        self._jobs: dict[int, RequestJob] = {}
        self._out: list[bytes] = []
        self._lock = threading.RLock()  # a finaliser that runs inside may wait for the peer, and suspend a job
        self._closing = False
        self._stopping = False

    def begin(self, link: Link) -> Sequence[Job]:
        """Take the core's two verbs, and hand out the job that tells the service."""
        self.connection.link = link
        if self._opened is None:
            return NO_JOBS
        with self._lock:
            self._running += 1
        return (_OpenJob(self.connection, self._opened),)

    @property
    def mid_frame(self) -> bool:
        """Whether the peer has begun a message and not ended it."""
        return self._decoder.mid_frame

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
        payloads = self._decoder.feed(data)
        if len(payloads) == 1 and self._decoder.error is None:
            try:
                message = self.connection.codec.decode(payloads[0])
                if message.kind == wire.REQUEST:
                    return self._admit(self._request(message))
            except RemoteProtocolError as error:
                self._blame(error)
                return NO_JOBS
            return self._settle(message)
        return self._feed_many(payloads) if payloads or self._decoder.error is not None else NO_JOBS

    def _feed_many(self, payloads: Sequence[bytes]) -> Sequence[Job]:
        decode = self.connection.codec.decode
        requests: list[Job] = []
        told: list[Job] = []
        try:
            for payload in payloads:
                message = decode(payload)
                if message.kind == wire.REQUEST:
                    job = self._request(message)
                    (told if job.urgent else requests).append(job)
                else:
                    told.extend(self._settle(message))
            if self._decoder.error is not None:
                raise self._decoder.error
        except RemoteProtocolError as error:
            self._blame(error)
        if requests:
            with self._lock:
                self._waiting().extend(requests)
                return [*told, *self._next()]
        return told or NO_JOBS

    def _settle(self, message: Message) -> Sequence[Job]:
        callbacks = self.connection.settle(message.seq, message.args, failed=message.kind == wire.EXCEPTION)
        return (CallbackJob(callbacks),) if callbacks else NO_JOBS

    def _admit(self, job: RequestJob) -> Sequence[Job]:
        """Return a request as the job to do now, if it is its turn."""
        if job.urgent:
            return (job,)
        with self._lock:
            if self._running < self._concurrency and not self._queue:
                self._running += 1
                return (job,)
            self._waiting().append(job)
            return NO_JOBS

    def _request(self, message: Message) -> RequestJob:
        handler, sent = message.args
        connection = self.connection
        sent, mode = connection.arrive(handler, sent)
        threads = (message.sender, message.receiver)
        job = RequestJob(connection, message.seq, handler, sent, mode, threads)
        if handler == CANCEL or (handler == wire.PING and message.args == _ASKED):
            job.urgent = True
            if handler == CANCEL:
                self._cancel(sent)
        else:
            self._jobs[message.seq] = job
        return job

    def _cancel(self, sent: Any) -> None:
        try:
            given_up = self._jobs.get(sent[1][0])
        except (TypeError, IndexError):
            return  # it is answered with an error
        if given_up is not None:
            given_up.cancel()

    def _waiting(self) -> deque[Job]:
        """Return the queue; the lock is held."""
        queue = self._queue
        if not isinstance(queue, deque):
            queue = self._queue = deque()
        return queue

    def _next(self) -> Sequence[Job]:
        """Return the jobs whose turn it is; the lock is held."""
        queue = self._queue
        if not isinstance(queue, deque):
            return NO_JOBS
        jobs: list[Job] = []
        while queue and self._running < self._concurrency:
            jobs.append(queue.popleft())
            self._running += 1
        return jobs

    def finish(self, job: Job) -> Sequence[Job]:
        """Take back a job; see `Conversation.finish`."""
        if type(job) is RequestJob:
            if job.frame:
                self._out.append(job.frame)
            if job.urgent:
                return NO_JOBS
            if self._jobs.get(job.seq) is job:
                del self._jobs[job.seq]
        elif type(job) is CallbackJob:
            return NO_JOBS
        with self._lock:
            self._running -= 1
            jobs = self._next()
            idle = not self._running
        if self._stopping and idle:
            self._end("the server stops")
        return jobs

    @property
    def parallel(self) -> bool:
        """Whether several of the peer's requests may run at once."""
        return self._concurrency > 1

    def set_concurrency(self, count: int) -> None:
        """Let so many of the peer's requests run at once from now on."""
        self._concurrency = count

    @property
    def inside(self) -> bool:
        """Whether the calling thread runs a job of this conversation."""
        return running.connection is self.connection

    def put(self, data: bytes) -> None:
        """Add a frame to what is ready to be sent. Takes no lock."""
        self._out.append(data)

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
        """Return the frames that are ready; the jobs that made them are to be kept until these are sent.

        Over TLS it is one frame at a time, for a record of its own: RPyC's client looks at the bare socket for the next frame, and waits
        for ever if that came in the record of the one before.
        """
        out = self._out
        try:
            first = out.pop(0)
            if not out or self.peer.tls:
                return first
        except IndexError:
            return b""
        parts = [first]
        while out:
            try:
                parts.append(out.pop(0))
            except IndexError:  # another thread took it just now
                break
        return b"".join(parts)

    def eof(self) -> None:
        """The peer has gone; nothing can be answered any more."""
        broken = " in the middle of a message" if self._decoder.mid_frame else ""
        self._end(f"the other side closed the connection{broken}")

    def time_out(self) -> None:
        """Close; there is no message that would say why."""
        self._blame(RemoteProtocolError(f"the peer took too long ({self.phase.value})", 0))

    def refuse(self, reason: str) -> None:
        """Close; the protocol has no answer before a request, so the log has the reason. The service, which knows of nothing, is not told."""
        if getattr(self.connection, "link", None) is None:
            self.connection.link = NoLink()
            self.connection.on_end = None
        self._blame(RemoteProtocolError(reason, 0))

    def stop(self) -> None:
        """Close when nothing runs; a peer that waits for an answer still gets it."""
        self._stopping = True
        if self.phase is not Phase.WORKING:
            self._end("the server stops")

    def _end(self, reason: str) -> None:
        self._closing = True
        self.connection.ended(reason)

    def _blame(self, error: RemoteProtocolError) -> None:
        if self._incidents is not None:
            self._incidents.note(self.peer, "rpyc", error.message)
        self._end(error.message)
