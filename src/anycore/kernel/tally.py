"""Adding up what several processes have counted. How the reports travel between them is the core's business."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from anycore.kernel.statistics import Counts, Statistics

if TYPE_CHECKING:
    from anycore.kernel.incidents import Incidents
    from anycore.kernel.registry import Registry


class Report(msgspec.Struct):
    """What a process has counted since its last report.

    Args:
        methods: Calls, by the method's name.
        incidents: Incidents, by kind.
    """

    methods: dict[str, Counts] = {}
    incidents: dict[str, int] = {}


class Totals(msgspec.Struct):
    """What all processes have counted.

    Args:
        methods: Calls that ended, by the method's name.
        running: Calls under way, by the method's name, where there are any.
        incidents: Incidents, by kind.
    """

    methods: dict[str, Counts] = {}
    running: dict[str, int] = {}
    incidents: dict[str, int] = {}


class Tally:
    """The counters of one process, and those that others report to it.

    Attributes:
        calls: Calls that were reported so far.

    Args:
        registry: Whose methods count their calls.
        incidents: What counts the incidents.
    """

    def __init__(self, registry: Registry, incidents: Incidents) -> None:
        self._registry = registry
        self._incidents = incidents
        self._methods: dict[str, tuple[Statistics, Counts]] = {}
        self._counts: dict[str, int] = {}
        self.calls = 0

    def mark(self) -> None:
        """Leave all that was counted so far out of the reports: another process knows it."""
        self.take()
        self.calls = 0

    def take(self) -> bytes:
        """Return what was counted since the last time; no bytes when it is nothing."""
        known = self._registry.methods.items()
        methods = {name: (found.statistics, found.statistics.counts()) for name, found in known if name == found.name}
        counts = dict(self._incidents.counts())
        found = Report(
            {name: new for name, (of, now) in methods.items() if (new := now.since(self._before(name, of))).count},
            {kind: more for kind, now in counts.items() if (more := now - self._counts.get(kind, 0)) > 0},
        )
        self._methods, self._counts = methods, counts
        self.calls += sum(new.count for new in found.methods.values())
        return msgspec.msgpack.encode(found) if found.methods or found.incidents else b""

    def _before(self, name: str, statistics: Statistics) -> Counts | None:
        """Return what was counted of a method the last time; None when it has been swapped meanwhile, and counts from the start."""
        counted, counts = self._methods.get(name, (None, None))
        return counts if counted is statistics else None

    def running(self) -> dict[str, int]:
        """Return how many calls are under way here, by the method's name."""
        methods = self._registry.methods.items()
        return {
            name: running for name, method in methods if name == method.name and (running := method.statistics.running)
        }

    def totals(self) -> Totals:
        """Return what was counted here, and reported."""
        methods = {
            name: found.statistics.counts() for name, found in self._registry.methods.items() if name == found.name
        }
        return Totals(methods, self.running(), dict(self._incidents.counts()))

    def add(self, data: bytes) -> None:
        """Add what another process has reported. Methods that are not served here any more are left out.

        Args:
            data: What its `take` returned.
        """
        found = msgspec.msgpack.decode(data, type=Report)
        for name, counts in found.methods.items():
            method = self._registry.methods.get(name)
            if method is not None:
                method.statistics.add(counts)
        self._incidents.add(found.incidents)
