"""Busy polling of event loops: when a loop goes round before it sleeps, and that it learns from doing so in vain."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from anycore.cores import busy_poll, loop_poll
from anycore.cores.loop_poll import LoopPoll

ROUND = 2.0**-10  # seconds; the clock goes in powers of two, so that sums are exact
QUICK = ROUND / 2
SLOW = 1.0
BEYOND = ROUND + 2.0**-14  # too late for a loop that goes round, and soon enough to count as quick


class Clock:
    """An event loop, and a clock that only it moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, processors: int = 2, seconds: float = ROUND) -> None:
        self.now = 1.0
        self.calls: list[Callable[[], Any]] = []
        self.rounds = 0
        monkeypatch.setattr(loop_poll, "perf_counter", lambda: self.now)
        monkeypatch.setattr(busy_poll, "processors", lambda: processors)
        self.poll = LoopPoll(cast("asyncio.AbstractEventLoop", self), seconds)

    def call_soon(self, function: Callable[[], Any]) -> None:
        self.calls.append(function)

    def message(self, connection: object, after: float) -> bool:
        """A message comes some time after the last answer, and is answered at once; return whether the loop was awake for it."""
        due = self.now + after
        while self.calls and self.now < due:
            calls, self.calls = self.calls, []
            for function in calls:
                self.rounds += 1
                function()
            self.now += ROUND / 4
        awake = bool(self.calls)
        self.now = max(self.now, due)
        if self.poll.on:
            self.poll.heard(connection)
        if self.poll.on:
            self.poll.answered(connection)
        return awake


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_it_goes_round_once_some_messages_in_a_row_were_quick(clock: Clock) -> None:
    found = [clock.message("a", QUICK) for _ in range(9)]
    assert found == [False] * 6 + [True] * 3  # nothing is known of the first two
    assert len(clock.calls) == 1


def test_a_slow_message_puts_it_off(clock: Clock) -> None:
    for _ in range(5):
        clock.message("a", QUICK)
    assert not clock.message("a", SLOW)
    assert [clock.message("a", QUICK) for _ in range(5)] == [False] * 4 + [True]


def test_each_time_in_vain_doubles_how_many_quick_ones_must_go_by(clock: Clock) -> None:
    clock.message("a", QUICK)
    clock.message("a", QUICK)
    between = []
    for _ in range(9):
        messages, clock.rounds = 0, 0
        while not clock.rounds:
            assert not clock.message("a", BEYOND)
            messages += 1
        between.append(messages - 1)
    assert between == [4, 8, 16, 32, 64, 128, 256, 512, 512]


def test_each_time_with_success_takes_one_off(clock: Clock) -> None:
    for _ in range(6):
        clock.message("a", QUICK)
    clock.message("a", SLOW)  # in vain: eight from now on
    assert [clock.message("a", QUICK) for _ in range(10)] == [False] * 8 + [True] * 2
    clock.message("a", SLOW)  # in vain again: twice six
    assert [clock.message("a", QUICK) for _ in range(13)] == [False] * 12 + [True]


def test_other_connections_put_it_off(clock: Clock) -> None:
    for _ in range(9):
        clock.message("a", QUICK)
    assert clock.message("b", QUICK)  # it was awake for the other one, which it serves as ever
    assert [clock.message("a", QUICK) for _ in range(7)] == [False] * 6 + [True]


def test_with_many_that_speak_in_turn_it_asks_for_nothing_until_some_time_has_passed(clock: Clock) -> None:
    for number in range(100):
        clock.message(number % 3, QUICK)
    assert not clock.poll.on
    assert not any(clock.message("a", QUICK) for _ in range(20))
    clock.poll.look_again()
    assert [clock.message("a", QUICK) for _ in range(7)] == [False] * 6 + [True]


def test_it_sleeps_when_the_connection_has_ended(clock: Clock) -> None:
    for _ in range(7):
        clock.message("a", QUICK)
    clock.poll.ended("a")
    clock.calls.pop()()
    assert not clock.calls


@pytest.mark.parametrize(("processors", "seconds"), [(1, ROUND), (2, 0.0)])
def test_it_never_goes_round_where_it_is_told_not_to_or_would_keep_the_peer_from_the_processor(
    monkeypatch: pytest.MonkeyPatch, processors: int, seconds: float
) -> None:
    clock = Clock(monkeypatch, processors, seconds)
    clock.poll.look_again()
    assert not any(clock.message("a", QUICK) for _ in range(30))
    assert not clock.poll.on


def test_a_connection_is_due_to_be_lent_where_it_would_be_time_to_go_round(clock: Clock) -> None:
    for _ in range(6):
        assert not clock.poll.due("a")
        clock.message("a", QUICK)
    assert clock.poll.due("a")
    assert clock.poll.last("a")
    assert not clock.poll.due("b")
    clock.message("b", QUICK)
    assert not clock.poll.due("a")
    assert not clock.poll.last("a")


def test_loans_in_vain_put_off_the_next_one(clock: Clock) -> None:
    for _ in range(6):
        clock.message("a", QUICK)
    clock.poll.lent("a", 1)
    assert clock.poll.due("a")
    between = []
    for found in (0, 0, 0, 12, 0):
        clock.poll.lent("a", found)
        messages = 0
        while not clock.poll.due("a"):
            clock.message("a", QUICK)
            messages += 1
        between.append(messages)
    # Twice as many each time, and two more until it is known how quick they are. What is found is taken off: 32 less 12, and twice that.
    assert between == [10, 18, 34, 0, 42]
    clock.message("b", QUICK)
    clock.poll.lent("a", 1)  # it is of no consequence any more
    assert not clock.poll.due("b")


def test_nothing_is_due_while_many_speak_in_turn(clock: Clock) -> None:
    for _ in range(6):
        clock.message("a", QUICK)
    for number in range(200):
        clock.message(str(number), QUICK)
    assert not clock.poll.on
    assert not clock.poll.due("199")
