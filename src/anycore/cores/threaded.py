"""The threaded core: a thread for each connection, which reads, works and writes. A sweeper ends what takes too long.

What happens on one connection lives in `threaded_connection`.
"""

from __future__ import annotations

import selectors
import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from anycore.conversations.base import Phase
from anycore.cores.base import AT_CONNECTIONS, Core, Figures, peer_of
from anycore.cores.loop_thread import CANCEL_SECONDS, LoopThread
from anycore.cores.threaded_connection import ThreadedConnection

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from anycore.cores.base import CoreLimits, Listener

_MAX_LEAVING: Final = 256
"""Connections over the limit that are told so at a time; more are closed without a word."""
_CHUNK: Final = 65536


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
        self._leaving: dict[socket.socket, float] = {}
        self._changed = threading.Condition()
        self._over = threading.Event()
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_writer.setblocking(False)

    def run(self, startup: Callable[[], None] = lambda: None, shutdown: Callable[[], None] = lambda: None) -> None:
        """Serve until stopped; see `Core.run`."""
        sweeper = threading.Thread(target=self._sweep, name="anycore-sweeper", daemon=True)
        try:
            for listener in self.listeners:
                listener.socket.listen(self.limits.backlog)
            startup()
            sweeper.start()
            try:
                self._accept()
            finally:
                self._wind_down()
                shutdown()
        finally:
            self.stopping = True
            self._over.set()
            for listener in self.listeners:
                listener.socket.close()
            self.loop.close()
            if sweeper.ident is not None:
                sweeper.join()
            self._wake_reader.close()
            self._wake_writer.close()

    def _accept(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._wake_reader, selectors.EVENT_READ)
            for listener in self.listeners:
                listener.socket.setblocking(False)
                selector.register(listener.socket, selectors.EVENT_READ, listener)
            while not self.stopping:
                for key, _ in selector.select(self.limits.sweep_interval if self._leaving else None):
                    if key.fileobj is self._wake_reader:
                        self.stopping = True
                    elif key.data is not None:
                        self._accept_one(key.data, selector)
                    else:
                        self._drain(key.fileobj, selector)
                self._send_away(selector)

    def _accept_one(self, listener: Listener, selector: selectors.BaseSelector) -> None:
        try:
            raw, address = listener.socket.accept()
        except OSError:
            time.sleep(0.001)  # out of descriptors, most likely: let connections end before the next try
            return
        self._accepted += 1
        if len(self._connections) < self.limits.connections and self._serve(listener, raw, address):
            return
        self.refused.append(None)
        if self._refuse(listener, raw, address):
            selector.register(raw, selectors.EVENT_READ)
        else:
            raw.close()

    def _serve(self, listener: Listener, raw: socket.socket, address: Any) -> bool:
        raw.setblocking(True)
        connection = ThreadedConnection(self, listener, raw, address)
        with self._changed:
            self._connections.add(connection)
        thread = threading.Thread(target=connection.serve, name=f"anycore-connection-{self._accepted}", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the system gives us no more threads
            with self._changed:
                self._connections.discard(connection)
            return False
        return True

    def _refuse(self, listener: Listener, raw: socket.socket, address: Any) -> bool:
        """Tell a peer that there is no place for it; return whether to wait for it to close, so that it can read that."""
        if listener.tls is not None or not self.limits.linger_time or len(self._leaving) >= _MAX_LEAVING:
            return False
        conversation = listener.open(peer_of(listener, address))
        conversation.refuse(AT_CONNECTIONS)
        try:
            raw.setblocking(False)
            raw.send(conversation.take())
            raw.shutdown(socket.SHUT_WR)
        except OSError:  # the peer did not wait for the answer
            return False
        finally:
            conversation.eof()
        self._leaving[raw] = time.monotonic() + self.limits.linger_time
        return True

    def _drain(self, raw: Any, selector: selectors.BaseSelector) -> None:
        """Read and forget what a refused peer sends; when it closes, forget the peer."""
        try:
            ended = not raw.recv(_CHUNK)
        except BlockingIOError:
            ended = False
        except OSError:
            ended = True
        if ended:
            self._forget(raw, selector)

    def _send_away(self, selector: selectors.BaseSelector) -> None:
        now = time.monotonic()
        for raw in [raw for raw, limit in self._leaving.items() if self.stopping or now > limit]:
            self._forget(raw, selector)

    def _forget(self, raw: socket.socket, selector: selectors.BaseSelector) -> None:
        selector.unregister(raw)
        del self._leaving[raw]
        raw.close()

    def ended(self, connection: ThreadedConnection) -> None:
        """Forget a connection whose thread ends."""
        with self._changed:
            self._connections.discard(connection)
            self._changed.notify_all()

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

    def run_coroutine(self, coroutine: Coroutine[Any, Any, Any], timeout: float | None = None) -> Any:
        """Run a coroutine on the core's loop and wait; see `Core.run_coroutine`."""
        return self.loop.run(coroutine, timeout)

    def figures(self) -> Figures:
        """Return what was counted so far."""
        connections = len(self._connections) + len(self._leaving)
        return Figures(connections, len(self.in_flight), self._accepted, len(self.refused), self._timed_out)
