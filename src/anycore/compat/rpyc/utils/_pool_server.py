"""`ThreadPoolServer`: a fixed number of threads for all connections. One thread watches the silent ones; nothing is polled for.

A connection is in one place at a time: watched, in the queue, or with a worker. A worker that has found nothing more to do for one hands it back
to the watcher at once.
"""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections import deque
from contextlib import suppress
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Final

from anycore.compat.rpyc.lib import spawn
from anycore.compat.rpyc.utils.authenticators import AuthenticationError
from anycore.compat.rpyc.utils.server import Server, _shut

if TYPE_CHECKING:
    from anycore.compat.rpyc.core.protocol import Connection

_LINGER: Final = 0.005
"""Seconds that a worker without other work waits for the next request of the same connection: that spares it the way by the watcher."""
_CLOSE_SECONDS: Final = 5.0


class ThreadPoolServer(Server):
    """A fixed number of threads for all connections. For the other arguments see `Server`.

    Args:
        nbThreads: How many threads serve.
        requestBatchSize: How many requests of one connection a thread serves before the next connection has its turn.
    """

    def __init__(self, *args: Any, nbThreads: int = 20, requestBatchSize: int = 10, **kwargs: Any) -> None:  # noqa: N803 - RPyC's names
        super().__init__(*args, **kwargs)
        self.nbthreads = nbThreads
        self.request_batch_size = requestBatchSize
        self.fd_to_conn: dict[int, Connection] = {}
        self.workers: list[threading.Thread] = []
        self.polling_thread: threading.Thread | None = None
        self._queue: SimpleQueue[socket.socket | Connection | None] = SimpleQueue()
        self._idle: deque[Connection] = deque()
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)

    def _listen(self) -> None:
        if self.active or self._closed:
            return
        super()._listen()
        self.workers = [spawn(self._work) for _ in range(self.nbthreads)]
        self.polling_thread = spawn(self._watch)

    def _accept_method(self, sock: socket.socket) -> None:
        if self.authenticator is None:
            self._queue.put(sock)
        else:
            spawn(self._welcome, sock)  # it may take its time; no worker is kept by that

    def _welcome(self, sock: socket.socket) -> None:
        """Make a connection of a socket."""
        connected: Any = sock
        try:
            connected, credentials = self._authenticated(sock)
            made = self._connected(connected, credentials, connid=str(connected.getpeername()))
        except AuthenticationError as error:
            self.logger.info("a client failed to authenticate, so its connection is closed: %s", error)
        except Exception:
            self.logger.exception("a client cannot be served")
        else:
            number = made.fileno()
            self.fd_to_conn[number] = made
            ended = made.on_end
            made.on_end = lambda: self._forget(number, connected, ended)
            if made.closed:
                self._forget(number, connected, None)
            else:
                self._put_back(made)
            return
        for one in {sock, connected}:
            self.clients.discard(one)
            _shut(one)
            one.close()

    def _forget(self, number: int, connected: Any, ended: Any) -> None:
        self.clients.discard(connected)
        self.fd_to_conn.pop(number, None)
        if ended is not None:
            ended()

    def _put_back(self, conn: Connection) -> None:
        self._idle.append(conn)
        with suppress(OSError):  # full: it is about to wake anyway; closed: the server ends
            self._wake_out.send(b"\0")

    def _watch(self) -> None:
        """Put connections into the queue when something comes."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._wake_in, selectors.EVENT_READ)
            while self.active:
                for key, _ in selector.select():
                    if key.data is None:
                        self._take_back(selector)
                    else:
                        selector.unregister(key.fileobj)
                        self._queue.put(key.data)
            for key in list(selector.get_map().values()):
                if key.data is not None:
                    self._queue.put(key.data)  # to find out that it has ended

    def _take_back(self, selector: selectors.BaseSelector) -> None:
        with suppress(BlockingIOError):
            self._wake_in.recv(4096)
        while self._idle:
            conn = self._idle.popleft()
            try:
                number = conn.fileno()
                with suppress(KeyError):  # of a connection that its service has closed
                    selector.unregister(number)
                selector.register(number, selectors.EVENT_READ, conn)
            except (ValueError, OSError):
                self._queue.put(conn)  # closed

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            try:
                if isinstance(item, socket.socket):
                    self._welcome(item)
                else:
                    self._serve_some(item)
            except Exception:
                self.logger.exception("serving a client failed")

    def _serve_some(self, conn: Connection) -> None:
        """Serve some requests of a connection, and put it where it belongs after that."""
        try:
            for _ in range(self.request_batch_size):
                if conn.closed or not conn.poll(_LINGER if self._queue.empty() and self.active else 0.0):
                    break
            else:
                self._queue.put(conn)
                return
        except EOFError:
            conn.close()
            return
        except BaseException:
            self._queue.put(conn)
            raise
        if not conn.closed:
            self._put_back(conn)

    def _wind_down(self) -> None:
        own, end = threading.current_thread(), time.monotonic() + _CLOSE_SECONDS
        with suppress(OSError):
            self._wake_out.send(b"\0")
        if self.polling_thread is not None and self.polling_thread is not own:
            self.polling_thread.join(max(0.0, end - time.monotonic()))
        for _ in self.workers:
            self._queue.put(None)
        for worker in self.workers:
            if worker is not own:
                worker.join(max(0.0, end - time.monotonic()))
        for conn in list(self.fd_to_conn.values()):
            conn.ended("the server was closed")
        self._wake_in.close()
        self._wake_out.close()
