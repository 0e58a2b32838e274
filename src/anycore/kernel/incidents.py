"""Incidents: what peers did wrong, counted by kind and logged with the peer, without letting a flood fill the log."""

from __future__ import annotations

import logging
import time
from collections import Counter
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anycore.kernel.call import Peer

_log = logging.getLogger("anycore.incidents")


class Incidents:
    """Counts incidents; logs the first of each second and says how many it left out. Safe for threads.

    Args:
        lines_per_second: How many lines reach the log in any second at most.
    """

    def __init__(self, lines_per_second: int = 20) -> None:
        self._lines = lines_per_second
        self._lock = Lock()
        self._counts: Counter[str] = Counter()
        self._second = 0
        self._written = 0
        self._left_out = 0

    def note(self, peer: Peer, kind: str, message: str) -> None:
        """Count and log an incident.

        Args:
            peer: Who caused it.
            kind: A short, stable name, as in `http-400`; the counts go by it.
            message: What happened, for people.
        """
        second = int(time.monotonic())
        with self._lock:
            self._counts[kind] += 1
            left_out = 0
            if second != self._second:
                left_out, self._left_out = self._left_out, 0
                self._second, self._written = second, 0
            self._written += 1
            write = self._written <= self._lines
            self._left_out += not write
        if left_out:
            _log.warning("%d incidents were counted and not logged", left_out)
        if write:
            _log.warning("%s from %s: %s", kind, peer, message)

    def add(self, counts: Mapping[str, int]) -> None:
        """Count what another process has noted, and logged.

        Args:
            counts: How often each kind has happened there.
        """
        with self._lock:
            self._counts.update(counts)

    def counts(self) -> Mapping[str, int]:
        """Return how often each kind has happened."""
        with self._lock:
            return dict(self._counts)
