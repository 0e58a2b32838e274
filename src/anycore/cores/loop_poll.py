"""Busy polling for an event loop: it goes round for some microseconds before it sleeps. Why, and for threads: `busy_poll`."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Final

from anycore.cores.busy_poll import WAKING_SECONDS, Backoff, bounded

if TYPE_CHECKING:
    import asyncio

_NEW: Final = -1.0
_TURNS: Final = 64
"""How many messages in a row must have come from another connection than the one before."""


class LoopPoll:
    """Decides, for one event loop, whether to go round or to sleep, by what came of it before.

    The rules are those of `BusyPoll`: once some messages of one connection have come quickly after the answers before them, with none of
    another connection in between, and less often each time that it was in vain. Other connections are served meanwhile as ever.

    Args:
        loop: The loop, which all methods are called on.
        seconds: How long to go round for one message, as with `BusyPoll`; 0 for never.

    Attributes:
        on: Whether it is to be told anything. While many connections speak in turn it is not, until the next `look_again`.
    """

    __slots__ = (
        "_able",
        "_backoff",
        "_end",
        "_last",
        "_loop",
        "_quick",
        "_round",
        "_seconds",
        "_since",
        "_turns",
        "on",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        self._seconds = bounded(seconds)
        self._able = self.on = self._seconds > 0.0
        self._loop = loop
        self._quick = self._seconds + WAKING_SECONDS
        self._backoff = Backoff()
        self._last: object = None
        self._since = _NEW  # when the last connection got its answer; 0 when that is not known
        self._end = 0.0  # when to have gone round enough; 0 when it does not go round
        self._round = False
        self._turns = 0

    def look_again(self) -> None:
        """Some time has passed, and perhaps there is one connection only that has something to say."""
        self.on = self._able

    def heard(self, connection: object) -> None:
        """A connection has sent something."""
        if connection is not self._last:
            self._last, self._since, self._end = connection, _NEW, 0.0
            self._backoff.slept(quick=False)
            self._turns += 1
            if self._turns > _TURNS:
                self.on, self._turns = False, 0
            return
        self._turns = 0
        if self._end:
            self._end = 0.0
            self._backoff.found()
        elif self._since > 0.0:
            self._backoff.slept(quick=perf_counter() <= self._since + self._quick)

    def last(self, connection: object) -> bool:
        """Whether a connection is the one that has spoken last."""
        return connection is self._last

    def due(self, connection: object) -> bool:
        """Whether, once it has its answer, it would be time to go round for the next message of a connection."""
        return self.on and connection is self._last and not self._backoff.still

    def lent(self, connection: object, found: int) -> None:
        """A worker has looked for the connection's messages meanwhile, and found so many."""
        if connection is self._last:
            self._since, self._end = _NEW, 0.0
            if found:
                self._backoff.found(found)
            else:
                self._backoff.in_vain()

    def answered(self, connection: object) -> None:
        """A connection has its answer, and nothing else is under way there."""
        if connection is not self._last:
            return
        if self._since < 0.0:
            self._since = 0.0
            return
        self._since = now = perf_counter()
        if self._backoff.still:
            return
        self._end = now + self._seconds
        if not self._round:
            self._round = True
            self._loop.call_soon(self._go_round)

    def ended(self, connection: object) -> None:
        """A connection has ended."""
        if connection is self._last:
            self._last, self._end = None, 0.0

    def _go_round(self) -> None:
        if self._end and perf_counter() >= self._end:
            self._end = 0.0
            self._backoff.in_vain()
        self._round = bool(self._end)
        if self._round:
            self._loop.call_soon(self._go_round)
