"""The performance log: from time to time, a line with the figures of each method that was called since."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from anycore.kernel.statistics import summary_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from anycore.kernel.statistics import Counts
    from anycore.kernel.tally import Totals

_log = logging.getLogger("anycore.performance")


class PerformanceLog:
    """Writes the figures, in a thread of its own, from `start` to `stop`; once more at the end.

    Args:
        totals: Returns what was counted so far, by all processes of the server. May take its time, and fail.
        interval: Seconds between two times.
    """

    def __init__(self, totals: Callable[[], Totals], interval: float) -> None:
        self._totals = totals
        self._interval = interval
        self._before: dict[str, Counts] = {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="anycore-performance", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Write what came since the last time, and end."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(self._interval):
            self._attempt()
        self._attempt()

    def _attempt(self) -> None:
        try:
            self.write()
        except Exception:  # noqa: BLE001 - of whatever kind: the server goes on, and so does this
            _log.warning("the figures cannot be had just now", exc_info=True)

    def write(self) -> None:
        """Write a line for each method that was called since the last time. Times are in milliseconds."""
        found = self._totals().methods
        for name in sorted(found):
            new = found[name].since(self._before.get(name))
            if not new.count:
                continue
            summary, average = summary_of(new), new.total_ns / new.count / 1e6
            _log.info(
                "performance statistics: %s: min=%.3f max=%.3f average=%.3f p99=%.3f count=%d faults=%d",
                name, summary.min * 1e3, summary.max * 1e3, average, summary.p99 * 1e3, new.count, new.errors,
            )  # fmt: skip
        self._before = found
