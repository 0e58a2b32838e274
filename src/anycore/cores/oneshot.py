"""The oneshot core: it serves one connection, then it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from anycore.cores.threaded import ThreadedCore

if TYPE_CHECKING:
    import socket

    from anycore.cores.base import Listener
    from anycore.cores.threaded_connection import ThreadedConnection


class OneshotCore(ThreadedCore):
    """Serves the first connection and refuses further ones; `run` returns when it has ended."""

    name = "oneshot"

    def _serve(self, listener: Listener, raw: socket.socket, address: Any) -> bool:
        return self._accepted == 1 and super()._serve(listener, raw, address)

    def ended(self, connection: ThreadedConnection) -> None:
        """The one connection has ended, and the core with it."""
        super().ended(connection)
        self.stop()
