"""How the system is told to find out that the other end of a connection has gone without a word (RFC 9293 section 3.8.4)."""

from __future__ import annotations

import socket
from typing import Final

_PROBES: Final = 5


def probe(connected: socket.socket, seconds: int) -> None:
    """Have the system look whether the machine at the other end is still there; nothing where there is none, as on Unix sockets.

    Args:
        connected: The socket; connections inherit it from one that listens.
        seconds: Seconds of silence before the first look, and between two. After five without an answer the connection is lost. 0: no looks.

    Raises:
        ValueError: When that is less than 0.
    """
    if seconds < 0:
        message = f"keepalive is {seconds} s; at least 1 is needed"
        raise ValueError(message)
    if connected.family not in (socket.AF_INET, socket.AF_INET6):
        return
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, int(seconds > 0))
    if not seconds:
        return
    for name, value in (("TCP_KEEPIDLE", seconds), ("TCP_KEEPINTVL", seconds), ("TCP_KEEPCNT", _PROBES)):
        if hasattr(socket, name):
            connected.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
