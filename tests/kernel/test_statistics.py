from __future__ import annotations

import math
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anycore.kernel.statistics import Statistics, Summary, summarise


def counted(*times: int, failed: bool = False) -> Statistics:
    statistics = Statistics()
    for time in times:
        statistics.begin()
        statistics.end(time, failed=failed)
    return statistics


@settings(max_examples=200)
@given(st.lists(st.integers(0, 10**13) | st.integers(0, 100), min_size=1, max_size=300))
def test_percentiles_are_right_to_within_a_sixteenth(times: list[int]) -> None:
    summary = counted(*times).summary()

    ordered = sorted(times)
    for share, found in ((0.5, summary.p50), (0.9, summary.p90), (0.99, summary.p99)):
        exact = ordered[math.ceil(share * len(ordered)) - 1] * 1e-9
        assert exact * (1 - 1e-9) <= found <= exact * 1.0625 * (1 + 1e-9)
    assert summary.count == len(times)
    assert summary.min == pytest.approx(ordered[0] * 1e-9)
    assert summary.max == pytest.approx(ordered[-1] * 1e-9)
    assert summary.mean == pytest.approx(sum(times) / len(times) * 1e-9)
    assert summary.min <= summary.p50 <= summary.p90 <= summary.p99 <= summary.max


@given(st.lists(st.lists(st.integers(0, 10**9), max_size=20), max_size=5))
@settings(max_examples=50)
def test_figures_of_a_plugin_are_those_of_all_its_calls(parts: list[list[int]]) -> None:
    together = summarise(counted(*times) for times in parts)

    assert together == counted(*(time for times in parts for time in times)).summary()


def test_nothing_counted_is_all_zero() -> None:
    assert Statistics().summary() == Summary()
    assert summarise([]) == Summary()


def test_calls_under_way_are_seen_before_the_first_has_ended() -> None:
    statistics = Statistics()
    statistics.begin()

    assert statistics.running == 1
    assert statistics.summary() == Summary(running=1)


def test_a_call_that_went_elsewhere_was_never_here() -> None:
    statistics = Statistics()
    statistics.begin()
    statistics.withdraw()

    assert statistics.summary() == Summary()


def test_errors_are_counted_among_the_calls() -> None:
    statistics = counted(10, 20, failed=True)
    statistics.begin()
    statistics.end(30, failed=False)

    assert (statistics.summary().count, statistics.summary().errors) == (3, 2)


def test_threads_lose_no_counts() -> None:
    statistics = Statistics()
    ready = threading.Barrier(8)

    def work() -> None:
        ready.wait()
        for number in range(2000):
            statistics.begin()
            statistics.end(number, failed=number % 2 == 0)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    summary = statistics.summary()
    assert (summary.count, summary.errors, summary.running) == (16000, 8000, 0)
    assert summary.mean * summary.count == pytest.approx(8 * sum(range(2000)) * 1e-9)
