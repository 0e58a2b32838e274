"""The threaded core: a thread for each connection, which reads, works and writes. A sweeper ends what takes too long."""

from __future__ import annotations

import selectors
import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from anycore.conversations.base import Phase
from anycore.cores.base import AT_CONNECTIONS, AT_IN_FLIGHT, Core, Figures
from anycore.cores.loop_thread import LoopThread
from anycore.kernel.call import Mode, Peer

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Coroutine, Sequence

    from anycore.conversations.base import Conversation, Job
    from anycore.cores.base import CoreLimits, Listener

_CHUNK = 65536


class _Connection:
    """One connection and the thread that serves it. Only `expire` and `stop` are called from other threads.

    Attributes:
        since: The core's tick at which `doing` began.
        limit: The time limit of what the thread does now, in seconds; 0 for none.
        interruptible: Whether the thread waits for the peer to speak, so that ending the reading side tells it to look up.
    """

    def __init__(self, core: ThreadedCore, listener: Listener, raw: socket.socket, address: Any) -> None:
        self._core = core
        self._listener = listener
        self._socket = raw
        self._address = address
        self._expired = False
        self.since = core.tick
        self.limit = core.limits.handshake_time
        self.interruptible = False
        self.conversation: Conversation | None = None

    def serve(self) -> None:
        """The thread's whole life."""
        try:
            if self._listener.tls is not None:
                self._shake_hands(self._listener.tls)
            elif self._socket.family != socket.AF_UNIX:
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._talk()
        except OSError:
            pass  # the peer has gone, or was sent away by the sweeper: nobody is left to tell
        finally:
            if self.conversation is not None:
                self.conversation.eof()
            self._socket.close()
            self._core.ended(self)

    def _shake_hands(self, context: ssl.SSLContext) -> None:
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = context.wrap_socket(self._socket, server_side=True, do_handshake_on_connect=False)
        self._socket.do_handshake()

    def _peer(self) -> Peer:
        tls = self._socket
        if self._listener.tls is None:
            return Peer.of_address(self._address)
        return Peer.of_address(self._address, tls.version() or "", tls.getpeercert(binary_form=True))  # type: ignore[attr-defined]

    def _talk(self) -> None:
        conversation = self.conversation = self._listener.open(self._peer())
        core, receive, limits = self._core, self._socket.recv, self._core.phase_limits
        phase, began = conversation.phase, core.tick
        while phase is not Phase.CLOSING:
            self.since, self.limit, self.interruptible = began, limits[phase], True
            if core.stopping and phase is Phase.IDLE:
                return
            data = receive(_CHUNK)
            self.interruptible = False
            if not data:
                self._ended(conversation)
                return
            jobs = conversation.feed(data)
            if jobs:
                self._run(conversation, jobs)
            self._flush(conversation)
            if jobs or phase is Phase.IDLE:
                began = core.tick
            phase = conversation.phase
        self._linger()

    def _run(self, conversation: Conversation, jobs: Sequence[Job]) -> None:
        core = self._core
        for job in jobs:
            if job.mode is Mode.QUICK:
                job.run()
            elif len(core.in_flight) >= core.limits.in_flight:
                core.refused.append(None)
                job.refuse(AT_IN_FLIGHT)
            else:
                self._flush(conversation)
                self._work(job)
            more = conversation.finish(job)
            if more:
                self._run(conversation, more)

    def _work(self, job: Job) -> None:
        core = self._core
        self.since, self.limit = core.tick, core.limits.work_time
        core.in_flight.append(None)
        try:
            if job.mode is Mode.ASYNC:
                core.loop.run(job.run_async())
            else:
                job.run()
        finally:
            core.in_flight.pop()

    def _flush(self, conversation: Conversation) -> None:
        if self._core.stopping:
            conversation.stop()
        data = conversation.take()
        if data:
            self.since, self.limit = self._core.tick, self._core.limits.send_time
            self._socket.sendall(data)

    def _ended(self, conversation: Conversation) -> None:
        if self._expired:
            conversation.time_out()
        else:
            conversation.eof()
        self._flush(conversation)

    def _linger(self) -> None:
        """Wait for the peer to close, so that what it still sends does not reset the connection under our last answer."""
        if self._core.stopping or not self._core.limits.linger_time or self._listener.tls is not None:
            return
        self.since, self.limit = self._core.tick, self._core.limits.linger_time
        self._socket.shutdown(socket.SHUT_WR)
        while self._socket.recv(_CHUNK):
            pass

    def refuse(self) -> None:
        """Tell the peer that there is no place for it; called in place of `serve`."""
        try:
            if self._listener.tls is None:
                conversation = self._listener.open(self._peer())
                conversation.refuse(AT_CONNECTIONS)
                self._socket.setblocking(False)
                self._socket.send(conversation.take())
        except OSError:
            pass  # the peer did not wait for the answer
        finally:
            self._socket.close()

    def expire(self) -> None:
        """The thread has waited too long: wake it. An answer may still be due to a peer that was slow to speak."""
        self._expired = True
        self._wake(socket.SHUT_RD if self.interruptible else socket.SHUT_RDWR)

    def stop(self) -> None:
        """The server stops: wake the thread if it waits for a new message."""
        conversation = self.conversation
        if self.interruptible and conversation is not None and conversation.phase is Phase.IDLE:
            self._wake(socket.SHUT_RD)

    def abort(self) -> None:
        """The server has waited long enough."""
        self._wake(socket.SHUT_RDWR)

    def _wake(self, how: int) -> None:
        with suppress(OSError):  # closed meanwhile
            # Not SSLSocket.shutdown, which would make the socket a plain one under the thread that uses it.
            socket.socket.shutdown(self._socket, how)


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
        self._connections: set[_Connection] = set()
        self._changed = threading.Condition()
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_writer.setblocking(False)

    def run(self, startup: Callable[[], None] = lambda: None, shutdown: Callable[[], None] = lambda: None) -> None:
        """Serve until stopped; see `Core.run`."""
        for listener in self.listeners:
            listener.socket.listen(self.limits.backlog)
        try:
            startup()
            threading.Thread(target=self._sweep, name="anycore-sweeper", daemon=True).start()
            self._accept()
            self._wind_down()
            shutdown()
        finally:
            self.stopping = True
            for listener in self.listeners:
                listener.socket.close()
            self.loop.close()

    def _accept(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._wake_reader, selectors.EVENT_READ)
            for listener in self.listeners:
                listener.socket.setblocking(False)
                selector.register(listener.socket, selectors.EVENT_READ, listener)
            while not self.stopping:
                for key, _ in selector.select():
                    if key.data is None:
                        self.stopping = True
                    else:
                        self._accept_one(key.data)

    def _accept_one(self, listener: Listener) -> None:
        try:
            raw, address = listener.socket.accept()
        except OSError:
            time.sleep(0.001)  # out of descriptors, most likely: let connections end before the next try
            return
        raw.setblocking(True)
        connection = _Connection(self, listener, raw, address)
        self._accepted += 1
        if len(self._connections) >= self.limits.connections:
            self.refused.append(None)
            connection.refuse()
            return
        with self._changed:
            self._connections.add(connection)
        threading.Thread(target=connection.serve, name=f"anycore-connection-{self._accepted}", daemon=True).start()

    def ended(self, connection: _Connection) -> None:
        """Forget a connection whose thread ends."""
        with self._changed:
            self._connections.discard(connection)
            self._changed.notify_all()

    def _open(self) -> list[_Connection]:
        with self._changed:
            return list(self._connections)

    def _wind_down(self) -> None:
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
                self._changed.wait_for(lambda: not self._connections, 1.0)

    def _sweep(self) -> None:
        interval = self.limits.sweep_interval
        while not self.loop.closed:
            time.sleep(interval)
            self.tick = now = time.monotonic()
            for connection in self._open():
                limit, since = connection.limit, connection.since
                if limit and now - since > limit:
                    connection.since = now  # once is enough, unless it is still there after another such time
                    self._timed_out += 1
                    connection.expire()

    def stop(self) -> None:
        """Stop gracefully; see `Core.stop`."""
        with suppress(OSError):  # it has been told already, or has ended
            self._wake_writer.send(b"!")

    def run_coroutine(self, coroutine: Coroutine[Any, Any, Any], timeout: float | None = None) -> Any:
        """Run a coroutine on the core's loop and wait; see `Core.run_coroutine`."""
        return self.loop.run(coroutine, timeout)

    def figures(self) -> Figures:
        """Return what was counted so far."""
        return Figures(len(self._connections), len(self.in_flight), self._accepted, len(self.refused), self._timed_out)
