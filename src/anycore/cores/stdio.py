"""The stdio core: it serves the one connection that standard input and output are, then it ends. What takes them over lives in `pipes`."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import TYPE_CHECKING

from anycore.cores.base import Listener
from anycore.cores.pipes import PipeSocket
from anycore.cores.threaded import ThreadedCore
from anycore.kernel.call import Peer

if TYPE_CHECKING:
    from collections.abc import Callable

    from anycore.conversations.base import Conversation
    from anycore.cores.threaded_connection import ThreadedConnection


class StdioCore(ThreadedCore):
    """Serves the socket of its first listener as a connection, which it is already; `run` returns when it has ended.

    Whoever makes the listener takes over standard input and output before anything else may print, with `take_standard_streams`.
    """

    name = "stdio"

    def run(self, startup: Callable[[], None] = lambda: None, shutdown: Callable[[], None] = lambda: None) -> None:
        """Serve until the connection ends, or until stopped; see `Core.run`."""
        taken = self.listeners[0].socket
        try:
            super().run(startup, shutdown)
        finally:
            if isinstance(taken, PipeSocket):
                taken.drain(self.limits.send_time or None)

    def _listen(self) -> None:
        """There is nobody to listen for."""

    def _accept(self) -> None:
        listener = self.listeners[0]
        # The core closes its listeners before the last connection has ended, so this one must not have it any more.
        raw = socket.socket(fileno=listener.socket.detach())
        address = None
        with suppress(OSError):  # the peer has gone already
            address = raw.getpeername()
        self._accepted = 1
        if not self._serve(Listener(raw, self._open_for, listener.url), raw, address):
            raw.close()
            raise RuntimeError("the system gives no thread for the connection at standard input and output")
        self._wake_reader.recv(1)
        self.stopping = True

    def retire(self) -> None:
        """Stop: there is nothing that another server could take over."""
        self.stop()

    def _open_for(self, peer: Peer) -> Conversation:
        here = peer.local and not peer.host  # a pipe, or a socket that whoever has started this process has made
        return self.listeners[0].open(Peer("stdio") if here else peer)

    def ended(self, connection: ThreadedConnection) -> None:
        """The one connection has ended, and the core with it."""
        super().ended(connection)
        self.stop()
