"""Adding up what several processes have counted."""

from __future__ import annotations

from anycore import Plugin, exposed
from anycore.kernel.call import Peer
from anycore.kernel.incidents import Incidents
from anycore.kernel.registry import Registry, verify
from anycore.kernel.statistics import Counts, Statistics
from anycore.kernel.tally import Tally


class Clock(Plugin):
    @exposed
    def tick(self) -> None:
        pass


def _process(*nanoseconds: int, incidents: int = 0) -> tuple[Registry, Incidents, Tally]:
    registry, noted = Registry(), Incidents()
    registry.commit([verify(Clock(), "here")])
    _count(registry, *nanoseconds)
    for _ in range(incidents):
        noted.note(Peer(), "bad", "on purpose")
    return registry, noted, Tally(registry, noted)


def _count(registry: Registry, *nanoseconds: int) -> None:
    statistics = registry.methods["clock.tick"].statistics
    for number, time in enumerate(nanoseconds):
        statistics.begin()
        statistics.end(time, failed=number == 0)


def test_reports_add_up_to_what_one_process_would_have_counted() -> None:
    parent, noted, tally = _process(500, incidents=1)
    for times in ((100, 2000), (30_000,)):
        _, _, reporter = _process(*times, incidents=2)
        tally.add(reporter.take())
    alone = Statistics()
    for time, failed in ((500, True), (100, True), (2000, False), (30_000, True)):
        alone.begin()
        alone.end(time, failed=failed)
    assert parent.methods["clock.tick"].statistics.summary() == alone.summary()
    assert noted.counts() == {"bad": 5}


def test_nothing_is_reported_twice() -> None:
    registry, _, reporter = _process(100, incidents=1)
    assert reporter.take()
    assert reporter.take() == b""
    _count(registry, 200)
    parent, noted, tally = _process()
    tally.add(reporter.take())
    assert parent.methods["clock.tick"].statistics.summary().count == 1
    assert noted.counts() == {}


def test_what_was_counted_before_the_mark_is_not_reported() -> None:
    _, _, reporter = _process(100, incidents=1)
    reporter.mark()
    assert reporter.take() == b""


def test_methods_that_have_gone_are_left_out() -> None:
    registry, _, tally = _process()
    _, _, reporter = _process(100)
    registry.commit([], without=["clock"])
    tally.add(reporter.take())
    assert registry.methods == {}


def test_counts_that_began_anew_count_whole() -> None:
    swapped = Counts(1, 0, 50, 50, 50, {31: 1})
    assert swapped.since(Counts(3, 0, 300, 100, 100, {40: 3})) == swapped
