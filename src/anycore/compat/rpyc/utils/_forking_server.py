"""`ForkingServer`: a process for each connection. No signal handler reaps them, so nobody else's children are taken."""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NoReturn

from anycore.compat.rpyc.utils.server import Server, _shut

if TYPE_CHECKING:
    import socket

_CLOSE_SECONDS: Final = 2.0


class ForkingServer(Server):
    """A process for each connection; it ends with the connection, and with the server. For the arguments see `Server`.

    Raises:
        OSError: Where the system has no fork.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if not hasattr(os, "fork"):
            raise OSError("ForkingServer needs a system with fork; use ThreadedServer")
        super().__init__(*args, **kwargs)
        self._children: set[int] = set()

    def _accept_method(self, sock: socket.socket) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        try:
            child = os.fork()
        except OSError as error:
            self.logger.warning("a connection is refused: %s", error)
        else:
            if not child:
                self._live(sock)
            self._children.add(child)
        self.clients.discard(sock)
        sock.close()

    def _live(self, sock: socket.socket) -> NoReturn:
        """Serve a connection in the new process, and leave it without unwinding what belongs to the parent."""
        status = 1
        try:
            signal.signal(signal.SIGTERM, lambda *_: _end(self))
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent tells us
            self.listener.close()
            self._children.clear()
            self.auto_register = False
            self._authenticate_and_serve_client(sock)
            status = 0
        except BaseException:
            self.logger.exception("the process of a connection failed")
        finally:
            with suppress(OSError, ValueError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(status)

    def _tick(self) -> None:
        for child in list(self._children):
            if _has_ended(child):
                self._children.discard(child)

    def _count(self) -> int:
        return len(self._children)

    def _wind_down(self) -> None:
        for child in self._children:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGTERM)
        end = time.monotonic() + _CLOSE_SECONDS
        while self._children and time.monotonic() < end:
            self._tick()
            time.sleep(0.01)
        for child in self._children:
            with suppress(ProcessLookupError, ChildProcessError):
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
        self._children.clear()


def _end(server: Server) -> None:
    for client in set(server.clients):
        _shut(client)


def _has_ended(child: int) -> bool:
    try:
        return os.waitpid(child, os.WNOHANG)[0] == child
    except ChildProcessError:  # somebody else has waited for all children there are
        return True
