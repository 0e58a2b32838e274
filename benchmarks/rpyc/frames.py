"""The frames of the raw ping-pong: as long as a real client's call of a held method and the answer to it, and always the same."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable


def _frame(payload: bytes) -> bytes:
    return struct.pack("!LB", len(payload), 0) + payload + b"\n"


# Request 1000000: CALL of a bound method of rpyc's server, (2, 3), no keywords. Reply: 5 by value. See `replay.c`.
_NUMBER = b"\x11\x16\x071000000\x11"
_PACK = b"\x12\x08\x0e\x0fbuiltins.method\x16\x0f140406761493184\x16\x0f140406741308864"
REQUEST = _frame(b"\x01" + _NUMBER + b"\x57\x11\x52\x12\x11\x53" + _PACK + b"\x11\x51\x11\x52\x53\x11\x51\x02")
REPLY = _frame(b"\x02" + _NUMBER + b"\x51\x55")

# The first request of a client, and all that an idle connection has asked.
GETROOT = _frame(b"\x01\x11\x50\x11\x53\x11\x51\x02")


def polling(connected: socket.socket) -> Callable[[int], bytes]:
    """Return a `recv` that never sleeps, but looks for bytes until some have come."""

    def receive(size: int) -> bytes:
        while True:
            try:
                return connected.recv(size, socket.MSG_DONTWAIT)
            except BlockingIOError:
                continue

    return receive
