"""The RPyC conversation: frames in, jobs and settled results out, frames back. What requests mean is `objects.connection`'s.

The peer's requests are done one after the other, in the order in which they came, unless concurrency is asked for. While one of them
waits for an answer of the peer, the next may run: so a callback may call back.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from anycore.conversations.base import Conversation, Phase
from anycore.conversations.rpyc_jobs import NOTHING, CallbackJob, CallJob, OpenJob, RequestJob
from anycore.kernel.call import Mode
from anycore.objects.answering import running
from anycore.objects.extensions import CANCEL, QUESTION
from anycore.objects.link import NoLink
from anycore.wire import rpyc_constants as wire
from anycore.wire.errors import RemoteProtocolError
from anycore.wire.rpyc import FrameDecoder
from anycore.wire.rpyc_constants import CALL, REPLY, REQUEST
from anycore.wire.rpyc_flat import flat_answer, flat_call

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from anycore.conversations.rpyc_jobs import RpycJob
    from anycore.kernel.call import Peer
    from anycore.kernel.incidents import Incidents
    from anycore.objects.connection import Connection
    from anycore.objects.link import Link
    from anycore.wire.rpyc import Message

_ASKED: Final = (wire.PING, (wire.VALUE, (QUESTION,)))


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
        idle_time: Seconds that the peer may be silent between messages; 0 for as long as it likes. The core looks.

    Attributes:
        idle_time: As above.
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
        idle_time: float = 0.0,
    ) -> None:
        self.peer = peer
        self.idle_time = idle_time
        self.connection = connection
        self._incidents = incidents
        self._opened = opened
        self._concurrency = concurrency
        self._max_queue = max_queue
        self._decoder = FrameDecoder(max_frame=max_frame, max_inflated=max_frame)
        self._queue: deque[RpycJob] | tuple[()] = ()  # most peers never have anything to put there
        self._turns: list[
            None
        ] = []  # an item for each job that runs: a list grows and shrinks in one step, a number does not
        self._jobs: dict[int, RpycJob] = {}
        self._out: list[bytes] = []
        self._lock = threading.RLock()  # a finaliser that runs inside may wait for the peer, and suspend a job
        self._closing = False
        self._stopping = False

    def begin(self, link: Link) -> Sequence[RpycJob]:
        """Take the core's two verbs, and hand out the job that tells the service."""
        self.connection.link = link
        if self._opened is None:
            return NOTHING
        self._turns.append(None)
        return (OpenJob(self.connection, self._opened),)

    @property
    def mid_frame(self) -> bool:
        """Whether the peer has begun a message and not ended it."""
        return self._decoder.mid_frame

    @property
    def phase(self) -> Phase:
        """Whose turn it is."""
        if self._closing or self.connection.closed:
            return Phase.CLOSING
        if self._turns or self._queue:
            return Phase.WORKING
        return Phase.RECEIVING if self._decoder.mid_frame else Phase.IDLE

    @property
    def wants_input(self) -> bool:
        """False after the end, and while too many requests wait for their turn."""
        return not self._closing and len(self._queue) < self._max_queue

    def feed(self, data: bytes) -> Sequence[RpycJob]:
        """Take bytes; see `Conversation.feed`."""
        if self._closing:
            return NOTHING
        decoder = self._decoder
        payloads = decoder.feed(data)
        if len(payloads) != 1 or decoder.error is not None:
            return self._feed_many(payloads) if payloads or decoder.error is not None else NOTHING
        try:
            job = self._understand(payloads[0])
        except RemoteProtocolError as error:
            self._blame(error)
            return NOTHING
        if job is None:
            return NOTHING
        if not job.urgent:
            if self._queue or len(self._turns) >= self._concurrency:
                return self._put_off((job,))
            self._turns.append(None)
        return (job,)

    def _feed_many(self, payloads: Sequence[bytes]) -> Sequence[RpycJob]:
        requests: list[RpycJob] = []
        told: list[RpycJob] = []
        try:
            for payload in payloads:
                job = self._understand(payload)
                if job is not None:
                    (told if job.urgent else requests).append(job)
            if self._decoder.error is not None:
                raise self._decoder.error
        except RemoteProtocolError as error:
            self._blame(error)
        if requests:
            told.extend(self._put_off(requests))
        return told or NOTHING

    def _understand(self, payload: bytes) -> RpycJob | None:
        """Take in a message; return what is to be done about it."""
        connection = self.connection
        codec = connection.codec
        if codec.flat and payload:
            kind = payload[0]
            if kind == REQUEST:
                call = flat_call(payload, connection.table.called, codec.max_depth, codec.max_digits)
                if call is not None:
                    seq, entry, args = call
                    if type(args) is tuple:
                        mode = Mode.BLOCKING if entry.says is None else entry.says(CALL)
                        job = self._jobs[seq] = CallJob(connection, seq, entry.obj, args, mode)
                        return job
            elif kind == REPLY:
                answer = flat_answer(payload, codec.max_depth, codec.max_digits)
                if answer is not None:
                    told = connection.deliver(*answer)
                    return CallbackJob(told) if told else None
        message = codec.decode(payload)
        if message.kind == wire.REQUEST:
            return self._request(message)
        told = connection.settle(message.seq, message.args, failed=message.kind == wire.EXCEPTION)
        return CallbackJob(told) if told else None

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

    def _put_off(self, jobs: Sequence[RpycJob]) -> Sequence[RpycJob]:
        """Queue jobs, and return those whose turn it is."""
        with self._lock:
            queue = self._queue
            if not isinstance(queue, deque):
                queue = self._queue = deque()
            queue.extend(jobs)
            return self._next()

    def _next(self) -> Sequence[RpycJob]:
        """Return the jobs whose turn it is; the lock is held."""
        queue = self._queue
        jobs: list[RpycJob] = []
        while isinstance(queue, deque) and queue and len(self._turns) < self._concurrency:
            self._turns.append(None)  # before the queue may become empty: who finds it so looks here next
            try:
                jobs.append(queue.popleft())
            except IndexError:  # a job that ended just now has given its turn to this one
                self._turns.pop()
        return jobs

    def finish(self, job: RpycJob) -> Sequence[RpycJob]:  # type: ignore[override] # what is given back was handed out here
        """Take back a job; see `Conversation.finish`."""
        if job.frame:
            self._out.append(job.frame)
        if job.urgent:
            return NOTHING
        if self._jobs.get(job.seq) is job:
            del self._jobs[job.seq]
        if self._queue:
            try:
                return (self._queue.popleft(),)  # the next one takes this one's turn
            except IndexError:  # another thread took it just now
                pass
        jobs = self.suspend()
        if self._stopping and not self._turns:
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
        """Whether the calling thread runs a job of this conversation, be it further up on its stack."""
        job = running.keeper
        while job is not None and job.connection is not self.connection:
            job = job.outer
        return job is not None

    def put(self, data: bytes) -> None:
        """Add a frame to what is ready to be sent. Takes no lock."""
        self._out.append(data)

    def suspend(self) -> Sequence[RpycJob]:
        """A job has ended, or waits for the peer: let others run."""
        self._turns.pop()
        if not self._queue:  # whoever is about to put something there looks at the turns afterwards
            return NOTHING
        with self._lock:
            return self._next()

    def resume(self) -> None:
        """A job that waited goes on."""
        self._turns.append(None)

    def take(self) -> bytes:
        """Return the frames that are ready; the jobs that made them are to be kept until these are sent.

        Over TLS it is one frame at a time, for a record of its own: RPyC's client looks at the bare socket for the next frame, and waits
        for ever if that came in the record of the one before.
        """
        out = self._out
        if not out:
            return b""
        try:
            first = out.pop(0)
        except IndexError:  # another thread took it just now
            return b""
        if not out or self.peer.tls:
            return first
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
