"""The core `gunicorn`: its worker with threads on our sockets, in our process. Its arbiter, which forks, is not used.

gunicorn's worker is made to be run by its arbiter; what is needed to do without is in this module, and a test fails when it changes.
"""

from __future__ import annotations

import logging
import os
import selectors
import socket
import sys
import threading
import time
import weakref
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from gunicorn.config import Config
from gunicorn.glogging import Logger
from gunicorn.http import get_parser
from gunicorn.util import close_graceful, write_error
from gunicorn.workers.gthread import TConn, ThreadWorker

from anycore.cores.base import AT_CONNECTIONS
from anycore.cores.foreign.base import ThreadCore
from anycore.cores.foreign.threads import DaemonThreads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from anycore.cores.base import CoreLimits, Figures, Listener
    from anycore.cores.foreign.wsgi import Environ, StartResponse, WsgiApplication

_NEVER: Final = 1_000_000
"""Seconds, eleven days: for time limits of gunicorn that cannot be switched off."""
_LINGER: Final = 0.2
"""How long a connection is kept for a request that may be on its way when the server stops, in seconds; gunicorn's own are 2."""
_MAX_LEAVING: Final = 32
"""Connections at a time whose peers are waited for after the last answer; more are closed at once."""


class _Application:
    """What a worker asks for its application. The peer is to take each answer in time."""

    def __init__(self, application: WsgiApplication, limits: CoreLimits) -> None:
        self._application = application
        self._send_time = limits.send_time or None

    def wsgi(self) -> Callable[[Environ, StartResponse], Iterable[bytes]]:
        return self._answer

    def _answer(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        pieces = self._application(environ, start_response)
        environ["gunicorn.socket"].settimeout(self._send_time)
        return pieces


class _Connection(TConn):
    """A connection whose hand-shake and requests are to arrive in time, and whose TLS context is the listener's of that time."""

    sock: socket.socket
    initialized: bool

    def __init__(self, worker: _Worker, connected: socket.socket, address: Any) -> None:
        super().__init__(worker.cfg, connected, address, worker.listener.socket.getsockname())
        self._worker = worker

    def init(self) -> None:
        """Make ready for a request."""
        limits, context = self._worker.limits, self._worker.listener.tls
        if not self.initialized and context is not None:
            self.sock.settimeout(limits.handshake_time or None)
            self.sock = context.wrap_socket(self.sock, server_side=True)
            self.parser = get_parser(self.cfg, self.sock, self.client)
            self.initialized = True
        super().init()
        self.sock.settimeout(limits.receive_time or None)

    def close(self, graceful: bool = False) -> None:
        """Close the connection; where its peer is waited for, not in the thread that gunicorn has for all of them."""
        if not (graceful and self._worker.alive and self._worker.linger(self.sock)):
            super().close()


class _Log(Logger):
    """gunicorn's log without handlers of its own."""

    def setup(self, cfg: Config) -> None:  # noqa: ARG002 - the signature is given
        self.error_log.propagate = True
        self.error_log.setLevel(logging.ERROR)  # warnings are about peers, as many as these please
        self.access_log.propagate = False

    def exception(self, msg: str, *args: Any, **kwargs: Any) -> None:
        """Log an exception, unless a peer that is slow or gone has caused it."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().exception(msg, *args, **kwargs)


class _Worker(ThreadWorker):
    """A worker without an arbiter, whose signals are the command's.

    Attributes:
        accepted: Connections so far.
    """

    def __init__(self, listener: Listener, application: WsgiApplication, config: Config, limits: CoreLimits) -> None:
        self.listener = listener
        self.limits = limits
        self._open: weakref.WeakSet[_Connection] = weakref.WeakSet()
        self._begun = threading.Event()
        self.accepted = 0
        self.refused = 0
        self.leaving: list[None] = []  # append and pop are atomic; += of a counter is not
        self._leaving = DaemonThreads(_MAX_LEAVING)
        super().__init__(1, os.getppid(), [listener.socket], _Application(application, limits), 0, config, _Log(config))
        self.max_keepalived = limits.connections  # the limit less the threads, else

    def init_signals(self) -> None:
        """Leave them alone."""

    def notify(self) -> None:
        """Tell nobody that the worker lives."""

    def is_parent_alive(self) -> bool:
        return True

    def get_thread_pool(self) -> DaemonThreads:
        return DaemonThreads(self.limits.workers)

    def run(self) -> None:
        """Serve until told to stop; what hangs then is cut off."""
        self._begun.set()
        super().run()
        for connection in list(self._open):
            connection.close()

    def accept(self, listener: socket.socket) -> None:
        """Accept a connection. It gets a thread when its peer has spoken, and not before, as gunicorn would have it."""
        try:
            connected, address = listener.accept()
        except OSError:
            return  # it has gone, or we are out of descriptors: let connections end before the next try
        self.accepted += 1
        if self.nr_conns >= self.limits.connections:
            self._refuse(connected)
            return
        self.nr_conns += 1
        connection = _Connection(self, connected, address)
        self._open.add(connection)
        connection.set_timeout()
        self.pending_conns.append(connection)
        self.poller.register(connected, selectors.EVENT_READ, partial(self.on_pending_socket_readable, connection))

    def _refuse(self, connected: socket.socket) -> None:
        self.refused += 1
        if self.listener.tls is None:  # a hand-shake is work
            with suppress(OSError):
                write_error(connected, 503, "Service Unavailable", AT_CONNECTIONS)
            if self.linger(connected):
                return
        connected.close()

    def linger(self, connected: socket.socket) -> bool:
        """Close a connection when its peer has, or in two seconds; tell whether there is room for one more of that kind."""
        if len(self.leaving) >= _MAX_LEAVING:
            return False
        self.leaving.append(None)
        self._leaving.submit(self._close, connected)
        return True

    def _close(self, connected: socket.socket) -> None:
        try:
            close_graceful(connected)
        finally:
            self.leaving.pop()

    def set_accept_enabled(self, enabled: bool) -> None:
        """Begin or stop to accept; a worker that stops closes its socket at once."""
        super().set_accept_enabled(enabled)
        if not self.alive:
            for bound in self.sockets:
                bound.close()

    def _cap_keepalive(self, deadline: float) -> None:
        deadline = min(deadline, time.monotonic() + _LINGER)
        super()._cap_keepalive(deadline)
        for connection in self.pending_conns:
            connection.timeout = min(connection.timeout, deadline)

    def close(self) -> None:
        """Close what the worker leaves open."""
        for descriptor in self.PIPE:
            os.close(descriptor)
        self.tmp.close()
        self._leaving.shutdown()

    def end(self) -> None:
        """Stop gracefully; from any thread, once it has begun."""
        self._begun.wait()
        self.handle_exit(None, None)


class GunicornCore(ThreadCore):
    """gunicorn's worker with threads, one for each listener.

    Args:
        listeners: Where to listen; HTTP only.
        limits: Bounds; the defaults when left out.
    """

    name = "gunicorn"

    def __init__(self, listeners: Sequence[Listener], limits: CoreLimits | None = None) -> None:
        super().__init__(listeners, limits)
        self._workers: list[_Worker] = []

    def serve(self) -> None:
        """Serve until stopped; see `ThreadCore.serve`."""
        self._workers = [self._worker(listener) for listener in self.listeners]
        threads = [
            threading.Thread(target=worker.init_process, name=f"anycore-gunicorn-{number}", daemon=True)
            for number, worker in enumerate(self._workers, 1)
        ]
        for thread in threads:
            thread.start()
        self.stopped.wait()
        for worker in self._workers:
            worker.end()
        for thread in threads:
            thread.join()
        for worker in self._workers:
            worker.close()

    def _worker(self, listener: Listener) -> _Worker:
        limits, site = self.limits, listener.site
        assert site is not None
        config = Config()
        for name, value in (
            ("threads", limits.workers),
            ("worker_connections", limits.connections + 1),  # one more is accepted, to be refused
            ("limit_request_line", min(site.limits.line, 8190)),
            ("limit_request_fields", site.limits.headers),
            ("limit_request_field_size", site.limits.line),
        ):
            config.set(name, value)
        # These are given to the clock, which takes fractions, other than `set`.
        config.settings["keepalive"].value = limits.idle_time or _NEVER
        config.settings["graceful_timeout"].value = limits.stop_time or _NEVER
        if listener.tls is not None:
            config.set("certfile", listener.files[0])  # this says that TLS is spoken; the connection sees to how
        return _Worker(listener, self.application(listener), config, limits)

    def connections(self) -> tuple[int, int]:
        """Return how many connections are open, and how many were accepted so far."""
        return sum(worker.nr_conns for worker in self._workers), sum(worker.accepted for worker in self._workers)

    def figures(self) -> Figures:
        """Return what was counted so far."""
        found = super().figures()
        found.refused += sum(worker.refused for worker in self._workers)
        return found
