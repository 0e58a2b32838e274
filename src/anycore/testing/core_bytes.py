"""Checks of `check_core`: what peers send and what they are answered arrives whole and in order, and no more than is wanted."""

from __future__ import annotations

import select
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from anycore.testing.certificate import server_context
from anycore.testing.served import Bench, expect, many

if TYPE_CHECKING:
    from collections.abc import Callable

_MEGABYTE: Final = 1 << 20
_SMALL: Final = 1 << 16


def answers_a_message(bench: Bench) -> None:
    """A message in one piece is answered, and the next one on the same connection too."""
    with bench.talking() as (_, caller):
        for number in range(3):
            expect(caller.ask(f"say {number}") == [str(number)], "the answer must be what take returned")


def takes_single_bytes(bench: Bench) -> None:
    """A message that arrives byte by byte is answered like any other."""
    with bench.talking() as (_, caller):
        caller.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"say in pieces\n":
            caller.socket.sendall(bytes([byte]))
        expect(caller.line() == "in pieces", "the pieces must be fed in their order, none lost or doubled")


def takes_many_messages_at_once(bench: Bench) -> None:
    """A thousand messages in one piece get a thousand answers, in order."""
    with bench.talking() as (_, caller):
        wanted = [f"number {number}" for number in range(1000)]
        expect(caller.ask(*(f"say {text}" for text in wanted)) == wanted, "each message has its answer, in order")


def keeps_the_order_of_modes(bench: Bench) -> None:
    """Answers of jobs of different modes leave in the order in which the conversation hands them out."""
    with bench.talking() as (_, caller):
        modes = ["blocking", "say", "async", "blocking", "async", "say"] * 5
        wanted = [f"{mode} {number}" for number, mode in enumerate(modes)]
        expect(caller.ask(*(f"{text.split()[0]} {text}" for text in wanted)) == wanted, "the answers are out of order")


def delivers_a_large_answer(bench: Bench) -> None:
    """An answer of 8 MB arrives whole, and so does the one after it."""
    with bench.talking() as (_, caller):
        caller.send(f"big {8 * _MEGABYTE}", "say after")
        expect(caller.line() == "x" * 8 * _MEGABYTE, "all bytes that take returned must be sent")
        expect(caller.line() == "after", "the connection must go on after a large answer")


def delivers_a_large_answer_over_tls(bench: Bench) -> None:
    """An answer of 8 MB arrives whole over TLS."""
    with bench.talking(tls=server_context()) as (_, caller):
        caller.send(f"big {8 * _MEGABYTE}", "bye after")
        expect(caller.line() == "x" * 8 * _MEGABYTE, "all bytes that take returned must be sent")
        expect([caller.line(), caller.line()] == ["after", ""], "the end must come after the last answer")


def delivers_a_large_last_answer(bench: Bench) -> None:
    """An answer of 8 MB arrives whole when the connection ends after it."""
    with bench.talking() as (_, caller):
        caller.send(f"big {8 * _MEGABYTE}", "bye now")
        expect(caller.line() == "x" * 8 * _MEGABYTE, "all bytes must be sent before the connection ends")
        expect([caller.line(), caller.line()] == ["now", ""], "the end must come after the last answer")


def takes_a_large_message(bench: Bench) -> None:
    """A message of 8 MB is fed whole."""
    with bench.talking() as (_, caller):
        text = "y" * 8 * _MEGABYTE
        expect(caller.ask(f"say {text}") == [text], "all bytes that the peer sends must be fed")


def serves_many_connections(bench: Bench) -> None:
    """32 connections are served at once, each with its own answers."""
    with bench.serving() as served, many(served, 32) as callers:
        for turn in range(5):
            for number, caller in enumerate(callers):
                caller.send(f"{('say', 'blocking', 'async')[number % 3]} {turn} {number}")
            for number, caller in enumerate(callers):
                expect(caller.line() == f"{turn} {number}", "a connection got the answer of another")


def stops_reading_when_no_input_is_wanted(bench: Bench) -> None:
    """While `wants_input` is False the core reads no further, and goes on when it is True again."""
    with bench.talking(window=1, buffers=_SMALL) as (served, caller):
        caller.send("gate blocking go")
        expect(served.journal.entered("go").wait(bench.patience), "the job must run")
        line = b"say " + b"z" * 1000 + b"\n"
        sent = _send_until_full(caller.socket, line * 32_768)
        expect(sent < 32_768 * len(line), "the core must not read 32 MB while no input is wanted")
        expect(served.journal.received < 8 * _MEGABYTE, "the core must stop reading soon after wants_input is False")
        served.journal.open_gate("go")
        tail = line[sent % len(line) :] if sent % len(line) else b""
        with _in_background(lambda: caller.socket.sendall(tail + b"say end\n")):
            lines = [caller.line() for _ in range(-(-sent // len(line)) + 2)]
        expect([lines[0], lines[-1]] == ["go", "end"], "reading must go on once input is wanted again")


def _send_until_full(connected: socket.socket, data: bytes) -> int:
    """Send until the other side has taken nothing for a while; return how many bytes were taken."""
    sent, view = 0, memoryview(data)
    while sent < len(data) and select.select([], [connected], [], 0.2)[1]:
        with suppress(BlockingIOError):
            sent += connected.send(view[sent : sent + 65536], socket.MSG_DONTWAIT)
    return sent


class _in_background:  # noqa: N801 - reads as a statement
    """Do something in a thread for as long as the block lasts, and wait for it."""

    def __init__(self, action: Callable[[], object]) -> None:
        self._thread = threading.Thread(target=action, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._thread.join(10)


CHECKS: Final = (
    answers_a_message,
    takes_single_bytes,
    takes_many_messages_at_once,
    keeps_the_order_of_modes,
    delivers_a_large_answer,
    delivers_a_large_answer_over_tls,
    delivers_a_large_last_answer,
    takes_a_large_message,
    serves_many_connections,
    stops_reading_when_no_input_is_wanted,
)
