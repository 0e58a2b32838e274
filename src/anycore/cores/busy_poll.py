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

from anycore.objects.config import MAX_BUSY_POLL_TIME

if TYPE_CHECKING:
    from collections.abc import Callable

WAKING_SECONDS: Final = 100e-6
"""What being woken adds to a read that found nothing for the look."""
_ALONE_SECONDS: Final = 0.01
"""How long no other connection of the process must have read anything."""
FEW: Final = 4
MANY: Final = 512
"""How many quick reads in a row there must be before a look, at least and at most."""


class _Interpreter:
    """What all threads of a process share, so that whoever looks takes it from those that work.

    Attributes:
        looking: Held by the thread that looks.
        last: Whose read was the last to end; None when that has ended for good.
        taken: When it was another one's before, by `time.perf_counter()`.
    """

    __slots__ = ("last", "looking", "taken")

    def __init__(self) -> None:
        self.looking = threading.Lock()
        self.last: BusyPoll | None = None
        self.taken = 0.0


_interpreter = _Interpreter()


def processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def bounded(seconds: float) -> float:
    """Return how long to look of what was asked for: nothing where there is one processor only, or where that is no time at all."""
    return min(seconds, MAX_BUSY_POLL_TIME) if seconds > 0.0 and processors() > 1 else 0.0


class BusyPoll:
    """Decides, for one connection, whether to look before sleeping, by what came of it before.

    A look is taken once some reads in a row were quick, and while no other connection of this process has anything to say: the looks of
    one thread would keep the others from the interpreter. Each look in vain doubles how many quick reads that must be: a peer that is
    slow, or that needs the processor on which we look, costs next to nothing in the end.

    Args:
        seconds: How long to look, `MAX_BUSY_POLL_TIME` at most; 0 for never. Nobody looks where there is one processor only.
    """

    __slots__ = ("_after", "_quick", "_seconds", "_still")

    def __init__(self, seconds: float) -> None:
        self._seconds = bounded(seconds)
        self._quick = self._seconds + WAKING_SECONDS
        self._after, self._still = 0, 1  # who has spoken once may go on at once

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
        if not self._still and began > _interpreter.taken + _ALONE_SECONDS and _interpreter.looking.acquire(False):
            try:
                data = self._look(look, began + self._seconds)
            finally:
                _interpreter.looking.release()
            if data is not None:
                if self._after > FEW:
                    self._after -= 1
                return data
            self._after = min(2 * self._after, MANY) or FEW
            began = 0.0  # whatever comes now was not quick
        data = receive()
        ended = perf_counter()
        if _interpreter.last is not self:
            if _interpreter.last is not None:
                _interpreter.taken = ended
            _interpreter.last = self
        if data is None or ended - began > self._quick:
            self._still = self._after
        elif self._still:
            self._still -= 1
        return data

    def end(self) -> None:
        """The connection has ended: it keeps no other one from looking."""
        if _interpreter.last is self:
            _interpreter.last = None
        _interpreter.taken = 0.0

    def _look(self, look: Callable[[], bytes | None], end: float) -> bytes | None:
        _interpreter.last = self
        while True:
            data = look()
            if data is not None or _interpreter.last is not self or perf_counter() >= end:
                return data
