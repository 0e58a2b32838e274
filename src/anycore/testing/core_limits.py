"""Checks of `check_core`: the bounds of `CoreLimits` hold, and peers that meet them read why."""

from __future__ import annotations

import socket
import ssl
import time
from contextlib import ExitStack, suppress
from typing import Final

from anycore.testing.certificate import client_context, server_context
from anycore.testing.lines import REFUSED, TIMED_OUT
from anycore.testing.served import QUIET, Bench, expect, quietly

_MEGABYTE: Final = 1 << 20
_MODES: Final = ("blocking", "async")


def ends_idle_connections(bench: Bench) -> None:
    """A peer that is silent for `idle_time` is sent away, one that speaks is not."""
    with bench.serving(idle_time=QUIET) as served:
        with served.connect() as silent, served.connect() as busy:
            began = time.monotonic()
            while time.monotonic() - began < 3 * QUIET:
                expect(busy.ask("say hello") == ["hello"], "a peer that speaks is not idle")
            expect(silent.gone(), "a silent peer is sent away, without a word")
            expect(busy.gone(), "a peer that falls silent is sent away, too")
        served.forgets()
        expect(served.core.figures().timed_out == 0, "peers that were merely idle do not count as timed out")


def ends_slow_messages(bench: Bench) -> None:
    """A message that takes longer than `receive_time` is not waited for, even if its bytes keep coming, and the peer reads why."""
    for keep_coming, tls in ((False, None), (True, None), (False, server_context())):
        with bench.serving(receive_time=QUIET, tls=tls) as served:
            with served.connect(client_context() if tls is not None else None) as caller:
                caller.socket.sendall(b"say so")
                caller.socket.settimeout(QUIET / 10 if keep_coming else bench.patience)
                expect(
                    _line_while_sending(caller.socket, bench.patience) == TIMED_OUT, "time_out must be called and heard"
                )
            served.forgets()
            expect(served.core.figures().timed_out == 1, "connections that took too long are counted in timed_out")


def _line_while_sending(connected: socket.socket, patience: float) -> str:
    received, began = b"", time.monotonic()
    while not received.endswith(b"\n") and time.monotonic() - began < patience:
        try:
            piece = connected.recv(1000)
        except TimeoutError:
            quietly(lambda: connected.sendall(b"."))
        else:
            received += piece
            if not piece:
                break
    return received.decode().strip()


def ends_work_that_takes_too_long(bench: Bench) -> None:
    """A connection whose answers are not ready within `work_time` is ended."""
    with bench.serving(work_time=QUIET) as served:
        for mode in _MODES:
            with served.connect() as caller:
                caller.send(f"gate {mode} {mode}")
                expect(served.journal.entered(mode).wait(bench.patience), "the job must run")
                expect(caller.gone(), f"the connection of a hanging {mode} job must end")
            served.journal.open_gate(mode)
        with served.connect() as caller:
            expect(caller.ask("blocking b", "async a") == ["b", "a"], "the core must serve on")
        served.forgets()


def lets_work_take_its_time(bench: Bench) -> None:
    """Jobs may take longer than the limits that are meant for silent and slow peers; 0 means no limit."""
    times = {"idle_time": QUIET, "receive_time": QUIET, "send_time": QUIET, "work_time": 0.0}
    with bench.serving(**times) as served:
        for mode in _MODES:
            with served.connect() as caller, served.connect() as silent:
                caller.send(f"gate {mode} {mode}")
                expect(silent.gone(), "the silent peer is sent away")
                served.journal.open_gate(mode)
                expect(caller.line() == mode, f"a {mode} job may take longer than the peer may be silent")


def sends_away_peers_that_do_not_read(bench: Bench) -> None:
    """A peer that asks and does not read is ended after `send_time`, and meanwhile takes a bounded amount of memory."""
    with bench.serving(send_time=QUIET, buffers=1 << 16) as served, served.connect(receive_buffer=1 << 16) as caller:
        caller.socket.settimeout(2 * QUIET)
        quietly(lambda: caller.send(*[f"big {_MEGABYTE}"] * 100_000))
        served.forgets()
        taken = served.journal.taken // _MEGABYTE
        expect(
            taken < 256, f"answers of {taken} MB were made for a peer that reads none; stop reading while it does not"
        )


def sends_away_peers_that_do_not_read_a_large_answer(bench: Bench) -> None:
    """An answer that the peer does not read within `send_time` is given up, over TLS too."""
    for tls in (None, server_context()):
        with bench.talking(send_time=QUIET, linger_time=QUIET, tls=tls) as (served, caller):
            caller.send(f"big {32 * _MEGABYTE}")
            served.until(lambda: served.core.figures().accepted == 1, "the connection must be counted")
            served.forgets()


def ends_lingering_connections(bench: Bench) -> None:
    """After the last answer the core waits for the peer to close for `linger_time` at most."""
    with bench.talking(linger_time=QUIET) as (served, caller):
        expect(caller.ask("bye bye") == ["bye"], "the last answer must arrive")
        expect(caller.gone(), "the peer must see the end at once")
        served.forgets()


def delivers_the_last_answer_past_unread_input(bench: Bench) -> None:
    """What the peer still sends after its last message does not destroy the answer on its way."""
    with bench.serving() as served:
        for _ in range(20):
            with served.connect() as caller:
                caller.send("bye bye")
                quietly(lambda caller=caller: caller.socket.sendall(b"?" * 100_000))  # type: ignore[misc]
                expect(caller.line() == "bye", "the last answer must arrive")
                try:
                    caller.socket.sendall(b"?" * 100_000)
                    ended = not caller.line()
                except ConnectionError:  # whichever call comes first after a reset is told of it, and no other
                    ended = False
                expect(ended, "the connection must end in good order, not with a reset")


def answers_after_half_close(bench: Bench) -> None:
    """A peer that has closed its sending side gets all its answers, then the end, and is forgotten at once."""
    with bench.serving(linger_time=100 * bench.patience) as served:
        for verb in ("say", *_MODES):
            with served.connect() as caller:
                caller.send(f"{verb} one", f"{verb} two")
                caller.end()
                expect([caller.line() for _ in range(3)] == ["one", "two", ""], f"{verb}: all answers, then the end")
                served.forgets()
        with served.connect() as caller:
            caller.send("gate blocking late", "gate async later")
            caller.end()
            for name in ("late", "later"):
                served.journal.open_gate(name)
                expect(caller.line() == name, "answers that come after the peer's end are sent")
            expect(not caller.line(), "then the connection ends")
            served.forgets()


def ends_half_messages(bench: Bench) -> None:
    """A peer that ends in the middle of a message is ended in turn, and forgotten."""
    with bench.talking(linger_time=100 * bench.patience) as (served, caller):
        caller.socket.sendall(b"say hal")
        caller.end()
        expect(caller.gone(), "the connection must end")
        served.forgets()


def ends_slow_handshakes(bench: Bench) -> None:
    """A TLS hand-shake that takes longer than `handshake_time` is ended, also if bytes keep coming; one with rubbish is at once."""
    with bench.serving(tls=server_context(), handshake_time=QUIET) as served:
        with served.connect() as silent, served.connect() as rude:
            quietly(lambda: rude.socket.sendall(b"say hello in plain text\n" * 10))
            expect(_ended(rude.socket) and _ended(silent.socket), "both must be sent away")
        with served.connect() as halting, served.connect() as dripping:
            hello = _client_hello()
            halting.socket.sendall(hello[:10])
            dripping.socket.settimeout(QUIET / 10)
            expect(
                _ended_while_sending(dripping.socket, hello, bench.patience),
                "a peer whose bytes keep coming must be sent away",
            )
            expect(_ended(halting.socket), "a peer that stops in the middle must be sent away")
        with served.connect(client_context()) as caller:
            expect(caller.ask("say hello") == ["hello"], "the core must serve on")
        served.forgets()


def _client_hello() -> bytes:
    """Return the first message of a client (RFC 8446 section 4.1.2)."""
    out = ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        client_context().wrap_bio(ssl.MemoryBIO(), out, server_hostname="localhost").do_handshake()
    return out.read()


def _ended_while_sending(connected: socket.socket, data: bytes, patience: float) -> bool:
    """Send all but the end of data byte by byte; return whether the connection was ended meanwhile."""
    deadline = time.monotonic() + patience
    position = 0
    while time.monotonic() < deadline:
        try:
            if position < len(data) - 1:
                connected.sendall(data[position : position + 1])
                position += 1
            if not connected.recv(1000):
                return True
        except TimeoutError:
            continue
        except OSError:
            return True
    return False


def _ended(connected: socket.socket) -> bool:
    try:
        while connected.recv(1000):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


def lets_handshakes_hold_up_nobody(bench: Bench) -> None:
    """Peers in the middle of a TLS hand-shake do not keep others from being served."""
    with bench.serving(tls=server_context()) as served, ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(served.connect())
        caller = stack.enter_context(served.connect(client_context()))
        expect(
            caller.ask("say hello") == ["hello"], "a hand-shake must not be waited for where connections are accepted"
        )


def ends_old_handshakes_for_new_ones(bench: Bench) -> None:
    """Peers that connect and do not shake hands keep nobody out: above `handshakes`, the oldest goes when it has had a second."""
    with bench.serving(tls=server_context(), handshakes=2) as served, ExitStack() as stack:
        silent = [stack.enter_context(served.connect()) for _ in range(2)]
        served.until(lambda: _greeted(served.connect), "a peer that shakes hands must be served")
        expect(_ended(silent[0].socket), "the oldest must be ended for it")
        with served.connect(client_context()) as caller:
            expect(caller.ask("say hello") == ["hello"], "hand-shakes that are done must not count")


def takes_the_tls_context_that_there_is(bench: Bench) -> None:
    """A hand-shake that begins takes the context that its listener has then; connections that are made go on."""
    with bench.serving(tls=server_context()) as served, served.connect(client_context()) as old:
        expect(old.ask("say hello") == ["hello"], "a peer without a certificate must be served at first")
        served.ask_for_certificates()
        expect(not _greeted(served.connect), "a peer without a certificate must be refused then")
        with served.connect(client_context(show=True)) as caller:
            expect(caller.ask("say hello") == ["hello"], "a peer with a certificate must be served then")
        expect(old.ask("say still") == ["still"], "an old connection must not suffer")


def refuses_connections_over_the_limit(bench: Bench) -> None:
    """A connection more than `connections` reads why it is refused; when one has ended, there is a place again."""
    with bench.serving(connections=2) as served:
        with served.connect() as first, served.connect() as second:
            expect([c.ask("say hello") for c in (first, second)] == [["hello"]] * 2, "two must be served")
            for _ in range(3):
                with served.connect() as third:
                    quietly(lambda third=third: third.send("say hello"))  # type: ignore[misc]
                    expect(third.line().startswith(f"{REFUSED}: "), "the third must be told by Conversation.refuse")
                    expect(not third.line(), "and ended in good order")
            expect(first.ask("say still") == ["still"], "those that are served must not suffer")
        served.forgets()
        with served.connect() as fourth:
            expect(fourth.ask("say hello") == ["hello"], "there must be a place again")
        expect(served.core.figures().refused == 3, f"3 were refused, not {served.core.figures().refused}")
        expect(not any(job.runs for job in served.journal.jobs if job.word == "third"), "a refused peer runs nothing")


def counts_handshakes_as_connections(bench: Bench) -> None:
    """Peers that have not completed the TLS hand-shake count towards `connections`."""
    with bench.serving(tls=server_context(), connections=2) as served:
        with served.connect() as first, served.connect(), served.connect() as third:
            expect(_ended(third.socket), "the third connection must be ended at once")
            first.close()
        served.until(lambda: _greeted(served.connect), "there must be a place again")


def _greeted(connect: object) -> bool:
    try:
        with connect(client_context()) as caller:  # type: ignore[operator]
            return bool(caller.ask("say hello") == ["hello"])
    except OSError:
        return False


def refuses_jobs_over_the_limit(bench: Bench) -> None:
    """A job more than `in_flight` is refused, quick ones aside; when one has ended, there is a place again."""
    with bench.serving(in_flight=2) as served, served.connect() as first, served.connect() as second:
        first.send("gate blocking one")
        second.send("gate async two")
        expect(all(served.journal.entered(name).wait(bench.patience) for name in ("one", "two")), "two jobs must run")
        with served.connect() as third:
            expect(third.ask("blocking b", "async a", "say q") == [REFUSED, REFUSED, "q"], "a third must be refused")
            refused = [job for job in served.journal.jobs if job.refusal]
            expect([(job.runs, job.finishes) for job in refused] == [(0, 1), (0, 1)], "not run, but given back")
            expect(served.core.figures().refused == 2, "refused jobs are counted")
            served.journal.open_all()
            expect([first.line(), second.line()] == ["one", "two"], "those that run must not suffer")
            served.until(lambda: not served.core.figures().in_flight, "nothing is in flight any more")
            expect(third.ask("blocking b", "async a") == ["b", "a"], "there must be a place again")


CHECKS: Final = (
    ends_idle_connections,
    ends_slow_messages,
    ends_work_that_takes_too_long,
    lets_work_take_its_time,
    sends_away_peers_that_do_not_read,
    sends_away_peers_that_do_not_read_a_large_answer,
    ends_lingering_connections,
    delivers_the_last_answer_past_unread_input,
    answers_after_half_close,
    ends_half_messages,
    ends_slow_handshakes,
    lets_handshakes_hold_up_nobody,
    ends_old_handshakes_for_new_ones,
    takes_the_tls_context_that_there_is,
    refuses_connections_over_the_limit,
    counts_handshakes_as_connections,
    refuses_jobs_over_the_limit,
)
