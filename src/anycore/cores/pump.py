"""A socket, read and written by whichever thread needs it: how threads wait for a peer that may ask in return.

One thread at a time reads; it settles everybody's results. A thread that waits while another reads sleeps until its result is settled
or the reading falls to it. Nobody holds a lock while it runs a job, and a lock is never taken in one function and released in another.

The peer's requests run on the thread that read them, where it is the only one here, so that a call back costs no change of threads.
Where other threads wait as well, a request gets a thread of its own: the one that read it may not be the one that it is about, and
must not be kept from its own answer. So does one that came together with others that may run at the same time; and where several
may, and the thread that serves is about to run one, another thread takes over the reading (leader and followers).
"""

from __future__ import annotations

import threading
import time
from collections import deque
from threading import get_ident
from typing import TYPE_CHECKING, Any, Final

from anycore.cores.pump_outbox import Outbox
from anycore.cores.pump_patience import Patience
from anycore.cores.pump_stream import TICK, stream_of
from anycore.cores.pump_working import Working
from anycore.objects.config import BUSY_POLL_TIME

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from anycore.conversations.rpyc import RpycConversation
    from anycore.conversations.rpyc_jobs import RpycJob
    from anycore.objects.result import AsyncResult

_MAX_AHEAD: Final = 64 * 1024 * 1024
"""Bytes that are read ahead while the peer does not read."""
_CLOSE_SECONDS: Final = 1.0


class Pump(Working):
    """Moves the bytes of one interactive conversation over one connected socket.

    Args:
        connected: The socket.
        conversation: The conversation.
        run_async: Runs the coroutine of an asynchronous job and waits for it.
        stall_seconds: How long the peer may take in nothing while there is something to send, before it is given up.
        receive_time: Seconds that a message of the peer may take, once it was seen to be incomplete; 0 for no limit. How long it may be
            silent otherwise, the conversation says.
        busy_poll_time: Seconds to look for what the peer sends before sleeping; see `BusyPoll`.
    """

    def __init__(
        self,
        connected: socket.socket,
        conversation: RpycConversation,
        run_async: Callable[[Any], Any] | None = None,
        *,
        stall_seconds: float = 60.0,
        receive_time: float = 0.0,
        busy_poll_time: float = BUSY_POLL_TIME,
    ) -> None:
        self.socket = connected
        self.ended = False
        self._conversation = conversation
        self._run_async = run_async
        self._stream = stream_of(connected, busy_poll_time)
        self._reading = threading.Lock()
        self._outbox = Outbox(self._stream, self._has_room, self._read_ahead, stall_seconds)
        limited = receive_time or conversation.idle_time
        self._patience = Patience(conversation, conversation.idle_time, receive_time) if limited else None
        self._reader = 0
        self._ahead: deque[bytes] = deque()
        self._ready: deque[RpycJob] = deque()
        self._followers: deque[threading.Event] = deque()
        self._workers: set[threading.Thread] = set()
        self._serving: list[None] = []  # an item for each thread that serves, and for each of them that runs a request:
        self._occupied: list[None] = []  # lists rather than numbers, because these grow and shrink in one step
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
        jobs = self._conversation.begin(self)
        if jobs:
            self._run(jobs)

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
            while not self.ended:
                self._turn(None)
        finally:
            self._serving.pop()

    def serve_one(self, deadline: float | None) -> bool:
        """Take what the peer sends next and do what follows from it; see `Link.serve_one`."""
        while not self.ended:
            if self._turn(deadline):
                return True
            if deadline is not None and time.monotonic() >= deadline:
                break
        return False

    def _turn(self, deadline: float | None) -> bool:
        """Do what is ready, or read once and do what follows; return whether there was anything."""
        if self._ready:
            self._work(alone=True)
            return True
        reading = self._reading
        if not reading.acquire(False):
            self._follow(None, deadline)
            return False
        self._reader = get_ident()
        try:
            jobs = self._read(deadline)
            if jobs is not None and not jobs:
                self._stream.acknowledge()
        finally:
            self._reader = 0
            reading.release()
            if self._followers or self.ended:
                self._stop_reading()
        if jobs:
            self._run(jobs)
        return jobs is not None

    def wait(self, result: AsyncResult, deadline: float | None) -> None:
        """Serve the connection until a result is settled; see `Link.wait`."""
        if self._reader == get_ident():
            message = (
                "this thread is reading the connection just now, so it cannot wait for an answer: a finaliser must not"
            )
            raise RuntimeError(message)
        if not self._conversation.inside:
            self._until(result, deadline)
            return
        self._flush()  # of answers before this one, which a quick job that asks the peer all the same must not hold back
        self._ready.extend(self._conversation.suspend())
        try:
            self._until(result, deadline)
        finally:
            self._conversation.resume()

    def _until(self, result: AsyncResult, deadline: float | None) -> None:
        reading = self._reading
        while not (result.settled or self.ended):
            if self._ready:
                self._work(alone=False)
            elif reading.acquire(False):
                jobs: Sequence[RpycJob] | None = None
                self._reader = get_ident()
                try:
                    while not jobs and not result.settled and not self.ended:  # type: ignore[redundant-expr] # it changes
                        jobs = self._read(deadline)
                        if jobs is None:
                            if deadline is not None and time.monotonic() >= deadline:
                                break
                        elif not jobs and not result.settled:
                            self._stream.acknowledge()
                finally:
                    self._reader = 0
                    reading.release()
                    if self._followers or self.ended:
                        self._stop_reading()
                if jobs:
                    self._ready.extend(jobs)
                    self._work(alone=False)
            else:
                self._follow(result, deadline)
            if deadline is not None and not result.settled and time.monotonic() >= deadline:  # type: ignore[redundant-expr] # likewise
                break
        if self._followers and not reading.locked():
            self._promote()  # this thread may have been told to read, and has no need to

    def _stop_reading(self) -> None:
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

    def _read(self, deadline: float | None) -> Sequence[RpycJob] | None:
        """Read once; return the work that follows, or None where nothing came."""
        conversation = self._conversation
        if self._ahead:
            return conversation.feed(self._ahead.popleft())
        if self.ended:
            return None
        try:
            data = self._stream.read(deadline)
        except (OSError, ValueError) as error:
            conversation.connection.ended(self._outbox.failure or f"receiving failed: {error}")
            self.close()
            return None
        if data:
            jobs = conversation.feed(data)
            if self._patience is not None:
                if not jobs:
                    self._patience.look(came=True)
                elif self._patience.since:
                    self._patience.since = 0.0
            return jobs
        if data is None:
            if self._patience is not None:
                self._patience.look(came=False)
        else:
            if self._outbox.failure:
                conversation.connection.ended(self._outbox.failure)
            else:
                conversation.eof()
            self.close()
        return None

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
