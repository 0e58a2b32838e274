"""The pool core: a fixed number of threads, and a selector for the connections on which there is nothing to do.

What happens on one connection lives in `pool_connection`. No connection holds a thread while it waits for its peer, neither to speak nor to
read nor to complete a hand-shake, nor while an `async def` method runs; one that speaks RPyC does while it waits for an answer of the peer.
"""

from __future__ import annotations

import logging
import selectors
import socket
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from anycore.conversations.base import Phase
from anycore.cores.base import AT_IN_FLIGHT, Core, Figures
from anycore.cores.forsaken import forsake
from anycore.cores.handshakes import Handshakes
from anycore.cores.loop_thread import CANCEL_SECONDS, LoopThread
from anycore.cores.pool_connection import AGAIN, ENDED, PoolConnection
from anycore.cores.sharing import AT_ONCE, MOMENT
from anycore.cores.turned_away import TurnedAway
from anycore.cores.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from anycore.cores.base import CoreLimits, Listener
    from anycore.kernel.call import Peer

_log = logging.getLogger("anycore.core")


class PoolCore(Core):
    """A fixed number of threads for all connections; coroutines run on one loop in a thread of its own.

    Args:
        listeners: Where to listen.
        limits: Bounds; `workers` is the number of threads, and what `in_flight` exceeds it by, how many connections may wait for one.
    """

    name = "pool"

    def __init__(self, listeners: Sequence[Listener], limits: CoreLimits | None = None) -> None:
        super().__init__(listeners, limits)
        self.loop = LoopThread()
        self.stopping = False
        self.tick = time.monotonic()
        self.in_flight: list[None] = []  # append and pop are atomic; a counter's += is not
        self._refused: list[None] = []
        self._accepted = 0
        self._timed_out = 0
        self._complained = 0.0
        self._asked_to_stop = False
        self._over = False
        self._swept = self.tick
        self._connections: set[PoolConnection] = set()
        self.handshakes: Handshakes[PoolConnection] = Handshakes(self.limits.handshakes, PoolConnection.abort)
        self._looks: deque[PoolConnection] = deque()
        self._queue_bound = max(1, self.limits.in_flight - self.limits.workers)
        self._workers = Workers(self.limits.workers, PoolConnection.step, _failed, self._wake)
        self._overflow = Workers(1, PoolConnection.step_refusing, _failed, self._wake)
        self._selector = selectors.DefaultSelector()
        self._turned_away = TurnedAway(self._selector, self.limits)
        self._put_off: deque[tuple[float, Listener]] = deque()
        self._pings: deque[Callable[[], None]] = deque()
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_reader.setblocking(False)
        self._wake_writer.setblocking(False)

    def run(self, startup: Callable[[], None] = lambda: None, shutdown: Callable[[], None] = lambda: None) -> None:
        """Serve until stopped; see `Core.run`."""
        try:
            for listener in self.listeners:
                listener.socket.listen(self.limits.backlog)
                listener.socket.setblocking(False)
                self._selector.register(listener.socket, selectors.EVENT_READ, listener)
            self._selector.register(self._wake_reader, selectors.EVENT_READ)
            startup()
            try:
                while not self._asked_to_stop and not self.retiring:
                    self._turn()
                self._close_listeners()
                if self.retiring:
                    self._wait(self.limits.drain_time or None)
                self._wind_down()
            finally:
                shutdown()
        finally:
            self.stopping = self._over = True
            for listener in self.listeners:
                listener.socket.close()
            self.loop.close()
            self._workers.close()
            self._overflow.close()
            for connection in self._connections:
                connection.abandon()
            self._selector.close()
            self._wake_reader.close()
            self._wake_writer.close()

    def _turn(self) -> None:
        """Wait until something happens, and see to it."""
        watches = self._connections or self._turned_away
        longest = self.limits.sweep_interval if watches or self.stopping else None
        happened = self._selector.select(MOMENT if self._put_off else longest)
        self.tick = time.monotonic()
        self._accept_after_others()
        for key, _ in happened:
            if isinstance(key.data, PoolConnection):
                self._unwatch(key.data)
                self._dispatch(key.data)
            elif key.data is self._turned_away:
                self._turned_away.drain(key.fileobj)
            elif key.data is None:
                self._heed_wake()
            else:
                self._heed_listener(key.data)
        self._collect()
        if self.tick - self._swept >= self.limits.sweep_interval:
            self._swept = self.tick
            self._sweep()

    def _heed_wake(self) -> None:
        with suppress(BlockingIOError):
            self._wake_reader.recv(4096)
        while self._pings:
            self._pings.popleft()()

    def _heed_listener(self, listener: Listener) -> None:
        if self.share is not None and self.share.ahead(len(self._connections)):
            self._selector.unregister(listener.socket)
            self._put_off.append((self.tick, listener))
        else:
            self._accept(listener)

    def _accept_after_others(self) -> None:
        while self._put_off and self.tick - self._put_off[0][0] >= MOMENT:
            _, listener = self._put_off.popleft()
            self._selector.register(listener.socket, selectors.EVENT_READ, listener)
            for _ in range(AT_ONCE):
                if not self._accept(listener):
                    break

    def _accept(self, listener: Listener) -> bool:
        """Accept a connection; return whether there was one."""
        try:
            raw, address = listener.socket.accept()
        except BlockingIOError:  # another process of the server has been quicker
            return False
        except OSError:
            time.sleep(0.001)  # out of descriptors, most likely: let connections end before the next try
            return False
        self._accepted += 1
        full = len(self._connections) >= self.limits.connections
        if full or (listener.greets and not self.handshakes.room()):
            self._refused.append(None)
            self._turned_away.refuse(listener, raw, address)
            return True
        raw.setblocking(False)
        if raw.family != getattr(socket, "AF_UNIX", None):
            with suppress(OSError):  # the peer has gone already
                raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = PoolConnection(self, listener, raw, address)
        self._connections.add(connection)
        if listener.greets:
            self.handshakes.add(connection)
        if listener.tls is None:
            self._dispatch(connection)
        else:
            self._watch(connection, selectors.EVENT_READ)  # the peer speaks first (RFC 8446 section 2)
        return True

    def _watch(self, connection: PoolConnection, events: int) -> None:
        connection.watched = events
        self._selector.register(connection.socket, events, connection)

    def _unwatch(self, connection: PoolConnection) -> None:
        connection.watched = 0
        self._selector.unregister(connection.socket)

    def _dispatch(self, connection: PoolConnection) -> None:
        """Give a connection to a worker, or where too many wait for one already, to the thread that refuses."""
        since, limit, phase = connection.waits
        if limit and self.tick - since > limit:  # also when its bytes keep coming
            if phase is Phase.RECEIVING:
                self._timed_out += 1
                connection.expired = True
            elif connection.shakes_hands:
                self._timed_out += 1
                connection.abort()
        connection.told = self.stopping
        connection.waits = (self.tick, self.limits.work_time, Phase.WORKING)
        (self._overflow if self._workers.waiting >= self._queue_bound else self._workers).submit(connection)

    def _collect(self) -> None:
        """Take back connections whose steps have ended."""
        for connection in (*self._workers.take(), *self._overflow.take()):
            wants = connection.wants
            if not wants:  # it runs on: its step ended with an asynchronous job that has brought it back to a worker
                continue
            connection.wants = 0
            if wants == ENDED:
                self._connections.discard(connection)
                if self.share is not None:
                    self.share.tell(len(self._connections))
            elif wants == AGAIN or connection.pending or connection.told is not self.stopping:
                self._dispatch(connection)
            else:
                self._watch(connection, wants)
        while self._looks:
            self._dispatch_watched(self._looks.popleft())

    def _dispatch_watched(self, connection: PoolConnection) -> None:
        if connection.watched:
            self._unwatch(connection)
            self._dispatch(connection)

    def _sweep(self) -> None:
        """End what takes too long."""
        now = self.tick
        self._turned_away.send_away()
        for connection in self._connections:
            since, limit, phase = connection.waits
            if not limit or now - since <= limit:
                continue
            if phase is Phase.WORKING:
                connection.waits = (now, limit, phase)
                self._timed_out += 1
                connection.abort()
            elif connection.watched:
                connection.expired = True
                self._dispatch_watched(connection)

    def _close_listeners(self) -> None:
        put_off = [listener for _, listener in self._put_off]
        self._put_off.clear()
        for listener in self.listeners:
            if listener not in put_off:
                self._selector.unregister(listener.socket)
            listener.socket.close()

    def _wind_down(self) -> None:
        self.stopping = True
        self._turned_away.send_away(everyone=True)
        for connection in self._connections:
            self._dispatch_watched(connection)
        self._wait(self.limits.stop_time or None)
        for connection in self._connections:
            connection.abort()
        self._wait(CANCEL_SECONDS)
        forsake(list(self._connections))

    def _wait(self, seconds: float | None) -> None:
        deadline = None if seconds is None else time.monotonic() + seconds
        while self._connections and (deadline is None or self.tick < deadline):
            if self._asked_to_stop and not self.stopping:
                break
            self._turn()

    # Called from workers and from the loop's thread.

    @property
    def crowded(self) -> bool:
        """Whether connections wait for a worker."""
        return bool(self._workers.waiting)

    @property
    def spare(self) -> bool:
        """Whether there is a worker for whoever comes next."""
        return self._workers.spare

    def admit(self, *, refusing: bool) -> bool:
        """Count a job that begins, or one that is refused; return which. Whoever runs the job takes it off `in_flight`."""
        self.in_flight.append(None)
        if not refusing and len(self.in_flight) <= self.limits.in_flight:
            return True
        self.in_flight.pop()
        self._refused.append(None)
        return False

    def complain(self, log: logging.Logger, peer: Peer) -> None:
        """Log that a peer's request was refused, once a second at most."""
        if self.tick - self._complained >= 1.0:
            self._complained = self.tick
            log.warning("a request of %s is refused, %d were so far: %s", peer, len(self._refused), AT_IN_FLIGHT)

    def proceed(self, connection: PoolConnection) -> bool:
        """Give a connection whose asynchronous job has ended back to a worker; return whether there are workers."""
        if not self._over:
            self._workers.submit(connection)
        return not self._over

    def look_at(self, connection: PoolConnection) -> None:
        """Have a worker look at a connection, although its socket shows nothing."""
        self._looks.append(connection)
        self._wake()

    def _wake(self) -> None:
        with suppress(OSError):  # it has been told already, or has ended
            self._wake_writer.send(b"!")

    def set_limits(self, limits: CoreLimits) -> None:
        """Keep other limits from now on; see `Core.set_limits`."""
        super().set_limits(limits)
        self._queue_bound = max(1, limits.in_flight - limits.workers)

    def stop(self) -> None:
        """Stop gracefully; see `Core.stop`."""
        self._asked_to_stop = True
        self._wake()

    def retire(self) -> None:
        """Leave new connections to another server; see `Core.retire`."""
        self.retiring = True
        self._wake()

    def run_coroutine(self, coroutine: Coroutine[Any, Any, Any], timeout: float | None = None) -> Any:
        """Run a coroutine on the core's loop and wait; see `Core.run_coroutine`."""
        return self.loop.run(coroutine, timeout)

    def ping(self, answer: Callable[[], None]) -> None:
        """Have the thread that waits for all connections call something; see `Core.ping`."""
        self._pings.append(answer)
        self._wake()

    def figures(self) -> Figures:
        """Return what was counted so far."""
        connections = len(self._connections) + len(self._turned_away)
        return Figures(connections, len(self.in_flight), self._accepted, len(self._refused), self._timed_out)


def _failed(connection: PoolConnection, error: BaseException) -> None:
    """A step raises nothing; so this is for what happens between its last line and the worker."""
    _log.error("a step of %s raised", connection, exc_info=error)
    connection.wants = ENDED
