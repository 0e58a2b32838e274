"""Sharing listening sockets fairly: processes that accept on the same ones tell each other how many connections they have.

The system wakes them all when a connection comes, and the first one awake gets it; one that is idle, or whose processor is free, may get all
there are, and keep them. So one that has more than the others lets them go first, for a moment.
"""

from __future__ import annotations

import mmap
from typing import Final

SLACK: Final = 1
"""How many connections more than another process one may have, and an eighth of its own, before it lets others go first."""
MOMENT: Final = 0.002
"""How long it does so, in seconds. After that it takes a connection, as the others may be busy, or hang."""
AT_ONCE: Final = 2
"""How many connections it takes then."""
_ABSENT: Final = -1


class Shares:
    """How many connections each of several processes has, in memory that they share: made before they are.

    Args:
        count: How many processes there are.
    """

    def __init__(self, count: int) -> None:
        self._memory = mmap.mmap(-1, 8 * count)
        self._view = memoryview(self._memory).cast("q")
        for number in range(count):
            self.leave(number)

    def leave(self, number: int) -> None:
        """Take note that a process accepts no connections."""
        self._view[number] = _ABSENT

    def of(self, number: int) -> Share:
        """Return the share of a process."""
        return Share(self._view, number)

    def close(self) -> None:
        """Let go of the memory, in this process."""
        self._view.release()
        self._memory.close()


class Share:
    """The share of one process; see `Shares.of`."""

    def __init__(self, view: memoryview[int], number: int) -> None:
        self._view = view
        self._number = number
        self._left = False

    def tell(self, connections: int) -> None:
        """Tell the others how many connections this process has."""
        if not self._left:
            self._view[self._number] = connections

    def leave(self) -> None:
        """Tell the others that this process accepts no connections any more."""
        self._left = True
        self._view[self._number] = _ABSENT

    def ahead(self, connections: int) -> bool:
        """Tell the others how many connections this process has, and return whether one of them is to go first."""
        self.tell(connections)
        view, number = self._view, self._number
        least = min((found for index, found in enumerate(view) if index != number and found >= 0), default=connections)
        return connections > least + SLACK + connections // 8
