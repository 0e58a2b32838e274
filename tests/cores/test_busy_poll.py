"""Busy polling: when a thread looks before it sleeps, and that it learns from looking in vain."""

from __future__ import annotations

import socket
import threading
from contextlib import closing

import pytest

from anycore.cores import busy_poll
from anycore.cores.busy_poll import BusyPoll
from anycore.cores.pump_stream import stream_of

LOOK = 2.0**-10  # seconds; the clock goes in powers of two, so that sums are exact
BEYOND = LOOK + 2.0**-14  # too late for a look, and soon enough to count as quick


class Wire:
    """A peer, and a clock that only it moves: bytes come so many seconds after they are waited for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.after = 0.0
        self.due = 0.0
        self.looks = 0
        self.sleeps = 0
        monkeypatch.setattr(busy_poll, "perf_counter", lambda: self.now)
        monkeypatch.setattr(busy_poll, "processors", lambda: 2)

    def read(self, poll: BusyPoll, after: float) -> bool:
        """Read once; return whether it looked for what it read."""
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


def test_it_looks_once_some_reads_in_a_row_were_quick(wire: Wire) -> None:
    poll = BusyPoll(LOOK)
    assert [wire.read(poll, LOOK / 2) for _ in range(6)] == [False] * 4 + [True] * 2


def test_a_slow_read_puts_it_off(wire: Wire) -> None:
    poll = BusyPoll(LOOK)
    for _ in range(3):
        wire.read(poll, LOOK / 2)
    wire.read(poll, 1.0)
    assert [wire.read(poll, LOOK / 2) for _ in range(5)] == [False] * 4 + [True]
    assert wire.sleeps == 8


def test_each_look_in_vain_doubles_what_must_go_by(wire: Wire) -> None:
    poll, between = BusyPoll(LOOK), []
    for _ in range(9):
        reads, wire.looks = -1, 0
        while not wire.looks:
            assert not wire.read(poll, BEYOND)
            reads += 1
        between.append(reads)
    assert between == [4, 8, 16, 32, 64, 128, 256, 512, 512]


def test_a_read_that_brings_nothing_puts_it_off(wire: Wire) -> None:
    poll = BusyPoll(LOOK)
    for _ in range(3):
        wire.read(poll, LOOK / 2)
    assert poll.read(lambda: None, wire.look) is None
    assert [wire.read(poll, LOOK / 2) for _ in range(5)] == [False] * 4 + [True]


def test_one_thread_looks_at_a_time(wire: Wire) -> None:
    first, second = BusyPoll(LOOK), BusyPoll(LOOK)
    for poll in (first, second):
        for _ in range(4):
            wire.read(poll, LOOK / 2)

    def look() -> bytes:
        assert not wire.read(second, 0.0)
        return b"first"

    assert first.read(wire.receive, look) == b"first"
    assert wire.read(second, 0.0)


@pytest.mark.parametrize("found", [1, 2])
def test_it_never_looks_where_it_is_told_not_to_or_would_keep_the_peer_from_the_processor(
    wire: Wire, monkeypatch: pytest.MonkeyPatch, found: int
) -> None:
    monkeypatch.setattr(busy_poll, "processors", lambda: found)
    poll = BusyPoll(LOOK if found == 1 else 0.0)
    assert not any(wire.read(poll, 0.0) for _ in range(50))
    assert not wire.looks


def test_what_a_look_raises_lets_others_look(wire: Wire) -> None:
    poll = BusyPoll(LOOK)
    for _ in range(4):
        wire.read(poll, 0.0)

    def broken() -> bytes:
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        poll.read(wire.receive, broken)
    assert wire.read(poll, 0.0)


def test_bytes_the_end_and_a_reset_are_found_by_a_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(busy_poll, "processors", lambda: 2)
    ours, theirs = socket.socketpair()
    with closing(ours), closing(theirs):
        stream = stream_of(ours, 30.0)
        for number in range(8):
            theirs.sendall(b"%d" % number)
            assert stream.read(None) == b"%d" % number
        late = threading.Timer(0.01, lambda: theirs.sendall(b"late"))
        late.start()
        assert stream.read(None) == b"late"
        late.join()
        theirs.close()
        assert stream.read(None) == b""
