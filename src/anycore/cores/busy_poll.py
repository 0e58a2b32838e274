"""Busy polling: a thread that expects bytes at any moment looks for them for some microseconds before it sleeps.

A thread that sleeps in the kernel is woken late: on a virtual machine, whose idle processor has been given up meanwhile, that takes
longer than most calls. So where the peer has been quick lately, the thread looks again and again for about as long as a short call
takes, and sleeps only then. (Linux knows the same for network devices, as SO_BUSY_POLL in socket(7).) Who reads is not decided here.
"""

from __future__ import annotations

import os
import threading
from time import perf_counter
from typing import TYPE_CHECKING, Final, TypeVar

from anycore.objects.config import MAX_BUSY_POLL_TIME

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

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


class Backoff:
    """How many quick arrivals in a row there must be before a look; twice as many with each look in vain.

    Args:
        after: How many, to begin with, when one was slow.
        still: How many there must be now.

    Attributes:
        still: As above; 0 when it is time to look.
    """

    __slots__ = ("_after", "still")

    def __init__(self, after: int = FEW, still: int = FEW) -> None:
        self._after, self.still = after, still

    def found(self, times: int = 1) -> None:
        """A look has found something, or so many have."""
        if self._after > FEW:
            self._after = max(FEW, self._after - times)

    def in_vain(self) -> None:
        """A look has found nothing."""
        self._after = min(2 * self._after, MANY) or FEW
        self.still = self._after

    def slept(self, *, quick: bool) -> None:
        """Nobody looked, and something came; `quick` where a look would have found it, or spared much of the sleep."""
        if not quick:
            self.still = self._after
        elif self.still:
            self.still -= 1


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
        quick: Whether the peer has been quick already, and the first read is to look.
    """

    __slots__ = ("_backoff", "_quick", "_seconds")

    def __init__(self, seconds: float, *, quick: bool = False) -> None:
        self._seconds = bounded(seconds)
        self._quick = self._seconds + WAKING_SECONDS
        self._backoff = Backoff(0, 0 if quick else 1)  # who has spoken once may go on at once

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
        began, backoff = perf_counter(), self._backoff
        if not backoff.still and began > _interpreter.taken + _ALONE_SECONDS and _interpreter.looking.acquire(False):
            try:
                data = self._look(look, began + self._seconds)
            finally:
                _interpreter.looking.release()
            if data is not None:
                backoff.found()
                return data
            backoff.in_vain()
            began = 0.0  # whatever comes now was not quick
        data = receive()
        ended = perf_counter()
        if _interpreter.last is not self:
            if _interpreter.last is not None:
                _interpreter.taken = ended
            _interpreter.last = self
        backoff.slept(quick=data is not None and ended - began <= self._quick)
        return data

    def end(self) -> None:
        """The connection has ended: it keeps no other one from looking."""
        if _interpreter.last is self:
            _interpreter.last = None
        _interpreter.taken = 0.0

    def _look(self, look: Callable[[], bytes | None], end: float) -> bytes | None:
        _interpreter.last = self
        return _look(look, self, end)


class AcceptPoll:
    """Decides whether a thread whose connection has ended looks for the next one, by the rules of `BusyPoll`.

    A peer that connects, calls, closes and connects again would else wait until the thread that accepts is woken, and then the one that serves.

    Args:
        seconds: As for `BusyPoll`.
    """

    __slots__ = ("_backoff", "_ended", "_quick", "_seconds")

    def __init__(self, seconds: float) -> None:
        self._seconds = bounded(seconds)
        self._quick = self._seconds + WAKING_SECONDS
        self._backoff = Backoff()
        self._ended = 0.0

    def accepted(self) -> None:
        """A peer has connected, and nobody was looking."""
        if self._seconds:
            self._backoff.slept(quick=perf_counter() - self._ended <= self._quick)

    def look(self, accept: Callable[[], T | None]) -> T | None:
        """Look for the next connection where that is likely to come now; a connection of the calling thread has just ended.

        Args:
            accept: Accepts a connection that waits to be; returns None where there is none.
        """
        if not self._seconds:
            return None
        self._ended = began = perf_counter()
        looking = _interpreter.looking
        if self._backoff.still or _interpreter.last is not None or not looking.acquire(False):
            return None
        try:
            found = _look(accept, None, began + self._seconds)
        finally:
            looking.release()
        if found is None:
            self._backoff.in_vain()
        else:
            self._backoff.found()
        return found


def _look(look: Callable[[], T | None], last: BusyPoll | None, end: float) -> T | None:
    """Look until something is found, time is up, or a connection that was not the last to read before has read."""
    while True:
        found = look()
        if found is not None or _interpreter.last is not last or perf_counter() >= end:
            return found
