"""The performance log: figures of what was called since the last time."""

from __future__ import annotations

import logging
import re

import pytest

from anycore.kernel.statistics import Statistics
from anycore.kernel.tally import Totals
from anycore.server.logs.performance import PerformanceLog


class Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def add(counted: Statistics, *milliseconds: int, failed: bool = False) -> None:
    for time in milliseconds:
        counted.begin()
        counted.end(time * 1_000_000, failed=failed)


def test_each_method_that_was_called_since_the_last_time_has_a_line(caplog: pytest.LogCaptureFixture) -> None:
    one, two = Statistics(), Statistics()
    log = PerformanceLog(lambda: Totals({"p.one": one.counts(), "p.two": two.counts()}), 60)
    with caplog.at_level(logging.INFO):
        add(one, 1, 3)
        log.write()
        assert [record.getMessage() for record in caplog.records] == [
            "performance statistics: p.one: min=1.000 max=3.000 average=2.000 p99=3.000 count=2 faults=0"
        ]
        caplog.clear()
        log.write()
        assert caplog.records == []
        add(one, 5, failed=True)
        add(two, 2)
        log.write()
    first, second = (record.getMessage() for record in caplog.records)
    assert re.search(r"p\.one: .* average=5\.000 .* count=1 faults=1$", first)
    assert "p.two: min=2.000" in second


def test_it_is_written_once_more_at_the_end_and_a_failure_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    counted = Statistics()
    asked: list[None] = []

    def totals() -> Totals:
        asked.append(None)
        if len(asked) == 1:
            raise OSError("a process does not answer")
        return Totals({"p.one": counted.counts()})

    add(counted, 1)
    log = PerformanceLog(totals, 0.01)
    with caplog.at_level(logging.INFO):
        log.start()
        while len(asked) < 2:
            pass
        log.stop()
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0] == "the figures cannot be had just now"
    assert len([line for line in lines if "p.one" in line]) == 1
