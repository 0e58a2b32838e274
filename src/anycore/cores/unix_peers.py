"""Which process is at the other end of a Unix socket. What that makes of the caller lives in `identity.unix`."""

from __future__ import annotations

import os
import socket
import struct
from typing import Final

_PEERCRED: Final[int | None] = getattr(socket, "SO_PEERCRED", None)
_PROCESS: Final = struct.Struct("iII")
_NOBODY: Final = 2**32 - 1  # what the system says of a socket that nobody has connected to


def process_behind(connected: socket.socket) -> tuple[int, int, int] | None:
    """Return number, user and group of the process that a Unix socket leads to, as they were when it connected (unix(7)).

    Args:
        connected: The socket, or what asyncio gives in its place.

    Returns:
        None where the system does not say.
    """
    if _PEERCRED is None:
        return None
    try:
        # uvloop's stand-in for a socket answers to fileno() and to nothing that is asked here.
        with socket.socket(fileno=os.dup(connected.fileno())) as asked:
            if asked.family != socket.AF_UNIX:
                return None
            pid, uid, gid = _PROCESS.unpack(asked.getsockopt(socket.SOL_SOCKET, _PEERCRED, _PROCESS.size))
    except OSError:  # it has gone meanwhile
        return None
    return None if uid == _NOBODY else (pid, uid, gid)
