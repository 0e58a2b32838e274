"""A socket, read and written by whichever thread needs it: how threads wait for a peer that may ask in return.

One thread at a time reads; it settles everybody's results. A thread that waits while another reads sleeps until its result is settled
or the reading falls to it. Nobody holds a lock while it runs a job, and a lock is never taken in one function and released in another.

The peer's requests run on the thread that read them, where it is the only one here, so that a call back costs no change of threads.
Where other threads wait as well, a request gets a thread of its own: the one that read it may not be the one that it is about, and
must not be kept from its own answer. So does one that came together with others that may run at the same time; and where several
may, and the thread that serves is about to run one, another thread takes over the reading (leader and followers).
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from contextlib import suppress
from threading import get_ident
from typing import TYPE_CHECKING, Any, Final

from anycore.conversations.base import Phase
from anycore.cores.pump_outbox import Outbox
from anycore.cores.pump_stream import TICK, stream_of
from anycore.kernel.call import Mode
from anycore.objects.link import Link

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable, Sequence

    from anycore.conversations.base import Job
    from anycore.conversations.rpyc import RpycConversation
    from anycore.objects.result import AsyncResult

_log = logging.getLogger("anycore.rpyc")
_MAX_DEPTH: Final = 16
"""How many jobs may be under way on one stack; the next one gets a thread, for a stack is not endless."""
_MAX_WORKERS: Final = 64
_MAX_AHEAD: Final = 64 * 1024 * 1024
"""Bytes that are read ahead while the peer does not read."""
_CLOSE_SECONDS: Final = 1.0
_BATCH: Final = 16
"""Answers that are written in one go, at most, while there is more to do that is done at once."""
_BATCH_BYTES: Final = 1 << 16


class _Here(threading.local):
    """The running thread: how many jobs of this pump are under way on its stack."""

    depth = 0


class Pump(Link):
    """Moves the bytes of one interactive conversation over one connected socket.

    Args:
        connected: The socket.
        conversation: The conversation.
        run_async: Runs the coroutine of an asynchronous job and waits for it.
        stall_seconds: How long the peer may take in nothing while there is something to send, before it is given up.
    """

    def __init__(
        self,
        connected: socket.socket,
        conversation: RpycConversation,
        run_async: Callable[[Any], Any] | None = None,
        *,
        stall_seconds: float = 60.0,
    ) -> None:
        self.socket = connected
        self.ended = False
        self._conversation = conversation
        self._run_async = run_async
        self._stream = stream_of(connected)
        self._reading = threading.Lock()
        self._outbox = Outbox(self._stream, self._has_room, self._read_ahead, stall_seconds)
        self._reader = 0
        self._ahead: deque[bytes] = deque()
        self._ready: deque[Job] = deque()
        self._followers: deque[threading.Event] = deque()
        self._workers: set[threading.Thread] = set()
        self._serving: list[None] = []  # an item for each thread that serves, and for each of them that runs a request:
        self._occupied: list[None] = []  # lists rather than numbers, because these grow and shrink in one step
        self._here = _Here()
        self._server = 0  # the thread that serves from the beginning to the end, where there is one
        self._last_words: deque[Callable[[], Any]] = deque()

    def fileno(self) -> int:
        """Return the socket's descriptor, -1 after the end."""
        return self.socket.fileno()

    def set_concurrency(self, count: int) -> None:
        """Let so many requests of the peer run at the same time; see `Link.set_concurrency`."""
        self._conversation.set_concurrency(count)

    # Sending.

    def send(self, data: bytes) -> None:
        """Send bytes; see `Link.send`. A thread that finds another one sending leaves its bytes to it."""
        if self.ended:
            message = f"the connection has ended: {self._conversation.connection.end_reason or 'closed'}"
            raise EOFError(message)
        self._outbox.send(data)

    def _has_room(self) -> bool:
        return len(self._ahead) * 2**14 < _MAX_AHEAD

    def _read_ahead(self, alone: bool) -> None:
        """Take in what the peer sends, which may be stuck in the same way as the thread that sends here.

        Args:
            alone: Whether there is nothing else to do.
        """
        if self._reader == get_ident():
            self._stash()
        elif self._reading.acquire(blocking=False):
            try:
                self._stash()
            finally:
                self._reading.release()
                self._promote()
        elif alone:
            time.sleep(0.001)  # another thread reads; what makes the socket readable is about to go

    def _stash(self) -> None:
        data = self._stream.read(0.0)
        if data:
            self._ahead.append(data)
        elif data is not None:
            raise ConnectionError("the other side closed the connection")

    # Reading.

    def begin(self) -> None:
        """Start the conversation."""
        self._run(self._conversation.begin(self))

    def serve(self) -> None:
        """Read and work until the connection ends."""
        self._server = get_ident()
        try:
            self._serve()
        finally:
            self._conversation.connection.ended("it is served no longer")
            self.close()
            self.let_go()

    def _serve(self) -> None:
        self._serving.append(None)
        try:
            while not self.ended and self._conversation.phase is not Phase.CLOSING:
                self.serve_one(None)
        finally:
            self._serving.pop()

    def serve_one(self, deadline: float | None) -> bool:
        """Take what the peer sends next and do what follows from it; see `Link.serve_one`."""
        while not self.ended:
            if self._ready:
                self._work(alone=True)
                return True
            if self._reading.acquire(blocking=False):
                jobs: Iterable[Job] = ()
                self._reader = get_ident()
                try:
                    came, jobs = self._read(deadline)
                    if came and not jobs:
                        self._stream.acknowledge()
                finally:
                    self._stop_reading()
                if jobs:
                    self._run(jobs, alone=True)
                if came:
                    return True
            else:
                self._follow(None, deadline)
            if deadline is not None and time.monotonic() >= deadline:
                break
        return False

    def wait(self, result: AsyncResult, deadline: float | None) -> None:
        """Serve the connection until a result is settled; see `Link.wait`."""
        if self._reader == get_ident():
            message = (
                "this thread is reading the connection just now, so it cannot wait for an answer: a finaliser must not"
            )
            raise RuntimeError(message)
        if not self._here.depth:
            self._until(result, deadline)
            return
        self._flush()  # of answers before this one, which a quick job that asks the peer all the same must not hold back
        self._run(self._conversation.suspend())
        try:
            self._until(result, deadline)
        finally:
            self._conversation.resume()

    def _until(self, result: AsyncResult, deadline: float | None) -> None:
        reading = self._reading
        while not self._over(result):
            if self._ready:
                self._work()
                continue
            if reading.acquire(blocking=False):
                jobs: Iterable[Job] = ()
                self._reader = get_ident()
                try:
                    while not jobs:
                        came, jobs = self._read(deadline)
                        if self._over(result):
                            break
                        if came and not jobs:
                            self._stream.acknowledge()
                        elif not came and deadline is not None and time.monotonic() >= deadline:
                            break
                finally:
                    self._stop_reading()
                if jobs:
                    self._run(jobs)
            else:
                self._follow(result, deadline)
            if deadline is not None and time.monotonic() >= deadline:
                break
        if self._followers and not reading.locked():
            self._promote()  # this thread may have been told to read, and has no need to

    def _over(self, result: AsyncResult) -> bool:
        return result.settled or self.ended

    def _stop_reading(self) -> None:
        self._reader = 0
        self._reading.release()
        if self._followers:
            self._promote()
        if self.ended:
            self._dispose()

    def _promote(self) -> None:
        """Wake the thread that has slept longest, to read."""
        try:
            self._followers.popleft().set()
        except IndexError:
            return  # nobody sleeps

    def _follow(self, result: AsyncResult | None, deadline: float | None) -> None:
        """Sleep until the result is settled or it falls to this thread to read."""
        gate = threading.Event()
        self._followers.append(gate)
        if result is not None:
            result.open_when_settled(gate)
        if self._reading.locked() and not self.ended and not (result is not None and result.settled):
            gate.wait(TICK if deadline is None else min(TICK, max(0.0, deadline - time.monotonic())))
        try:
            self._followers.remove(gate)
        except ValueError:
            return  # woken to read

    def _read(self, deadline: float | None) -> tuple[bool, Iterable[Job]]:
        """Read once; return whether anything came, and the work that follows."""
        conversation = self._conversation
        if self._ahead:
            return True, conversation.feed(self._ahead.popleft())
        if self.ended:
            return False, ()
        try:
            data = self._stream.read(deadline)
            if data is None:
                return False, ()
            if data:
                return True, conversation.feed(data)
        except (OSError, ValueError) as error:
            conversation.connection.ended(self._outbox.failure or f"receiving failed: {error}")
        else:
            if self._outbox.failure:
                conversation.connection.ended(self._outbox.failure)
            else:
                conversation.eof()
        self.close()
        return False, ()

    # Working.

    def _run(self, jobs: Iterable[Job], *, alone: bool = False) -> None:
        self._ready.extend(jobs)
        if self._ready:
            self._work(alone=alone)

    def _work(self, *, alone: bool = False) -> None:
        """Do the work that is ready, here or in other threads.

        What is done at once is answered in one go, as far as it came together. What may take its time holds back no answer.

        Args:
            alone: Whether this thread is here to serve, so that nothing of its own waits meanwhile.
        """
        raised: BaseException | None = None
        ready = self._ready
        done: list[Job] = []  # kept until their answers are sent
        size = 0
        try:
            while ready:
                try:
                    job = ready.popleft()
                except IndexError:
                    break
                if (job.mode is not Mode.QUICK and done) or len(done) >= _BATCH or size >= _BATCH_BYTES:
                    self._flush()
                    done, size = [], 0
                if job.mode is not Mode.QUICK and (
                    self._here.depth >= _MAX_DEPTH
                    or (not alone and self._followers and not self.ended)
                    or (ready and self._conversation.parallel and len(self._workers) < _MAX_WORKERS)
                ):
                    self._hire(job)
                    continue
                if alone and job.mode is not Mode.QUICK and self._conversation.parallel:
                    self._occupy(job)
                else:
                    self._perform(job)
                done.append(job)
                size += len(getattr(job, "frame", b""))
                raised = raised or getattr(job, "raised", None)
        finally:
            self._flush()
        if raised is not None:
            raise raised

    def _perform(self, job: Job) -> None:
        here = self._here
        here.depth += 1
        try:
            if job.mode is Mode.ASYNC and self._run_async is not None:
                self._run_async(job.run_async())
            else:
                job.run()
        finally:
            here.depth -= 1
        self._give_back(job)

    def _occupy(self, job: Job) -> None:
        """Run a job while another thread reads on, because others of the peer's requests may run at the same time."""
        self._occupied.append(None)
        try:
            if len(self._occupied) >= len(self._serving) and len(self._workers) < _MAX_WORKERS:
                with suppress(RuntimeError):  # no thread is to be had: what follows waits for its turn
                    self._start(self._assist)
            self._perform(job)
        finally:
            self._occupied.pop()

    def _assist(self) -> None:
        """The life of a further thread that serves."""
        try:
            self._serve()
        except Exception:  # noqa: BLE001 - what a request is configured to raise is the serving thread's, which is not this one
            _log.warning("%s: a request raised in a thread of its own", self._conversation.connection, exc_info=True)
        finally:
            self._workers.discard(threading.current_thread())

    def _start(self, target: Callable[..., None], *args: Any) -> None:
        worker = threading.Thread(target=target, args=args, name="anycore-rpyc-request", daemon=True)
        self._workers.add(worker)
        try:
            worker.start()
        except RuntimeError:
            self._workers.discard(worker)
            raise

    def _give_back(self, job: Job) -> None:
        """Hand a job back; who calls this flushes soon, and keeps the job until then."""
        self._ready.extend(self._conversation.finish(job))

    def _flush(self) -> None:
        while (data := self._conversation.take()) and not self.ended:
            self._outbox.send(data)

    def _hire(self, job: Job) -> None:
        """Have a job done by a thread of its own."""
        if len(self._workers) >= _MAX_WORKERS:
            job.refuse(f"{_MAX_WORKERS} requests of this peer run already, or nest too deeply")
            self._give_back(job)
            return
        try:
            self._start(self._labour, job)
        except RuntimeError as error:
            job.refuse(str(error))
            self._give_back(job)

    def _labour(self, job: Job) -> None:
        try:
            self._perform(job)
            self._flush()
            self._work()
        except Exception:  # noqa: BLE001 - the last frame of a thread
            _log.exception("%s: a request failed against the rules", self._conversation.connection)
        finally:
            self._workers.discard(threading.current_thread())

    # The end.

    def tell(self, callbacks: Sequence[Callable[[], Any]]) -> None:
        """Call in the thread that serves, where there is one; see `Link.tell`.

        Who ends a connection from outside, as a server that stops, is not kept by what a service has to do about it.
        """
        self._last_words.extend(callbacks)
        if self._server in (0, get_ident()):
            self._say_last_words()

    def let_go(self) -> None:
        """No thread serves any more, or the one that does will not come back: what it was to do about the end is done here."""
        self._server = 0
        self._say_last_words()

    def _say_last_words(self) -> None:
        while self._last_words:
            try:
                callback = self._last_words.popleft()
            except IndexError:
                return  # another thread took it just now
            callback()

    def close(self) -> None:
        """Close the socket, once; a thread that reads finds out."""
        if not self.ended:
            while data := self._conversation.take():  # an answer may have ended the conversation
                self._outbox.add(data)
            self._outbox.drain(_CLOSE_SECONDS)
            self.ended = True
            self._stream.shut()
        while self._followers:
            self._promote()
        self._dispose()

    def _dispose(self) -> None:
        """Give the descriptor back, unless a thread reads from it: that one will do it when it has found out."""
        if self._reading.acquire(blocking=False):
            try:
                self.socket.close()
            finally:
                self._reading.release()
