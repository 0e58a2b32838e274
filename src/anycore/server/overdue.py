"""Says what plugins do that nobody can undo: methods that run on when nobody waits for them any more, and threads that become more and more."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections import Counter
from typing import Final

from anycore.kernel.whereabouts import calls_by_thread, whereabouts

_log = logging.getLogger("anycore.overdue")

_LONGEST: Final = 15.0
_MANY: Final = 100
"""Threads of plugins in one process that are worth a word."""
_OURS: Final = ("anycore-", "MainThread", "asyncio_", "uvloop")
_KINDS_SHOWN: Final = 3


class Overdue:
    """Looks at the threads of this process from time to time, in a thread of its own.

    Args:
        call_time: How long a call may take, in seconds; 0 for no limit, and then only threads are counted.
    """

    def __init__(self, call_time: float) -> None:
        self._interval = min(_LONGEST, max(0.1, call_time / 4)) if call_time else _LONGEST
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="anycore-overdue", daemon=True)
        self._told: set[int] = set()
        self._worth_telling = _MANY

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(self._interval):
            self.look()

    def look(self) -> None:
        """Log each call that is overdue, once, and threads when there are twice as many as the last time."""
        now, running = time.monotonic(), set()
        for thread, call in calls_by_thread():
            running.add(call.number)
            if call.deadline is not None and now > call.deadline and call.number not in self._told:
                self._told.add(call.number)
                _log.warning(
                    "call %s: %s from %s still runs, %.1f s after its caller has given up; it is in %s; what holds its thread"
                    " cannot be ended from outside",
                    call.id,
                    call.name,
                    call.peer,
                    now - call.deadline,
                    whereabouts(thread),
                )
        self._told &= running
        self._count_threads()

    def _count_threads(self) -> None:
        names = [one.name for one in threading.enumerate() if not one.name.startswith(_OURS)]
        if len(names) >= self._worth_telling:
            self._worth_telling = 2 * len(names)
            kinds = Counter(re.sub(r"\d+", "N", name) for name in names).most_common(_KINDS_SHOWN)
            shown = ", ".join(f"{count} of {name!r}" for name, count in kinds)
            _log.warning(
                "%d threads of plugins run in this process: %s; threads that nobody ends are a leak", len(names), shown
            )
