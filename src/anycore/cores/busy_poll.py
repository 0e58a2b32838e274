"""Busy polling: a thread that expects bytes at any moment looks for them for some microseconds before it sleeps.

A thread that sleeps in the kernel is woken late: on a virtual machine, whose idle processor has been given up meanwhile, that takes
longer than most calls. So where the peer has been quick lately, the thread looks again and again for about as long as a short call
takes, and sleeps only then. (Linux knows the same for network devices, as SO_BUSY_POLL in socket(7).) Who reads is not decided here.
"""

from __future__ import annotations

import os
import threading
from time import perf_counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_WAKING_SECONDS: Final = 100e-6
"""What being woken adds to a read that found nothing for the look."""
_FEW: Final = 4
_MANY: Final = 512
_one_looks = threading.Lock()
"""Held while a thread of this process looks: a second one would only take the interpreter, or a processor, from those that work."""


def processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class BusyPoll:
    """Decides, for one connection, whether to look before sleeping, by what came of it before.

    A look is taken once some reads in a row were quick. Each look in vain doubles how many that must be: a peer that is slow, or that
    needs the processor on which we look, costs next to nothing in the end.

    Args:
        seconds: How long to look; 0 for never. Nobody looks where there is one processor only.
    """

    __slots__ = ("_after", "_quick", "_seconds", "_still")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds if processors() > 1 else 0.0
        self._quick = seconds + _WAKING_SECONDS
        self._after = self._still = _FEW

    def read(self, receive: Callable[[], bytes | None], look: Callable[[], bytes | None]) -> bytes | None:
        """Read, looking first where that is likely to spare the sleep.

        Args:
            receive: Reads, and waits for something to read for as long as it likes.
            look: Reads what is there; returns None where there is nothing.

        Raises:
            OSError: What these raise.
        """
        if not self._seconds:
            return receive()
        began = perf_counter()
        if not self._still:
            if _one_looks.acquire(False):
                try:
                    data = self._look(look, began + self._seconds)
                finally:
                    _one_looks.release()
                if data is not None:
                    if self._after > _FEW:
                        self._after -= 1
                    return data
                self._after = self._still = min(2 * self._after, _MANY)
            return receive()
        data = receive()
        if data is None or perf_counter() - began > self._quick:
            self._still = self._after
        else:
            self._still -= 1
        return data

    @staticmethod
    def _look(look: Callable[[], bytes | None], end: float) -> bytes | None:
        while True:
            data = look()
            if data is not None or perf_counter() >= end:
                return data
