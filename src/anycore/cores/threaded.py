"""The threaded core: a thread for each connection, which reads, works and writes. A sweeper ends what takes too long.

What happens on one connection lives in `threaded_connection`.
"""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from anycore.conversations.base import Phase
from anycore.cores.base import DRAIN_STEP, Core, Figures
from anycore.cores.busy_poll import AcceptPoll
from anycore.cores.crew import Crew
from anycore.cores.forsaken import forsake
from anycore.cores.handshakes import Handshakes
from anycore.cores.loop_thread import CANCEL_SECONDS, LoopThread
from anycore.cores.sharing import MOMENT
from anycore.cores.threaded_connection import ThreadedConnection
from anycore.cores.turned_away import TurnedAway

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from anycore.cores.base import CoreLimits, Listener


class ThreadedCore(Core):
    """A thread for each connection; coroutines run on one loop in a thread of its own.

    Args:
        listeners: Where to listen.
        limits: Bounds; the defaults when left out.
    """

    name = "threaded"

    def __init__(self, listeners: Sequence[Listener], limits: CoreLimits | None = None) -> None:
        super().__init__(listeners, limits)
        self.loop = LoopThread()
        self.stopping = False
        self.tick = time.monotonic()
        self.in_flight: list[None] = []  # append and pop are atomic; a counter's += is not
        self.refused: list[None] = []
        self._accepted = 0
        self._timed_out = 0
        self._connections: set[ThreadedConnection] = set()
        self.handshakes: Handshakes[ThreadedConnection] = Handshakes(self.limits.handshakes, ThreadedConnection.abort)
        self._selector = selectors.DefaultSelector()
        self._turned_away = TurnedAway(self._selector, self.limits)
        self._crew = Crew("anycore-connection")
        self._accept_poll = AcceptPoll(self.limits.busy_poll_time)
        self._changed = threading.Condition()
        self._over = threading.Event()
        self._pings: deque[Callable[[], None]] = deque()
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_writer.setblocking(False)

    def run(self, startup: Callable[[], None] = lambda: None, shutdown: Callable[[], None] = lambda: None) -> None:
        """Serve until stopped; see `Core.run`."""
        sweeper = threading.Thread(target=self._sweep, name="anycore-sweeper", daemon=True)
        try:
            self._listen()
            startup()
            sweeper.start()
            try:
                self._accept()
                if self.retiring:
                    self._drain()
            finally:
                self._wind_down()
                shutdown()
        finally:
            self.stopping = True
            self._over.set()
            self._crew.close()
            for listener in self.listeners:
                listener.socket.close()
            self.loop.close()
            if sweeper.ident is not None:
                sweeper.join()
            self._selector.close()
            self._wake_reader.close()
            self._wake_writer.close()

    def _listen(self) -> None:
        for listener in self.listeners:
            listener.socket.listen(self.limits.backlog)

    def _accept(self) -> None:
        selector, turned_away = self._selector, self._turned_away
        selector.register(self._wake_reader, selectors.EVENT_READ)
        for listener in self.listeners:
            listener.socket.setblocking(False)
            selector.register(listener.socket, selectors.EVENT_READ, listener)
        while not self.retiring and not self.stopping:
            for key, _ in selector.select(self.limits.sweep_interval if turned_away else None):
                if key.fileobj is self._wake_reader:
                    self._heed_wake()
                elif key.data is turned_away:
                    turned_away.drain(key.fileobj)
                else:
                    self._accept_one(key.data)
            turned_away.send_away(everyone=self.stopping)

    def _heed_wake(self) -> None:
        if b"!" in self._wake_reader.recv(64):
            self.stopping = True
        while self._pings:
            self._pings.popleft()()

    def _drain(self) -> None:
        """Go on with the connections there are; each looks for itself whether the core retires."""
        for listener in self.listeners:
            self._selector.unregister(listener.socket)
            listener.socket.close()
        deadline = time.monotonic() + (self.limits.drain_time or float("inf"))
        while self._connections and not self.stopping and time.monotonic() < deadline:
            for key, _ in self._selector.select(DRAIN_STEP):
                if key.data is self._turned_away:
                    self._turned_away.drain(key.fileobj)
                else:
                    self._heed_wake()
            self._turned_away.send_away()
        self._turned_away.send_away(everyone=True)

    def _accept_one(self, listener: Listener) -> None:
        if self.share is not None and self.share.ahead(len(self._connections)):
            time.sleep(MOMENT)
        try:
            raw, address = self._take(listener)
        except BlockingIOError:  # another process of the server has been quicker, or a thread of this one
            return
        except OSError:
            time.sleep(0.001)  # out of descriptors, most likely: let connections end before the next try
            return
        self._accept_poll.accepted()
        place = len(self._connections) < self.limits.connections
        if place and (not listener.greets or self.handshakes.room()) and self._serve(listener, raw, address):
            return
        self.refused.append(None)
        self._turned_away.refuse(listener, raw, address)

    def _take(self, listener: Listener) -> tuple[socket.socket, Any]:
        taken = listener.socket.accept()
        with self._changed:
            self._accepted += 1
        return taken

    def _serve(self, listener: Listener, raw: socket.socket, address: Any) -> bool:
        connection = self._enter(listener, raw, address)
        if connection is None:
            return False
        try:
            self._crew.run(lambda: self._serve_on(connection, listener))
        except RuntimeError:  # the system gives us no more threads
            self.ended(connection)
            return False
        return True

    def _enter(self, listener: Listener, raw: socket.socket, address: Any) -> ThreadedConnection | None:
        raw.setblocking(True)
        connection = ThreadedConnection(self, listener, raw, address)
        with self._changed:
            if self.stopping:  # those that are to be told have been told
                return None
            self._connections.add(connection)
        if listener.greets:
            self.handshakes.add(connection)
        return connection

    def _serve_on(self, connection: ThreadedConnection | None, listener: Listener) -> None:
        """Serve a connection, and whoever comes right after it. Called in a thread of the crew."""
        while connection is not None:
            connection.serve()
            connection = self._accept_poll.look(lambda: self._next_of(listener)) if self.share is None else None

    def _next_of(self, listener: Listener) -> ThreadedConnection | None:
        """Accept a connection that waits to be, unless it is one about which the thread that accepts has to think."""
        # One place is left for what that thread accepts at the same moment.
        if listener.greets or self.retiring or len(self._connections) + 1 >= self.limits.connections:
            return None
        try:
            raw, address = self._take(listener)
        except OSError:  # none waits, or there are no more descriptors
            return None
        connection = self._enter(listener, raw, address)
        if connection is None:
            raw.close()
        return connection

    def greeted(self, connection: ThreadedConnection) -> None:
        """The TLS hand-shake with a peer is done."""
        self.handshakes.done(connection)

    def ended(self, connection: ThreadedConnection) -> None:
        """Forget a connection whose thread ends."""
        self.handshakes.done(connection)
        with self._changed:
            self._connections.discard(connection)
            self._changed.notify_all()
        if self.share is not None:
            self.share.tell(len(self._connections))

    def _open(self) -> list[ThreadedConnection]:
        with self._changed:
            return list(self._connections)

    def _wind_down(self) -> None:
        self.stopping = True
        for listener in self.listeners:
            listener.socket.close()
        for connection in self._open():
            connection.stop()
        with self._changed:
            quiet = self._changed.wait_for(lambda: not self._connections, self.limits.stop_time or None)
        if not quiet:
            for connection in self._open():
                connection.abort()
            with self._changed:
                self._changed.wait_for(lambda: not self._connections, CANCEL_SECONDS)
            forsake(self._open())

    def _sweep(self) -> None:
        interval = self.limits.sweep_interval
        while not self._over.wait(interval):
            self.tick = now = time.monotonic()
            for connection in self._open():
                since, limit, phase = connection.waits
                if limit and now - since > limit:
                    connection.waits = (now, limit, phase)  # once is enough, unless it is there after another such time
                    self._timed_out += phase in (Phase.RECEIVING, Phase.WORKING)
                    connection.expire(phase)

    def stop(self) -> None:
        """Stop gracefully; see `Core.stop`."""
        with suppress(OSError):  # it has been told already, or has ended
            self._wake_writer.send(b"!")

    def retire(self) -> None:
        """Leave new connections to another server; see `Core.retire`."""
        self.retiring = True
        with suppress(OSError):  # it has ended
            self._wake_writer.send(b"~")

    def run_coroutine(self, coroutine: Coroutine[Any, Any, Any], timeout: float | None = None) -> Any:
        """Run a coroutine on the core's loop and wait; see `Core.run_coroutine`."""
        return self.loop.run(coroutine, timeout)

    def ping(self, answer: Callable[[], None]) -> None:
        """Have the thread that accepts call something; see `Core.ping`."""
        self._pings.append(answer)
        with suppress(OSError):  # it has been told already, or has ended
            self._wake_writer.send(b"?")

    def figures(self) -> Figures:
        """Return what was counted so far."""
        connections = len(self._connections) + len(self._turned_away)
        return Figures(connections, len(self.in_flight), self._accepted, len(self.refused), self._timed_out)
