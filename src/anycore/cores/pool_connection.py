"""One connection of the pool core, as a row of steps between which it holds no thread. The core itself lives in `pool`."""

from __future__ import annotations

import asyncio
import logging
import select
import socket
import ssl
import threading
import time
from collections import deque
from concurrent.futures import CancelledError
from contextlib import suppress
from selectors import EVENT_READ, EVENT_WRITE
from typing import TYPE_CHECKING, Any, Final, cast

from anycore.conversations.base import Phase
from anycore.cores.base import AT_IN_FLIGHT, BUNDLE, give_up, peer_on
from anycore.cores.busy_poll import BusyPoll
from anycore.cores.greeting import greet, known
from anycore.cores.pool_pump import PoolPump
from anycore.kernel.call import Mode

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from anycore.conversations.base import Conversation, Job
    from anycore.conversations.rpyc import RpycConversation
    from anycore.cores.base import Listener
    from anycore.cores.pool import PoolCore
    from anycore.kernel.call import Identity

_log = logging.getLogger("anycore.core")

AGAIN: Final = 4
"""A step ended although more could be done, because others wait for a thread."""
ENDED: Final = 8
"""The connection is closed."""
_CHUNK: Final = 65536
_MOMENT: Final = 0.001
"""Seconds that a worker waits for the next message, while other workers have nothing to do."""
_SLICE: Final = 1 << 18
"""Bytes that are offered to the system at a time; OpenSSL wants to be offered the same again where it took none."""


class PoolConnection:
    """One connection. A worker is in `step`, or an asynchronous job runs, or the core's own thread watches the socket.

    Attributes:
        wants: What the last step ended for: an event of `selectors` to wait for, `AGAIN` or `ENDED`; 0 once the core has taken note, and
            while a step or an asynchronous job runs. To set it is the last thing a step does.
        watched: The events that the core watches the socket for; 0 while it does not.
        waits: What the connection waits for, as `(since, limit, phase)`; as in `ThreadedConnection`.
        expired: Whether it has waited too long for the peer; set by the core while it watches.
        told: Whether a step was made since the core stops.
    """

    def __init__(self, core: PoolCore, listener: Listener, raw: socket.socket, address: Any) -> None:
        self.socket = raw
        self.wants = 0
        self.watched = 0
        self.waits = (core.tick, core.limits.handshake_time, Phase.WORKING)
        self.expired = False
        self.told = False
        self._core = core
        self._listener = listener
        self._address = address
        self._conversation: Conversation | None = None
        self._identity: Identity | None = None
        self._go: Callable[[], int | None] = self._greet
        self._began = core.tick
        self._phase = Phase.IDLE
        self._jobs: deque[Job] = deque()
        self._out = memoryview(b"")
        self._sends_since = core.tick
        self._blocked = False
        self._input_ended = False
        self._refusing = False
        self._away: tuple[Job, Future[Any]] | None = None
        self._task: asyncio.Task[Any] | None = None
        self._aborted = False
        self._pump: PoolPump | None = None
        self._busy_poll: BusyPoll | None = None

    def step(self) -> None:
        """Go on for as long as there is no need to wait. Called by one worker at a time."""
        try:
            wants = self._go()
        except (ssl.SSLWantReadError, BlockingIOError):
            wants = EVENT_READ
        except ssl.SSLWantWriteError:
            wants = EVENT_WRITE
        except (OSError, CancelledError):
            wants = self._end()  # the peer has gone, or was sent away, or the core ends: nobody is left to tell
        except BaseException:  # noqa: BLE001 - one connection's failure is not another's
            _log.exception("the conversation with %s failed; its connection is ended", self._address)
            wants = self._end()
        if wants is not None:
            self.wants = wants

    def step_refusing(self) -> None:
        """Go on as in `step`, with a refusal in place of every job that may take its time."""
        self._refusing = True
        if self._pump is not None:
            self._pump.refusing = True
        try:
            self.step()
        finally:
            self._refusing = False
            if self._pump is not None:
                self._pump.refusing = False

    @property
    def shakes_hands(self) -> bool:
        """Whether it is not known yet who the peer is."""
        return self._conversation is None

    @property
    def pending(self) -> bool:
        """Whether there is work that the socket does not show."""
        return self._pump is not None and self._pump.pending

    def _greet(self) -> int | None:
        tls = self._listener.tls
        if tls is not None:
            if not isinstance(self.socket, ssl.SSLSocket):
                self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
            self._shake_hands(self.socket)
        elif self._listener.greet is not None:
            self._greet_apart()
            return None
        return self._open()

    def _greet_apart(self) -> None:
        """Have the peer greeted in a thread of its own, which gives the connection back to a worker."""
        self.waits = (self._core.tick, self._core.limits.handshake_time, Phase.WORKING)
        threading.Thread(target=self._greeted, name="anycore-greeting", daemon=True).start()

    def _greeted(self) -> None:
        try:
            self._identity = greet(self._listener, self.socket, self._core.limits.handshake_time)
            self.socket.setblocking(False)
            self._go = self._open
        except OSError:
            self._go = self._end
        if not self._core.proceed(self):
            self._end()

    def _open(self) -> int | None:
        self._core.handshakes.done(self)
        self._began = self._core.tick
        peer = known(peer_on(self._listener, self.socket, self._address), self._identity)
        conversation = self._conversation = self._listener.open(peer)
        self._go = self._talk
        if conversation.interactive:
            self._go = self._serve_burst
            self._pump = PoolPump(self._core, self, cast("RpycConversation", conversation))
            self._pump.refusing = self._refusing
            self._pump.begin()
        return self._go()

    def _shake_hands(self, tls: ssl.SSLSocket) -> None:
        handshakes = self._core.handshakes
        self.waits = (
            self._began,
            self._core.limits.handshake_time,
            Phase.WORKING,
        )  # from its beginning, however many steps it takes
        try:
            tls.do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            handshakes.failed(self._address, error)
            raise
        handshakes.done(self)

    def _talk(self) -> int | None:
        conversation, core = cast("Conversation", self._conversation), self._core
        full = worked = False
        if self._away is not None:
            self._return()
            worked = True
        while self._send(conversation):
            if self._jobs:
                worked = True
                if not self._work(conversation):
                    return None
                continue
            phase = conversation.phase
            if phase is Phase.CLOSING or self._input_ended or (core.stopping and phase is Phase.IDLE):
                return self._leave()
            self.waits = (self._began, core.phase_limits[phase], phase)
            if self.expired:
                conversation.time_out()
                self._input_ended = True
            elif full and core.crowded:
                return AGAIN
            else:
                data = self._read_soon() if worked and core.spare else self.socket.recv(_CHUNK)
                if data is None:
                    return EVENT_READ
                worked = False
                full = len(data) == _CHUNK or isinstance(self.socket, ssl.SSLSocket)
                self._feed(conversation, data, phase)
                if not full and not self._jobs and self._send(conversation) and conversation.phase is Phase.RECEIVING:
                    self.waits = (self._began, core.phase_limits[Phase.RECEIVING], Phase.RECEIVING)
                    return EVENT_READ
        return EVENT_WRITE

    def _read_soon(self) -> bytes | None:
        """Wait a moment for the peer's next message: to watch for it costs more, if it comes at once as those of most callers do."""
        if self._busy_poll is None:
            self._busy_poll = BusyPoll(self._core.limits.busy_poll_time)
        return self._busy_poll.read(self._receive, self._look)

    def _receive(self) -> bytes | None:
        raw = self.socket
        if not isinstance(raw, ssl.SSLSocket) or not raw.pending():
            poll = select.poll()
            poll.register(raw, select.POLLIN)
            if not poll.poll(_MOMENT * 1000):
                return None
        return self._look()

    def _look(self) -> bytes | None:
        try:
            return self.socket.recv(_CHUNK)
        except (BlockingIOError, ssl.SSLWantReadError):
            return None

    def _feed(self, conversation: Conversation, data: bytes, phase: Phase) -> None:
        if not data:
            self._input_ended = True
            conversation.eof()
            return
        self._jobs.extend(conversation.feed(data))
        if phase is Phase.IDLE:
            self._began = self._core.tick

    def _send(self, conversation: Conversation) -> bool:
        """Send what is ready; return whether the system took it all."""
        core = self._core
        if core.stopping:
            conversation.stop()
        elif core.retiring:
            conversation.retire()
        while self._out or (data := conversation.take()):
            if not self._out:
                self._out = memoryview(data)
                self._sends_since = core.tick
            self.waits = (self._sends_since, core.limits.send_time, Phase.WORKING)
            try:
                sent = self.socket.send(self._out[:_SLICE])
            except BlockingIOError:
                self._blocked = True
                return False
            self._out = self._out[sent:]
        if self._blocked:
            self._blocked = False
            self._began = core.tick
        return True

    def _work(self, conversation: Conversation) -> bool:
        """Run some quick jobs, or one that may take its time; return False when it goes on without this thread."""
        jobs = self._jobs
        if jobs[0].mode is not Mode.QUICK:
            return self._begin(conversation, jobs.popleft())
        for _ in range(BUNDLE):
            job = jobs.popleft()
            try:
                job.run()
            except Exception as error:  # noqa: BLE001 - no job may end the core
                give_up(job, error)
            self._finish(conversation, job)
            if not jobs or jobs[0].mode is not Mode.QUICK:
                break
        return True

    def _begin(self, conversation: Conversation, job: Job) -> bool:
        core = self._core
        self.waits = (core.tick, core.limits.work_time, Phase.WORKING)
        if not core.admit(refusing=self._refusing):
            job.refuse(AT_IN_FLIGHT)
        elif job.mode is Mode.ASYNC:
            future = core.loop.submit(self._run_away(job))
            self._away = (job, future)
            future.add_done_callback(self._come_back)
            return False
        else:
            try:
                job.run()
            except BaseException as error:  # noqa: BLE001 - as above; and a thread that ended would be missing for ever
                give_up(job, error)
            finally:
                core.in_flight.pop()
        self._finish(conversation, job)
        return True

    async def _run_away(self, job: Job) -> None:
        self._task = asyncio.current_task()
        try:
            await job.run_async()
        finally:
            self._task = None

    def _come_back(self, _: Future[Any]) -> None:
        self._core.in_flight.pop()
        if not self._core.proceed(self):
            self._end()

    def _return(self) -> None:
        """Take back the asynchronous job that has ended."""
        job, future = cast("tuple[Job, Future[Any]]", self._away)
        self._away = None
        if future.cancelled():
            if self._core.loop.closed:
                raise CancelledError
            if not self._aborted:
                give_up(job, CancelledError())
        elif (error := future.exception()) is not None:
            give_up(job, error)
        self._finish(cast("Conversation", self._conversation), job)

    def _finish(self, conversation: Conversation, job: Job) -> None:
        more = conversation.finish(job)
        if more:
            self._jobs.extendleft(reversed(more))
        self._began = self._core.tick

    def _serve_burst(self) -> int:
        """Let the pump serve a conversation whose jobs may wait for the peer, for as long as the peer goes on."""
        core, pump, conversation = (
            self._core,
            cast("PoolPump", self._pump),
            cast("RpycConversation", self._conversation),
        )
        while True:
            if core.stopping:
                conversation.stop()
            elif self.expired:
                conversation.time_out()
            if pump.over or conversation.phase is Phase.CLOSING:
                return self._end()
            phase = conversation.phase
            if phase is Phase.IDLE or phase is not self._phase:
                self._phase, self._began = phase, core.tick
            limit = conversation.idle_time if phase is Phase.IDLE else core.phase_limits[phase]
            self.waits = (self._began, limit if phase is not Phase.WORKING else 0.0, phase)
            if pump.serve_one(time.monotonic() + (_MOMENT if core.spare else 0.0)):
                if core.crowded:
                    return AGAIN
            elif not pump.pending and not pump.over:
                return EVENT_READ

    def _leave(self) -> int:
        """Say goodbye, and wait for the peer to close, so that what it still sends does not reset the connection under our last answer."""
        raw, core = self.socket, self._core
        self._go = self._linger
        self.expired = False
        self.waits = (core.tick, core.limits.linger_time, Phase.CLOSING)
        if isinstance(raw, ssl.SSLSocket):
            with suppress(OSError, ValueError):  # there is no waiting for the peer's own goodbye
                raw.unwrap()
        if core.limits.linger_time and not core.stopping:
            # Not the methods of SSLSocket, which would look for TLS in what comes.
            socket.socket.shutdown(raw, socket.SHUT_WR)
        return self._linger()

    def _linger(self) -> int:
        core = self._core
        while core.limits.linger_time and not core.stopping and not self.expired:
            if not socket.socket.recv(self.socket, _CHUNK):
                break
            if core.crowded:
                return AGAIN
        return self._end()

    def _end(self) -> int:
        self._core.handshakes.done(self)
        pump, self._pump = self._pump, None
        if self._busy_poll is not None:
            self._busy_poll.end()
        if self._conversation is not None:
            self._conversation.eof()
        if pump is not None:
            pump.release()
        else:
            self.socket.close()
        return ENDED

    def abandon(self) -> None:
        """The core has ended: close a connection whose asynchronous job does not."""
        if self._away is not None:
            self._end()

    def forsake(self) -> None:
        """The core ends, and the worker with it, in the middle of what it does: a service that is to be told of the end is told here."""
        if self._conversation is not None and self._pump is not None:
            self._conversation.eof()

    def abort(self) -> None:
        """End the connection under whoever uses it; they find out."""
        self._aborted = True
        with suppress(OSError):  # closed meanwhile
            # Not SSLSocket.shutdown, which would make the socket a plain one under the thread that uses it.
            socket.socket.shutdown(self.socket, socket.SHUT_RDWR)
        task = self._task
        if task is not None:
            with suppress(RuntimeError):  # the loop has ended
                task.get_loop().call_soon_threadsafe(task.cancel)
