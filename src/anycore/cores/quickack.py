"""Acknowledging at once that half a message has come."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio.trsock

_QUICKACK: Final = getattr(socket, "TCP_QUICKACK", 0)


def acknowledge(connected: socket.socket | asyncio.trsock.TransportSocket | None) -> None:
    """Tell the peer at once what has come: RPyC's own, with Nagle's algorithm on, holds the rest of a message back until then.

    The system forgets the option at its own discretion, so it is set each time. Sockets that are not TCP's are left alone.

    Args:
        connected: The socket.
    """
    if _QUICKACK and connected is not None and connected.family in (socket.AF_INET, socket.AF_INET6):
        connected.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
