"""Whether a socket has something to say, asked without waiting. Both clients ask it of a connection that was idle."""

from __future__ import annotations

import select
from typing import Protocol


class HasDescriptor(Protocol):
    """A socket, or what stands for one."""

    def fileno(self) -> int:
        """Return its descriptor, -1 when it is closed."""


def readable(connected: HasDescriptor) -> bool:
    """Return whether something came in, be it the end of the connection. A closed socket says yes.

    Args:
        connected: The socket.
    """
    descriptor = connected.fileno()
    if descriptor < 0:
        return True
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
