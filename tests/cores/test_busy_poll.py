"""Busy polling: when a thread looks before it sleeps, and that it learns from looking in vain."""

from __future__ import annotations

import socket
import threading
from contextlib import closing

import pytest

from anycore.cores import busy_poll
from anycore.cores.busy_poll import AcceptPoll, BusyPoll
from anycore.cores.pump_stream import stream_of
from anycore.objects.config import MAX_BUSY_POLL_TIME

LOOK = 2.0**-10  # seconds; the clock goes in powers of two, so that sums are exact
QUICK = LOOK / 2
SLOW = 1.0
BEYOND = LOOK + 2.0**-14  # too late for a look, and soon enough to count as quick


class Wire:
    """A peer, and a clock that only it moves: bytes come so many seconds after they are waited for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1.0
        self.due = 0.0
        self.looks = 0
        self.sleeps = 0
        monkeypatch.setattr(busy_poll, "perf_counter", lambda: self.now)
        monkeypatch.setattr(busy_poll, "processors", lambda: 2)
        monkeypatch.setattr(busy_poll, "_interpreter", busy_poll._Interpreter())

    def read(self, poll: BusyPoll, after: float) -> bool:
        """Read once; return whether it found what it read while it looked."""
        self.due, before = self.now + after, self.sleeps
        assert poll.read(self.receive, self.look) == b"data"
        return self.sleeps == before

    def receive(self) -> bytes:
        self.sleeps += 1
        self.now = max(self.now, self.due)
        return b"data"

    def look(self) -> bytes | None:
        self.looks += 1
        self.now += LOOK / 4
        return b"data" if self.now >= self.due else None


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    return Wire(monkeypatch)


def test_it_looks_once_the_peer_has_spoken(wire: Wire) -> None:
    poll = BusyPoll(LOOK)
    assert [wire.read(poll, SLOW), *(wire.read(poll, QUICK) for _ in range(4))] == [False, True, True, True, True]


def test_each_look_in_vain_doubles_how_many_quick_reads_must_go_by(wire: Wire) -> None:
    poll, between = BusyPoll(LOOK), []
    wire.read(poll, SLOW)
    for _ in range(10):
        reads, wire.looks = -1, 0
        while not wire.looks:
            assert not wire.read(poll, BEYOND)
            reads += 1
        between.append(reads)
    assert between == [0, 4, 8, 16, 32, 64, 128, 256, 512, 512]


def test_reads_that_are_slow_put_it_off(wire: Wire) -> None:
    poll = BusyPoll(LOOK)
    for _ in range(2):
        wire.read(poll, SLOW)
    assert [wire.read(poll, QUICK) for _ in range(3)] == [False] * 3
    wire.read(poll, SLOW)
    assert [wire.read(poll, QUICK) for _ in range(6)] == [False] * 4 + [True] * 2


def test_a_read_that_brings_nothing_puts_it_off(wire: Wire) -> None:
    poll = BusyPoll(LOOK)
    for _ in range(2):
        wire.read(poll, SLOW)
    for _ in range(3):
        assert not wire.read(poll, QUICK)
    assert poll.read(lambda: None, wire.look) is None
    assert [wire.read(poll, QUICK) for _ in range(5)] == [False] * 4 + [True]


def test_it_does_not_look_while_others_have_something_to_say(wire: Wire) -> None:
    first, second = BusyPoll(LOOK), BusyPoll(LOOK)
    for _ in range(20):
        assert not wire.read(first, QUICK)
        assert not wire.read(second, QUICK)
    wire.now += 1.0
    assert [wire.read(first, QUICK) for _ in range(2)] == [True] * 2


def test_who_has_ended_keeps_nobody_from_looking(wire: Wire) -> None:
    first, second = BusyPoll(LOOK), BusyPoll(LOOK)
    wire.read(first, QUICK)
    wire.read(second, QUICK)
    first.end()
    assert wire.read(second, QUICK)


def test_one_thread_looks_at_a_time(wire: Wire) -> None:
    first, second = BusyPoll(LOOK), BusyPoll(LOOK)
    for poll in (first, second):
        wire.read(poll, QUICK)
    wire.now += 1.0

    def look() -> bytes:
        assert not wire.read(second, QUICK)
        return b"first"

    assert first.read(wire.receive, look) == b"first"
    wire.now += 1.0
    assert wire.read(second, QUICK)


def test_a_look_ends_when_another_reads(wire: Wire) -> None:
    first, second = BusyPoll(LOOK), BusyPoll(LOOK)
    wire.read(first, QUICK)

    def look() -> None:
        wire.read(second, 0.0)

    sleeps = wire.sleeps
    assert first.read(wire.receive, look) == b"data"
    assert wire.sleeps == sleeps + 2


@pytest.mark.parametrize("found", [1, 2])
def test_it_never_looks_where_it_is_told_not_to_or_would_keep_the_peer_from_the_processor(
    wire: Wire, monkeypatch: pytest.MonkeyPatch, found: int
) -> None:
    monkeypatch.setattr(busy_poll, "processors", lambda: found)
    poll = BusyPoll(LOOK if found == 1 else 0.0)
    assert not any(wire.read(poll, 0.0) for _ in range(50))
    assert not wire.looks


@pytest.mark.parametrize("seconds", [150.0, float("inf"), -1.0, float("nan")])
def test_no_look_is_longer_than_the_bound(wire: Wire, seconds: float) -> None:
    poll = BusyPoll(seconds)
    for _ in range(6):
        wire.read(poll, SLOW)
    wire.read(poll, QUICK)
    assert wire.looks * LOOK / 4 <= 2 * MAX_BUSY_POLL_TIME + QUICK + LOOK


def test_what_a_look_raises_lets_others_look(wire: Wire) -> None:
    poll = BusyPoll(LOOK)
    wire.read(poll, QUICK)

    def broken() -> bytes:
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        poll.read(wire.receive, broken)
    assert wire.read(poll, QUICK)


def test_bytes_the_end_and_a_reset_are_found_by_a_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(busy_poll, "processors", lambda: 2)
    ours, theirs = socket.socketpair()
    with closing(ours), closing(theirs):
        stream = stream_of(ours, 0.01)
        for number in range(8):
            theirs.sendall(b"%d" % number)
            assert stream.read(None) == b"%d" % number
        late = threading.Timer(0.05, lambda: theirs.sendall(b"late"))
        late.start()
        assert stream.read(None) == b"late"
        late.join()
        theirs.close()
        assert stream.read(None) == b""


class Door:
    """A listener to which peers come so many seconds after the one before has gone; see `Wire`."""

    def __init__(self, wire: Wire, seconds: float = LOOK) -> None:
        self.wire = wire
        self.poll = AcceptPoll(seconds)

    def visit(self, after: float) -> bool:
        """Have one peer gone and the next one come; return whether the thread of the first took the second."""
        self.wire.due = self.wire.now + after
        if self.poll.look(self.wire.look) is not None:
            return True
        self.wire.now = max(self.wire.now, self.wire.due)
        self.poll.accepted()
        return False


def test_a_thread_takes_the_next_peer_once_some_have_come_quickly(wire: Wire) -> None:
    door = Door(wire)
    assert [door.visit(QUICK) for _ in range(8)] == [False] * 4 + [True] * 4


def test_peers_that_come_late_are_looked_for_less_and_less(wire: Wire) -> None:
    door, between = Door(wire), []
    for _ in range(9):
        visits, wire.looks = 0, 0
        while not wire.looks:
            assert not door.visit(BEYOND)
            visits += 1
        between.append(visits - 1)
    assert between == [4, 7, 15, 31, 63, 127, 255, 511, 511]
    wire.looks = 0
    assert not any(door.visit(SLOW) for _ in range(600))
    assert not wire.looks


def test_no_thread_looks_for_peers_while_one_that_is_there_speaks(wire: Wire) -> None:
    door, other = Door(wire), BusyPoll(LOOK)
    for _ in range(5):
        door.visit(QUICK)
    wire.read(other, QUICK)
    assert not door.visit(QUICK)
    other.end()
    assert door.visit(QUICK)

    def look() -> None:
        wire.read(other, 0.0)

    wire.looks = 0
    assert door.poll.look(look) is None
    assert not wire.looks


@pytest.mark.parametrize("seconds", [0.0, -1.0])
def test_no_thread_looks_for_peers_where_it_is_told_not_to(wire: Wire, seconds: float) -> None:
    door = Door(wire, seconds)
    assert not any(door.visit(0.0) for _ in range(50))
    assert not wire.looks
