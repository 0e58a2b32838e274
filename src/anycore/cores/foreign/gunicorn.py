"""The core `gunicorn`: its worker with threads on our sockets, in our process. Its arbiter, which forks, is not used.

gunicorn's worker is made to be run by its arbiter; what is needed to do without is in this module, and a test fails when it changes.
"""

from __future__ import annotations

import logging
import os
import socket
import struct
import threading
from typing import TYPE_CHECKING, Any, Final

from gunicorn.config import Config
from gunicorn.glogging import Logger
from gunicorn.workers.gthread import ThreadWorker

from anycore.cores.foreign.base import ThreadCore
from anycore.cores.foreign.threads import DaemonThreads

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anycore.cores.base import CoreLimits, Listener

_NEVER: Final = 1_000_000
"""Seconds, eleven days: for time limits of gunicorn that cannot be switched off."""


class _Application:
    """What a worker asks for its application."""

    def __init__(self, application: Any) -> None:
        self._application = application

    def wsgi(self) -> Any:
        return self._application


class _Log(Logger):
    """gunicorn's log without handlers of its own."""

    def setup(self, cfg: Config) -> None:  # noqa: ARG002 - the signature is given
        self.error_log.propagate = True
        self.error_log.setLevel(logging.WARNING)
        self.access_log.propagate = False


class _Worker(ThreadWorker):
    """A worker without an arbiter, whose signals are the command's.

    Attributes:
        accepted: Connections so far.
    """

    def __init__(self, listener: Listener, application: Any, config: Config, threads: DaemonThreads) -> None:
        self._threads = threads
        self.accepted = 0
        super().__init__(1, os.getppid(), [listener.socket], _Application(application), 0, config, _Log(config))

    def init_signals(self) -> None:
        """Leave them alone."""

    def notify(self) -> None:
        """Tell nobody that the worker lives."""

    def is_parent_alive(self) -> bool:
        return True

    def get_thread_pool(self) -> DaemonThreads:
        return self._threads

    def accept(self, listener: Any) -> None:
        self.accepted += 1
        super().accept(listener)

    def close(self) -> None:
        """Close what the worker leaves open."""
        for descriptor in self.PIPE:
            os.close(descriptor)
        self.tmp.close()

    def end(self) -> None:
        """Stop gracefully; from any thread."""
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
        for listener in self.listeners:
            _bound_times(listener.socket, self.limits.receive_time, self.limits.send_time)
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
            ("worker_connections", limits.connections),
            ("keepalive", int(limits.idle_time)),
            ("graceful_timeout", int(limits.stop_time) or _NEVER),
            ("limit_request_line", min(site.limits.line, 8190)),
            ("limit_request_fields", site.limits.headers),
            ("limit_request_field_size", site.limits.line),
        ):
            config.set(name, value)
        if listener.tls is not None:
            config.set("certfile", listener.files[0] or "in the context")  # this says that TLS is spoken
            config.set("ssl_context", lambda _config, _default: listener.tls)
            config.set("do_handshake_on_connect", False)
        return _Worker(listener, self.application(listener), config, DaemonThreads(limits.workers))

    def connections(self) -> tuple[int, int]:
        """Return how many connections are open, and how many were accepted so far."""
        return sum(worker.nr_conns for worker in self._workers), sum(worker.accepted for worker in self._workers)


def _bound_times(bound: socket.socket, receive: float, send: float) -> None:
    """Let the system end what takes too long: accepted sockets inherit it, and gunicorn's threads wait on them without a limit."""
    for option, seconds in ((socket.SO_RCVTIMEO, receive), (socket.SO_SNDTIMEO, send)):
        bound.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", int(seconds), int(seconds % 1 * 1e6)))
