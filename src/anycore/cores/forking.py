"""The forking core: a process for each connection, so that what one does to its process no other sees.

The parent only accepts, forks, and reaps its own children, one by one. It has no thread that could hold a lock across a fork; plugins that
start threads of their own in `start` should know that those exist in the parent alone.
"""

from __future__ import annotations

import logging
import os
import selectors
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NoReturn

from anycore.cores.base import AT_CONNECTIONS, Core, Figures, peer_of
from anycore.cores.loop_thread import LoopThread
from anycore.cores.threaded_connection import ThreadedConnection

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from anycore.cores.base import CoreLimits, Listener

_log = logging.getLogger("anycore.core")

_KILL_SECONDS: Final = 5.0
"""How long a child may take to end after its connection was cut, before it is killed."""


class ForkingCore(Core):
    """A process for each connection.

    Args:
        listeners: Where to listen.
        limits: Bounds; `connections` bounds the processes.
    """

    name = "forking"

    def __init__(self, listeners: Sequence[Listener], limits: CoreLimits | None = None) -> None:
        super().__init__(listeners, limits)
        self.loop = LoopThread()
        self.stopping = False
        self.tick = time.monotonic()
        self.in_flight: list[None] = []
        self.refused: list[None] = []
        self._accepted = 0
        self._children: dict[int, int] = {}
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_writer.setblocking(False)
        self._connection: ThreadedConnection | None = None

    def run(self, startup: Callable[[], None] = lambda: None, shutdown: Callable[[], None] = lambda: None) -> None:
        """Serve until stopped; see `Core.run`."""
        try:
            for listener in self.listeners:
                listener.socket.listen(self.limits.backlog)
                listener.socket.setblocking(False)
            startup()
            try:
                with selectors.DefaultSelector() as selector:
                    self._accept(selector)
            finally:
                shutdown()
        finally:
            for listener in self.listeners:
                listener.socket.close()
            self.loop.close()
            self._wake_reader.close()
            self._wake_writer.close()

    def _accept(self, selector: selectors.BaseSelector) -> None:
        selector.register(self._wake_reader, selectors.EVENT_READ)
        for listener in self.listeners:
            selector.register(listener.socket, selectors.EVENT_READ, listener)
        while not self.stopping:
            for key, _ in selector.select():
                if key.fileobj is self._wake_reader:
                    self.stopping = True
                elif isinstance(key.data, int):
                    self._reap(key.data, selector)
                else:
                    self._accept_one(key.data, selector)
        self._wind_down(selector)

    def _accept_one(self, listener: Listener, selector: selectors.BaseSelector) -> None:
        try:
            raw, address = listener.socket.accept()
        except OSError:
            time.sleep(0.001)  # out of descriptors, most likely: let connections end before the next try
            return
        self._accepted += 1
        if len(self._children) >= self.limits.connections:
            self._refuse(listener, raw, address)
            return
        try:
            self._fork(listener, raw, address, selector)
        except OSError as error:  # the system gives us no more processes
            _log.warning("a connection is refused: %s", error)
            self._refuse(listener, raw, address)

    def _fork(self, listener: Listener, raw: socket.socket, address: Any, selector: selectors.BaseSelector) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        child = os.fork()
        if child == 0:
            self._live(listener, raw, address, selector)
        raw.close()
        self._children[child] = os.pidfd_open(child)
        selector.register(self._children[child], selectors.EVENT_READ, child)

    def _refuse(self, listener: Listener, raw: socket.socket, address: Any) -> None:
        self.refused.append(None)
        with suppress(OSError):  # the peer did not wait for the answer
            if listener.tls is None:
                conversation = listener.open(peer_of(listener, address))
                conversation.refuse(AT_CONNECTIONS)
                raw.setblocking(False)
                raw.send(conversation.take())
        raw.close()

    # In the child.

    def _live(self, listener: Listener, raw: socket.socket, address: Any, selector: selectors.BaseSelector) -> NoReturn:
        """Serve one connection, and leave the process without unwinding what belongs to the parent."""
        status = 1
        try:
            self._part(selector)
            raw.setblocking(True)
            self._connection = ThreadedConnection(self, listener, raw, address)
            threading.Thread(target=self._watch, name="anycore-sweeper", daemon=True).start()
            self._connection.serve()
            status = 0
        except BaseException:  # noqa: BLE001 - whatever it is, the parent's code must not go on in the child
            _log.exception("the process of a connection failed")
        finally:
            with suppress(OSError, ValueError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(status)

    def _part(self, selector: selectors.BaseSelector) -> None:
        """Let go of what is the parent's: its listeners, its other children, its way of being told to stop."""
        signal.signal(signal.SIGTERM, lambda *_: self._stop_child())
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent tells us
        selector.close()
        for descriptor in self._children.values():
            os.close(descriptor)
        self._children.clear()
        for other in self.listeners:
            other.socket.close()
        self._wake_reader.close()
        self._wake_writer.close()
        self.loop = LoopThread()

    def _stop_child(self) -> None:
        self.stopping = True
        if self._connection is not None:
            self._connection.stop()

    def _watch(self) -> None:
        """End what takes too long, as the threaded core's sweeper does."""
        while True:
            time.sleep(self.limits.sweep_interval)
            self.tick = now = time.monotonic()
            connection = self._connection
            if connection is not None:
                since, limit, phase = connection.waits
                if limit and now - since > limit:
                    connection.waits = (now, limit, phase)
                    connection.expire(phase)

    def ended(self, connection: ThreadedConnection) -> None:
        """The connection has ended, and with it the process; see `_live`."""

    # In the parent again.

    def _reap(self, child: int, selector: selectors.BaseSelector) -> None:
        """Take note of the end of a child of ours; other people's children are other people's."""
        descriptor = self._children.pop(child)
        selector.unregister(descriptor)
        os.close(descriptor)
        with suppress(ChildProcessError):  # somebody else has waited for all children there are
            _, status = os.waitpid(child, 0)
            if status:
                _log.warning(
                    "process %d of a connection ended with status %d", child, os.waitstatus_to_exitcode(status)
                )

    def _wind_down(self, selector: selectors.BaseSelector) -> None:
        for listener in self.listeners:
            selector.unregister(listener.socket)
            listener.socket.close()
        selector.unregister(self._wake_reader)
        self._tell_all(signal.SIGTERM)
        self._wait(selector, self.limits.stop_time)
        self._tell_all(signal.SIGKILL)
        self._wait(selector, _KILL_SECONDS)

    def _tell_all(self, number: int) -> None:
        for child in self._children:
            with suppress(ProcessLookupError):
                os.kill(child, number)

    def _wait(self, selector: selectors.BaseSelector, seconds: float) -> None:
        deadline = time.monotonic() + seconds if seconds else None
        while self._children:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return
            for key, _ in selector.select(left):
                self._reap(key.data, selector)

    def stop(self) -> None:
        """Stop gracefully; see `Core.stop`."""
        with suppress(OSError):  # it has been told already, or has ended
            self._wake_writer.send(b"!")

    def run_coroutine(self, coroutine: Coroutine[Any, Any, Any], timeout: float | None = None) -> Any:
        """Run a coroutine on this process's loop and wait; see `Core.run_coroutine`."""
        return self.loop.run(coroutine, timeout)

    def figures(self) -> Figures:
        """Return what the parent has counted: each child counts for itself."""
        return Figures(len(self._children), len(self.in_flight), self._accepted, len(self.refused), 0)
