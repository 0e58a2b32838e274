"""The core `cheroot`: the server that CherryPy runs on, on our sockets.

Its own pool of threads cannot be left while one of them works, so it gets one of ours; its own TLS shakes hands where connections are
accepted, ours does so where they are read. What is needed of its inside is in this module, and a test fails when it changes.
"""

from __future__ import annotations

import logging
import os
import queue
import socket
import ssl
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from cheroot.makefile import MakeFile
from cheroot.server import HTTPConnection
from cheroot.ssl import Adapter
from cheroot.wsgi import Gateway_10, Server

from anycore.cores.base import peer_on
from anycore.cores.foreign.base import ThreadCore
from anycore.cores.foreign.peers import PEER

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from anycore.cores.base import CoreLimits, Figures, Listener
    from anycore.cores.foreign.wsgi import WsgiApplication

_log: Final = logging.getLogger("anycore.core")
_NEVER: Final = 1e6
"""Seconds, eleven days: for time limits of cheroot that cannot be switched off."""

_MAX_REFUSING: Final = 64
"""Connections over the limit that are told so at a time; more are closed without a word."""
_LINGER: Final = 0.5
"""How long to wait for the peer of one to close, in seconds."""
_PIECE: Final = 1 << 16
_STEP: Final = 0.1
"""How often, in seconds, cheroot looks whether it was told to stop."""


class _Pool:
    """What cheroot asks of a pool of threads. These end with the process, if a plugin never lets them go."""

    def __init__(self, server: _Server, size: int) -> None:
        self._server = server
        self._size = size
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._busy: set[Any] = set()
        self.min = size
        self.get = self._queue.get

    @property
    def idle(self) -> int:
        return self._size - len(self._busy)

    def start(self) -> None:
        for number in range(1, self._size + 1):
            self._threads.append(threading.Thread(target=self._work, name=f"anycore-cheroot-{number}", daemon=True))
            self._threads[-1].start()

    def put(self, connection: Any) -> None:
        self._queue.put(connection)

    def stop(self, timeout: float | None = None) -> None:
        """Let the threads end after what they do; those that do not end in time are left behind, and their connections closed."""
        until = time.monotonic() + timeout if timeout else None
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join(None if until is None else max(0.0, until - time.monotonic()))
        for connection in tuple(self._busy):
            connection.close()

    def _work(self) -> None:
        while (connection := self._queue.get()) is not None:
            self._busy.add(connection)
            keep = False
            try:
                keep = connection.communicate()
            except BaseException as error:  # noqa: BLE001 - a thread that ended would be missing for ever
                _log.warning("a connection of cheroot failed: %s: %s", type(error).__name__, error)
            finally:
                self._busy.discard(connection)
            try:
                self._server.put_conn(connection) if keep else connection.close()
            except OSError as error:
                _log.debug("a connection of cheroot could not be closed: %s", error)


class _Tls(Adapter):
    """Wraps with the listener's context. The first read shakes hands, in a thread that may wait."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    def bind(self, sock: socket.socket) -> socket.socket:
        return sock

    def wrap(self, sock: socket.socket) -> tuple[socket.socket, dict[str, str]]:
        context = self._listener.tls
        assert context is not None
        wrapped = context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        return wrapped, self.get_environ()

    def get_environ(self) -> dict[str, str]:
        return {"wsgi.url_scheme": "https", "HTTPS": "on"}

    def makefile(self, sock: socket.socket, mode: str = "r", bufsize: int = -1) -> Any:
        return MakeFile(sock, mode, bufsize)


class _Gateway(Gateway_10):
    """Says who the peer is, and takes no header for another one: a name with an underscore looks the same in WSGI."""

    def get_environ(self) -> dict[str, Any]:
        request = self.req
        for name in [name for name in request.inheaders if b"_" in name]:
            del request.inheaders[name]
        environ: dict[str, Any] = super().get_environ()
        environ[PEER] = request.conn.peer(request.server.listener)
        return environ

    def write(self, chunk: bytes) -> None:
        """Send; the peer is to take it in time."""
        self.req.conn.socket.settimeout(self.req.server.limits.send_time or None)
        super().write(chunk)


class _Connection(HTTPConnection):
    """Shakes hands before its first request, and then knows its peer."""

    refused = False
    _peer = None
    _greeted = False

    def communicate(self) -> bool:
        """Serve a request; tell whether the connection stays."""
        limits = self.server.limits
        if not self._greeted:
            self._greeted = True
            if not self._shake_hands(limits.handshake_time or None):
                return False
        self.socket.settimeout(limits.receive_time or None)
        return bool(super().communicate())

    def close(self) -> None:
        """Close the connection; one that was refused only after its peer has read why."""
        self.server.alive.discard(self)
        if self.refused:
            self.linger = False
            with suppress(OSError):
                self.socket.shutdown(socket.SHUT_WR)
                self.socket.settimeout(_LINGER)
                while self.socket.recv(_PIECE):
                    pass
        super().close()

    def _shake_hands(self, seconds: float | None) -> bool:
        if not isinstance(self.socket, ssl.SSLSocket):
            return True
        self.socket.settimeout(seconds)
        try:
            self.socket.do_handshake()
        except TimeoutError:
            self.server.late()
            return False
        except OSError:
            return False  # the peer spoke no TLS, none that we share, or has gone: there is nobody to tell
        return True

    def peer(self, listener: Listener) -> Any:
        if self._peer is None:
            address = self.remote_addr and (self.remote_addr, self.remote_port)
            if address is None:
                address = "" if isinstance(self.server.bind_addr, str) else None
            self._peer = peer_on(listener, self.socket, address)
        return self._peer


class _Server(Server):
    """Serves a socket that is bound already."""

    ConnectionClass = _Connection

    def __init__(
        self, listener: Listener, application: WsgiApplication, limits: CoreLimits, late: Callable[[], None]
    ) -> None:
        bound = listener.socket.getsockname()
        super().__init__(
            bound[:2] if isinstance(bound, tuple) else bound,
            application,
            request_queue_size=limits.backlog,
            timeout=limits.idle_time or _NEVER,
            shutdown_timeout=limits.stop_time,
        )
        self.listener = listener
        self.limits = limits
        self.expiration_interval = min(_STEP, limits.sweep_interval)
        self.gateway = _Gateway
        self.requests = _Pool(self, limits.workers)
        self.keep_alive_conn_limit = None
        self.max_request_header_size = listener.site.limits.header_bytes if listener.site is not None else 0
        self.ssl_adapter = None if listener.tls is None else _Tls(listener)
        self.stats["Enabled"] = False
        self.accepted = 0
        self.refused = 0
        self.alive: set[_Connection] = set()
        self.late = late

    def bind(self, *_: Any) -> socket.socket:
        """Take the listener's socket in place of a new one."""
        self.socket = self.listener.socket
        return self.listener.socket

    def bind_unix_socket(self, _address: Any) -> socket.socket:
        """Take the listener's socket, whose file has its permissions already."""
        return self.bind()

    def process_conn(self, conn: Any) -> None:
        """Take a connection whose peer has spoken, or one that has just been accepted, which then waits for that."""
        if conn.last_used is not None:
            super().process_conn(conn)
            return
        self.accepted += 1
        if len(self.alive) < self.limits.connections:
            self.alive.add(conn)
            self._connections.put(conn)
        elif self.listener.tls is None and self._unservicable_conns.qsize() < _MAX_REFUSING:
            self.refused += 1
            conn.refused = True
            self._unservicable_conns.put(conn)
        else:  # a hand-shake is work
            self.refused += 1
            conn.linger = False
            conn.close()

    def error_log(self, msg: str = "", level: int = 20, traceback: bool = False) -> None:
        """Log as everybody else does."""
        _log.log(min(level, logging.WARNING), "cheroot: %s", msg, exc_info=traceback)


class CherootCore(ThreadCore):
    """cheroot, one of its servers for each listener.

    Args:
        listeners: Where to listen; HTTP only.
        limits: Bounds; the defaults when left out.
    """

    name = "cheroot"

    def __init__(self, listeners: Sequence[Listener], limits: CoreLimits | None = None) -> None:
        super().__init__(listeners, limits)
        self._servers = [
            _Server(listener, self.application(listener), self.limits, self.runner.late) for listener in self.listeners
        ]

    def serve(self) -> None:
        """Serve until stopped; see `ThreadCore.serve`."""
        os.environ.pop(
            "LISTEN_PID", None
        )  # cheroot would take the first socket of systemd, which was another's or is ours by now
        threads = []
        for number, server in enumerate(self._servers, 1):
            server.prepare()
            threads.append(threading.Thread(target=server.serve, name=f"anycore-cheroot-accept-{number}", daemon=True))
            threads[-1].start()
        self.stopped.wait()
        stoppers = [threading.Thread(target=server.stop, daemon=True) for server in self._servers]
        for thread in stoppers:
            thread.start()
        for thread in (*stoppers, *threads):
            thread.join()

    def connections(self) -> tuple[int, int]:
        """Return how many connections are open, and how many were accepted so far."""
        return sum(len(server.alive) for server in self._servers), sum(server.accepted for server in self._servers)

    def figures(self) -> Figures:
        """Return what was counted so far."""
        found = super().figures()
        found.refused += sum(server.refused for server in self._servers)
        return found
