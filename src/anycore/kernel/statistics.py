"""Counting calls: how many, how many failed, how long they took. Per method, and added up per plugin.

Times fall into logarithmic buckets, 16 to each doubling, so that a percentile is right to within 6.25 % at a fixed
cost in memory whatever the number of calls.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from itertools import accumulate
from threading import Lock
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_STEPS = 16
_SHIFT = 4
_ENOUGH = 1024
"""Calls whose times are kept as they are until they are added up."""


class Summary(msgspec.Struct, frozen=True):
    """Figures of a method or plugin. Times are in seconds, 0 where nothing was counted.

    Args:
        count: Calls that ended.
        errors: Those of them that ended with a fault.
        running: Calls under way.
        min: The quickest.
        mean: The mean.
        max: The slowest.
        p50: Half of the calls were at least as quick as this.
        p90: The same for 90 in 100.
        p99: The same for 99 in 100.
    """

    count: int = 0
    errors: int = 0
    running: int = 0
    min: float = 0.0
    mean: float = 0.0
    max: float = 0.0
    p50: float = 0.0
    p90: float = 0.0
    p99: float = 0.0


class Counts(msgspec.Struct, array_like=True):
    """What was counted of a method, in a form that can be added to what another process has counted. Times are in nanoseconds.

    Args:
        count: Calls that ended.
        errors: Those of them that ended with a fault.
        total_ns: How long they took together.
        min_ns: The quickest.
        max_ns: The slowest.
        buckets: How many there are in each bucket.
    """

    count: int = 0
    errors: int = 0
    total_ns: int = 0
    min_ns: int = 0
    max_ns: int = 0
    buckets: dict[int, int] = {}

    def since(self, before: Counts | None) -> Counts:
        """Return what has come since some counts of the same method. The quickest and the slowest are those of all the time."""
        if before is None or before.count > self.count:
            return self  # counted from the start again: the method was swapped meanwhile
        old = before.buckets
        buckets = {bucket: new for bucket, now in self.buckets.items() if (new := now - old.get(bucket, 0))}
        return Counts(
            self.count - before.count,
            self.errors - before.errors,
            self.total_ns - before.total_ns,
            self.min_ns,
            self.max_ns,
            buckets,
        )


class Statistics:
    """The counters of one method. Safe for threads.

    A call costs three appends and pops, which are atomic and take a fraction of a lock's time. What they leave behind is added up when
    somebody asks, or when there is enough of it.
    """

    __slots__ = ("_buckets", "_count", "_errors", "_lock", "_max_ns", "_min_ns", "_running", "_samples", "_total_ns")

    def __init__(self) -> None:
        self._lock = Lock()
        self._running: list[None] = []
        self._samples: deque[int] = deque()
        self._buckets: dict[int, int] = {}
        self._count = self._errors = self._total_ns = self._min_ns = self._max_ns = 0

    @property
    def running(self) -> int:
        """Calls under way."""
        return len(self._running)

    def begin(self) -> None:
        """Count a call that starts."""
        self._running.append(None)

    def withdraw(self) -> None:
        """Take back a `begin`: the call went elsewhere."""
        self._running.pop()

    def end(self, nanoseconds: int, *, failed: bool) -> None:
        """Count a call that ended.

        Args:
            nanoseconds: How long it took.
            failed: Whether it ended with a fault.
        """
        self._running.pop()
        samples = self._samples
        samples.append(~nanoseconds if failed else nanoseconds)
        if len(samples) >= _ENOUGH:
            self._add_up()

    def _add_up(self) -> None:
        samples, buckets = self._samples, self._buckets
        with self._lock:
            for _ in range(len(samples)):
                try:
                    sample = samples.popleft()
                except IndexError:
                    return
                if sample < 0:
                    sample = ~sample
                    self._errors += 1
                if not self._count or sample < self._min_ns:
                    self._min_ns = sample
                self._max_ns = max(self._max_ns, sample)
                self._count += 1
                self._total_ns += sample
                shift = sample.bit_length() - _SHIFT - 1
                bucket = (shift * _STEPS + (sample >> shift)) if shift > 0 else sample
                buckets[bucket] = buckets.get(bucket, 0) + 1

    def summary(self) -> Summary:
        """Return the figures so far."""
        return summarise([self])

    def counts(self) -> Counts:
        """Return what was counted so far."""
        self._add_up()
        with self._lock:
            return Counts(self._count, self._errors, self._total_ns, self._min_ns, self._max_ns, dict(self._buckets))

    def add(self, counts: Counts) -> None:
        """Add what another process has counted."""
        if not counts.count:
            return
        self._add_up()
        with self._lock:
            self._min_ns = min(self._min_ns, counts.min_ns) if self._count else counts.min_ns
            self._max_ns = max(self._max_ns, counts.max_ns)
            self._count += counts.count
            self._errors += counts.errors
            self._total_ns += counts.total_ns
            for bucket, number in counts.buckets.items():
                self._buckets[bucket] = self._buckets.get(bucket, 0) + number


def summarise(parts: Iterable[Statistics]) -> Summary:
    """Add up the figures of several methods.

    Args:
        parts: The counters; those of a plugin's methods give the plugin's figures.
    """
    found = list(parts)
    return summary_of(merged(part.counts() for part in found), sum(part.running for part in found))


def merged(parts: Iterable[Counts]) -> Counts:
    """Add up what was counted of several methods, or in several processes.

    Args:
        parts: The counts.
    """
    buckets: dict[int, int] = {}
    count = errors = total = low = high = 0
    for some in parts:
        if some.count:
            low = min(low, some.min_ns) if count else some.min_ns
            high = max(high, some.max_ns)
        count, errors, total = count + some.count, errors + some.errors, total + some.total_ns
        for bucket, number in some.buckets.items():
            buckets[bucket] = buckets.get(bucket, 0) + number
    return Counts(count, errors, total, low, high, buckets)


def summary_of(counts: Counts, running: int = 0) -> Summary:
    """Return the figures for people.

    Args:
        counts: What was counted.
        running: Calls under way.
    """
    count, low, high = counts.count, counts.min_ns, counts.max_ns
    if not count:
        return Summary(running=running)
    p50, p90, p99 = (min(max(_percentile(counts.buckets, count, share), low), high) for share in (0.50, 0.90, 0.99))
    second = 1e-9
    return Summary(
        count, counts.errors, running, low * second, counts.total_ns / count * second, high * second, p50 * second,
        p90 * second, p99 * second,
    )  # fmt: skip


def histogram(counts: Counts, edges: Sequence[float]) -> list[int]:
    """Return how many calls took at most so long, for each of some times; right to within a bucket, as percentiles are.

    Args:
        counts: What was counted.
        edges: Times in seconds, ascending.
    """
    found = [0] * len(edges)
    for bucket, number in counts.buckets.items():
        place = bisect_left(edges, _upper_edge(bucket) * 1e-9)
        if place < len(edges):
            found[place] += number
    return list(accumulate(found))


def _percentile(buckets: dict[int, int], count: int, share: float) -> int:
    """Return the upper edge, in nanoseconds, of the bucket in which the given share of the calls is reached."""
    seen = 0
    for bucket in sorted(buckets):
        seen += buckets[bucket]
        if seen >= share * count:
            return _upper_edge(bucket)
    return _upper_edge(max(buckets))


def _upper_edge(bucket: int) -> int:
    if bucket < 2 * _STEPS:
        return bucket
    shift = bucket // _STEPS - 1
    return ((bucket - shift * _STEPS + 1) << shift) - 1
