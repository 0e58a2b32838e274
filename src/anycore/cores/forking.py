"""The forking core: a process for each connection, so that what one does to its process no other sees.

The parent accepts, forks, and waits for its own children, one by one; what it knows of them lives in `children`. In the child, a
connection of the threaded core does the rest. A child reports what it has counted; so each new child begins with the sum.
"""

from __future__ import annotations

import logging
import os
import select
import selectors
import signal
import socket
import sys
import threading
import time
import warnings
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NoReturn

import msgspec

from anycore.conversations.base import Phase
from anycore.cores.base import DRAIN_STEP, Core, Figures
from anycore.cores.children import Child, Children, report
from anycore.cores.handshakes import Handshakes
from anycore.cores.loop_thread import LoopThread
from anycore.cores.threaded_connection import ThreadedConnection
from anycore.cores.topics import encode
from anycore.cores.turned_away import TurnedAway

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from contextlib import AbstractContextManager

    from anycore.cores.base import CoreLimits, Listener

_log = logging.getLogger("anycore.core")

_RETIRE: Final = b"~"
_MAKE_ROOM: Final = b"-"
"""What the parent writes to a child when it leaves new connections to another server."""
_KILL_SECONDS: Final = 5.0
"""How long the system may take to end a child that was killed."""


class _Report(msgspec.Struct, array_like=True):
    """What a child has counted, and published, since its last report."""

    refused: int
    timed_out: int
    tally: bytes
    said: list[tuple[str, bytes]] = []


class ForkingCore(Core):
    """A process for each connection.

    Args:
        listeners: Where to listen.
        limits: Bounds; the lesser of `processes` and `connections` is that of the processes.
    """

    name = "forking"
    forks = True

    def __init__(self, listeners: Sequence[Listener], limits: CoreLimits | None = None) -> None:
        super().__init__(listeners, limits)
        self.loop = LoopThread()
        self.stopping = False
        self.tick = time.monotonic()
        self.in_flight: list[None] = []
        self.refused: list[None] = []
        self._accepted = 0
        self._timed_out = 0
        self._others = 0
        self._connection: ThreadedConnection | None = None
        self._not_now = threading.Lock()
        self._reporting = threading.Lock()
        self._shaken = False
        self._channel: socket.socket
        self._reported = (0, 0)
        self._said: deque[tuple[str, bytes]] = deque()
        self._selector = selectors.DefaultSelector()
        self._turned_away = TurnedAway(self._selector, self.limits)
        most = min(self.limits.handshakes or self.limits.processes, max(1, self.limits.processes // 2))
        self.handshakes: Handshakes[Child] = Handshakes(most, lambda child: child.write(_MAKE_ROOM))
        self._children = Children(self._selector, self._add, self.handshakes.done)
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_writer.setblocking(False)

    def run(self, startup: Callable[[], None] = lambda: None, shutdown: Callable[[], None] = lambda: None) -> None:
        """Serve until stopped; see `Core.run`. Neither `startup` nor `shutdown` is called in a child."""
        # Our threads take no lock across a fork, see `changing`; a plugin's own are spoken of in the documentation.
        warnings.filterwarnings("ignore", ".*multi-threaded", DeprecationWarning, __name__)
        try:
            for listener in self.listeners:
                listener.socket.listen(self.limits.backlog)
                listener.socket.setblocking(False)
            startup()
            try:
                self._accept()
                self._close_listeners()
                if self.retiring and not self.stopping:
                    self._drain()
                self._wind_down()
            finally:
                shutdown()
        finally:
            for listener in self.listeners:
                listener.socket.close()
            self.loop.close()
            self._selector.close()
            self._wake_reader.close()
            self._wake_writer.close()

    def _accept(self) -> None:
        selector, turned_away = self._selector, self._turned_away
        selector.register(self._wake_reader, selectors.EVENT_READ)
        for listener in self.listeners:
            selector.register(listener.socket, selectors.EVENT_READ, listener)
        while not self.stopping and not self.retiring:
            for key, _ in selector.select(self.limits.sweep_interval if turned_away else self._children.look_seconds):
                if key.fileobj is self._wake_reader:
                    self._heed_wake()
                elif key.data is turned_away:
                    turned_away.drain(key.fileobj)
                elif key.data in self.listeners:
                    self._accept_one(key.data)
                else:
                    self._children.heed(key)
            turned_away.send_away(everyone=self.stopping)
            if self._children.look_seconds is not None:
                self._children.look()

    def _heed_wake(self) -> None:
        if b"!" in self._wake_reader.recv(64):
            self.stopping = True

    def _accept_one(self, listener: Listener) -> None:
        try:
            raw, address = listener.socket.accept()
        except OSError:
            time.sleep(0.001)  # out of descriptors, most likely: let connections end before the next try
            return
        self._accepted += 1
        place = len(self._children) < min(self.limits.connections, self.limits.processes)
        if place and (not listener.greets or self.handshakes.room()):
            try:
                self._fork(listener, raw, address)
            except OSError as error:  # the system gives us no more processes, or descriptors
                _log.warning("no process can be made for a connection: %s", error)
            else:
                raw.close()
                return
        self.refused.append(None)
        self._turned_away.refuse(listener, raw, address)

    def _fork(self, listener: Listener, raw: socket.socket, address: Any) -> None:
        ours, theirs = socket.socketpair()
        sys.stdout.flush()
        sys.stderr.flush()
        with theirs:
            try:
                with self._not_now:
                    child = os.fork()
                    if child == 0:
                        self._live(listener, raw, address, ours, theirs)
            except OSError:
                ours.close()
                raise
        made = self._children.add(child, ours)
        if listener.greets:
            self.handshakes.add(made)

    def changing(self) -> AbstractContextManager[object]:
        """Return a context in which plugins may be loaded again: nothing is forked in the middle of it."""
        return self._not_now

    # In the child.

    def _live(
        self, listener: Listener, raw: socket.socket, address: Any, ours: socket.socket, channel: socket.socket
    ) -> NoReturn:
        """Serve one connection, and leave the process without unwinding what belongs to the parent."""
        status = 1
        try:
            ours.close()
            self._part()
            raw.setblocking(True)
            self._channel = channel
            self._connection = ThreadedConnection(self, listener, raw, address)
            threading.Thread(
                target=self._watch, args=(channel, os.getppid()), name="anycore-sweeper", daemon=True
            ).start()
            self._connection.serve()
            self._report(channel)
            status = 0
        except BaseException:  # noqa: BLE001 - whatever it is, the parent's code must not go on in the child
            _log.exception("the process of a connection failed")
        finally:
            with suppress(OSError, ValueError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(status)

    def _part(self) -> None:
        """Let go of what is the parent's: its listeners, its other connections and children, its way of being told to stop."""
        signal.signal(signal.SIGTERM, lambda *_: self._stop_child())
        for number in (signal.SIGINT, signal.SIGHUP):  # these reach a whole group; the parent tells us what follows
            signal.signal(number, signal.SIG_IGN)
        self._others = len(self._children)
        self._children.abandon()
        self._turned_away.abandon()
        self._selector.close()
        for other in self.listeners:
            other.socket.close()
        self._wake_reader.close()
        self._wake_writer.close()
        self.loop = LoopThread()
        self._not_now = threading.Lock()
        self._reported = (len(self.refused), self._timed_out)
        if self.tally is not None:
            self.tally.mark()

    def _stop_child(self) -> None:
        self.stopping = True
        if self._connection is not None:
            self._connection.stop()

    def _watch(self, channel: socket.socket, parent: int) -> None:
        """End what takes too long, as the threaded core's sweeper does; report; and end when the parent has gone."""
        while True:
            self._heed_parent(channel, self.limits.sweep_interval)
            self.tick = now = time.monotonic()
            connection = self._connection
            if connection is not None:
                since, limit, phase = connection.waits
                if limit and now - since > limit:
                    connection.waits = (now, limit, phase)
                    self._timed_out += phase in (Phase.RECEIVING, Phase.WORKING)
                    connection.expire(phase)
            self._report(channel)
            if os.getppid() != parent and not self.stopping:
                self._stop_child()

    def _heed_parent(self, channel: socket.socket, seconds: float) -> None:
        """Wait, but no longer when the parent says that it retires."""
        poll = select.poll()
        poll.register(channel, select.POLLIN)
        if self.retiring or poll.poll(seconds * 1000):
            with suppress(OSError):  # the parent has gone, or has said it before
                said = channel.recv(16, socket.MSG_DONTWAIT)
                self.retiring = _RETIRE in said or self.retiring
                if _MAKE_ROOM in said and not self._shaken and self._connection is not None:
                    self._connection.abort()
            time.sleep(seconds)

    def _report(self, channel: socket.socket) -> None:
        with self._reporting:
            tally = self.tally.take() if self.tally is not None else b""
            counted = (len(self.refused), self._timed_out)
            said = [self._said.popleft() for _ in range(len(self._said))]
            found = _Report(counted[0] - self._reported[0], counted[1] - self._reported[1], tally, said)
            self._reported = counted
            if found.refused or found.timed_out or tally or said:
                report(channel, msgspec.msgpack.encode(found))

    def publish(self, topic: str, payload: Any = None) -> None:
        """Say something to this process and to the parent, and thereby to those that it makes later; see `Core.publish`."""
        super().publish(topic, payload)
        if self._connection is not None:
            self._said.append((topic, encode(payload)))
            self._report(self._channel)

    def greeted(self, _: ThreadedConnection) -> None:
        """The TLS hand-shake with the peer is done: tell the parent, by a report of nothing."""
        self._shaken = True
        with self._reporting:
            report(self._channel, b"")

    def ended(self, connection: ThreadedConnection) -> None:
        """The connection has ended, and with it the process; see `_live`."""

    # In the parent again.

    def _add(self, data: bytes) -> None:
        found = msgspec.msgpack.decode(data, type=_Report)
        self.refused.extend([None] * found.refused)
        self._timed_out += found.timed_out
        if self.tally is not None and found.tally:
            self.tally.add(found.tally)
        for topic, payload in found.said:
            self.topics.hear(topic, payload)

    def _close_listeners(self) -> None:
        for listener in self.listeners:
            self._selector.unregister(listener.socket)
            listener.socket.close()

    def _drain(self) -> None:
        """Go on with the connections there are."""
        self._children.write(_RETIRE)
        deadline = time.monotonic() + (self.limits.drain_time or float("inf"))
        while self._children and not self.stopping and time.monotonic() < deadline:
            for key, _ in self._selector.select(DRAIN_STEP):
                if key.fileobj is self._wake_reader:
                    self._heed_wake()
                elif key.data is self._turned_away:
                    self._turned_away.drain(key.fileobj)
                else:
                    self._children.heed(key)
            self._turned_away.send_away()
            self._children.look()

    def _wind_down(self) -> None:
        self._turned_away.send_away(everyone=True)
        self._selector.unregister(self._wake_reader)
        self._children.tell(signal.SIGTERM)
        if not self._children.wait(self.limits.stop_time):
            self._children.tell(signal.SIGKILL)
            self._children.wait(_KILL_SECONDS)

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
        """Run a coroutine on this process's loop and wait; see `Core.run_coroutine`."""
        return self.loop.run(coroutine, timeout)

    def figures(self) -> Figures:
        """Return what was counted: in the parent, of all; in a child, of itself and of what the parent knew when it was made."""
        here = self._others + (self._connection is not None)
        connections = here + len(self._children) + len(self._turned_away)
        return Figures(connections, len(self.in_flight), self._accepted, len(self.refused), self._timed_out)
