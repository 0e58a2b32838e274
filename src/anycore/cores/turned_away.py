"""Peers for which a core has no place: they are told so, and waited for until they have read it."""

from __future__ import annotations

import selectors
import socket
import time
from typing import TYPE_CHECKING, Any, Final

from anycore.cores.base import AT_CONNECTIONS, peer_of

if TYPE_CHECKING:
    from anycore.cores.base import CoreLimits, Listener

_MAX: Final = 256
"""Peers that are waited for at a time; more are closed without a word."""
_CHUNK: Final = 65536


class TurnedAway:
    """Sockets of peers that were refused, in a selector of their core, which hands them back when they can be read.

    Args:
        selector: The core's. The keys of these sockets have this object as their data.
        limits: The core's.
    """

    def __init__(self, selector: selectors.BaseSelector, limits: CoreLimits) -> None:
        self._selector = selector
        self._linger_time = limits.linger_time
        self._until: dict[socket.socket, float] = {}

    def __len__(self) -> int:
        return len(self._until)

    def refuse(self, listener: Listener, raw: socket.socket, address: Any) -> None:
        """Tell a peer that there is no place for it; over TLS it is closed without a word.

        Args:
            listener: Where it connected.
            raw: Its socket, which belongs to this object now.
            address: Where it comes from, as `accept` said.
        """
        if self._tell(listener, raw, address):
            self._until[raw] = time.monotonic() + self._linger_time
            self._selector.register(raw, selectors.EVENT_READ, self)
        else:
            raw.close()

    def _tell(self, listener: Listener, raw: socket.socket, address: Any) -> bool:
        """Answer; return whether to wait for the peer to close, so that it can read that."""
        if listener.tls is not None or not self._linger_time or len(self._until) >= _MAX:
            return False
        conversation = listener.open(peer_of(listener, address))
        conversation.refuse(AT_CONNECTIONS)
        try:
            raw.setblocking(False)
            raw.send(conversation.take())
            raw.shutdown(socket.SHUT_WR)
        except OSError:  # the peer did not wait for the answer
            return False
        finally:
            conversation.eof()
        return True

    def drain(self, raw: Any) -> None:
        """Read and forget what a refused peer sends; when it closes, forget the peer."""
        try:
            ended = not raw.recv(_CHUNK)
        except BlockingIOError:
            ended = False
        except OSError:
            ended = True
        if ended:
            self._forget(raw)

    def send_away(self, *, everyone: bool = False) -> None:
        """Close the sockets of those that had time enough, or of everyone."""
        now = time.monotonic()
        for raw in [raw for raw, until in self._until.items() if everyone or now > until]:
            self._forget(raw)

    def abandon(self) -> None:
        """Close all sockets in a process that was forked; the selector is the parent's."""
        for raw in self._until:
            raw.close()
        self._until.clear()

    def _forget(self, raw: socket.socket) -> None:
        self._selector.unregister(raw)
        del self._until[raw]
        raw.close()
