"""Checks of `check_core`: how a core starts, stops, runs coroutines for others, and what it says of itself."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any, Final

from anycore.testing.certificate import server_context
from anycore.testing.elsewhere import THREADS
from anycore.testing.served import QUIET, Bench, Served, expect, many

if TYPE_CHECKING:
    from collections.abc import Callable

_MODES: Final = ("blocking", "async")


class PlannedError(Exception):
    """Raised by a check, and expected back."""


def starts_and_ends_in_order(bench: Bench) -> None:
    """`startup` is called once before the first conversation, `shutdown` once after the last has ended."""
    seen: list[object] = []
    with bench.made() as served:
        served.on_startup = lambda: seen.append(_ends(served))
        served.on_shutdown = lambda: seen.append(_ends(served))
        served.start()
        with served.connect() as caller:
            expect(caller.ask("say hello") == ["hello"], "a peer must be served")
            served.finish()
        expect(served.calls == ["startup", "shutdown"], f"each is called once, in order; the calls: {served.calls}")
        expect(seen == [(0, 0), (1, 1)], f"(conversations opened, ended) at startup and shutdown must not be {seen}")


def _ends(served: Served) -> tuple[int, int]:
    return len(served.journal.peers), served.journal.ended


def queues_connections_while_it_starts(bench: Bench) -> None:
    """Peers that connect while `startup` runs are served when it is done."""
    with bench.made() as served:
        going = threading.Event()
        answers: list[list[str]] = []

        def call() -> None:
            with served.connect() as caller:
                going.set()
                answers.append(caller.ask("say early"))

        caller = threading.Thread(target=call, daemon=True)

        def wait_for_caller() -> None:
            caller.start()
            expect(going.wait(bench.patience), "the socket must listen while startup runs")

        served.on_startup = wait_for_caller
        served.start()
        caller.join(bench.patience)
        expect(answers == [["early"]], "the peer must be answered after startup")


def passes_on_what_startup_raises(bench: Bench) -> None:
    """What `startup` raises ends `run`, which raises it; shutdown is not called, and the port is free."""
    with bench.made() as served:
        served.on_startup = _raise_planned
        served.thread.start()
        served.thread.join(bench.patience)
        expect(not served.thread.is_alive(), "run must return when startup raises")
        expect(isinstance(served.error, PlannedError), f"run must raise what startup raised, not {served.error!r}")
        expect(served.calls == ["startup"], "what was not started is not shut down")
        _expect_free(served)


def _raise_planned() -> None:
    raise PlannedError


def frees_its_port(bench: Bench) -> None:
    """When `run` has returned nobody listens any more."""
    for tls in (None, server_context()):
        with bench.serving(tls=tls) as served:
            served.finish()
            _expect_free(served)


def _expect_free(served: Served) -> None:
    with socket.socket() as probe, socket.socket() as again:
        expect(probe.connect_ex(served.address) != 0, "the core must close its listening sockets when run ends")
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(served.address)


def stops_before_it_runs(bench: Bench) -> None:
    """`stop` before `run` makes `run` return soon."""
    with bench.made() as served:
        served.core.stop()
        served.start()
        served.join()


def stops_while_it_starts(bench: Bench) -> None:
    """`stop` during `startup` makes `run` return soon after it, and `shutdown` is called."""
    with bench.made() as served:
        served.on_startup = served.core.stop
        served.start()
        served.join()
        expect(served.calls == ["startup", "shutdown"], f"what was started is shut down; the calls: {served.calls}")


def stops_more_than_once(bench: Bench) -> None:
    """`stop` may be called from several threads at once, and after `run` has returned."""
    with bench.talking() as (served, caller):
        expect(caller.ask("say hello") == ["hello"], "a peer must be served")
        threads = [threading.Thread(target=served.core.stop) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(bench.patience)
        served.join()
        served.core.stop()


def retires(bench: Bench) -> None:
    """`retire` may be called more than once; `run` returns when the last connection has ended, if not before."""
    with bench.talking(drain_time=100 * bench.patience) as (served, caller):
        expect(caller.ask("say hello") == ["hello"], "a peer must be served")
        served.core.retire()
        served.core.retire()
        caller.close()
        served.join()
        expect(served.calls == ["startup", "shutdown"], f"it ends as after a stop; the calls: {served.calls}")


def ends_silent_connections_when_it_stops(bench: Bench) -> None:
    """Connections that wait for their peers to speak, or to close, do not hold up a stop."""
    limits = {"stop_time": 100 * bench.patience, "linger_time": 100 * bench.patience}
    with bench.serving(**limits) as served, many(served, 3) as callers:
        spoken, silent, leaving = callers
        expect(spoken.ask("say hello") == ["hello"], "a peer must be served")
        expect(leaving.ask("bye bye") == ["bye"], "a peer must be served")
        expect(not leaving.line(), "after the last answer comes the end")
        served.until(lambda: served.core.figures().accepted == len(callers), "all must be accepted")
        served.finish()
        expect(spoken.gone() and silent.gone(), "the peers must see the end")


def finishes_what_runs_when_it_stops(bench: Bench) -> None:
    """Jobs that run when the core is told to stop are finished and answered, then their connections end."""
    with bench.serving() as served, many(served, 2) as callers:
        for mode, caller in zip(_MODES, callers, strict=True):
            caller.send(f"gate {mode} {mode}")
            expect(served.journal.entered(mode).wait(bench.patience), "the job must run")
        served.core.stop()
        served.until(lambda: not _connects(served), "a core that stops must accept no more connections")
        expect(served.thread.is_alive(), "run must not return while jobs run")
        served.journal.open_all()
        for mode, caller in zip(_MODES, callers, strict=True):
            expect([caller.line(), caller.line()] == [mode, ""], "the answer must arrive, then the end")
        served.join()
        expect(served.calls == ["startup", "shutdown"], "shutdown is called at the end")


def _connects(served: Served) -> bool:
    with suppress(OSError), served.connect():
        return True
    return False


def waits_for_messages_under_way_when_it_stops(bench: Bench) -> None:
    """A message that had begun when the core was told to stop is still answered."""
    with bench.serving() as served, served.connect() as caller:
        caller.socket.sendall(b"say wh")
        served.until(lambda: served.journal.received, "the bytes must be fed")
        served.core.stop()
        served.until(lambda: not _connects(served), "a core that stops must accept no more connections")
        caller.socket.sendall(b"ole\n")
        expect(
            [caller.line(), caller.line()] == ["whole", ""], "the message must be answered, then the connection ends"
        )
        served.join()


def cuts_off_what_hangs_when_it_stops(bench: Bench) -> None:
    """Jobs that go on after `stop_time` do not keep `run` from returning, even those that take no cancellation."""
    with bench.serving(stop_time=QUIET) as served, many(served, 4) as callers:
        verbs = ("gate blocking b", "gate async a", "stubborn s")
        for verb, caller in zip(verbs, callers, strict=False):
            caller.send(verb)
            expect(served.journal.entered(verb[-1]).wait(bench.patience), "the job must run")
        callers[3].socket.sendall(b"say half")
        served.finish()
        expect(all(caller.gone() for caller in callers), "their connections must end")
        expect(served.calls == ["startup", "shutdown"], "shutdown is called all the same")


def stops_during_handshakes(bench: Bench) -> None:
    """Peers in the middle of a TLS hand-shake do not keep `run` from returning."""
    with bench.serving(tls=server_context(), stop_time=QUIET) as served, served.connect() as caller:
        with suppress(TimeoutError):
            caller.socket.settimeout(QUIET / 4)
            caller.socket.recv(1)
        caller.socket.settimeout(bench.patience)
        served.finish()
        expect(caller.gone(), "the connection must end")


def runs_coroutines_for_others(bench: Bench) -> None:
    """`run_coroutine` works in startup, in shutdown, and from any thread between; results and exceptions are passed on."""
    with bench.made() as served:
        results: list[Any] = []
        served.on_startup = lambda: results.append(served.core.run_coroutine(_double(1)))
        served.on_shutdown = lambda: results.append(served.core.run_coroutine(_double(3)))
        served.start()
        results.append(served.core.run_coroutine(_double(2), timeout=bench.patience))
        _expect_raises(PlannedError, lambda: served.core.run_coroutine(_fail()))
        served.finish()
        expect(results == [2, 4, 6], f"the results must be 2, 4 and 6, not {results}")


def gives_up_coroutines_in_time(bench: Bench) -> None:
    """`run_coroutine` raises TimeoutError when the coroutine takes longer than it was given, and cancels it."""
    with bench.serving() as served:
        over = threading.Event()
        began = time.monotonic()
        _expect_raises(TimeoutError, lambda: served.core.run_coroutine(_hang(over), timeout=QUIET))
        expect(time.monotonic() - began < bench.patience, "it must not wait longer than it was told")
        expect(over.wait(bench.patience), "the coroutine must be cancelled")


async def _double(number: int) -> int:
    await asyncio.sleep(0)
    return 2 * number


async def _fail() -> None:
    await asyncio.sleep(0)
    raise PlannedError


async def _hang(over: threading.Event) -> None:
    try:
        await asyncio.get_running_loop().create_future()
    finally:
        over.set()


def _expect_raises(kind: type[Exception], action: Callable[[], object]) -> None:
    try:
        action()
    except kind:
        return
    expect(False, f"{kind.__name__} must be raised")


def keeps_figures(bench: Bench) -> None:
    """`figures` counts what is open, what is in flight, and what was accepted."""
    with bench.serving() as served:
        with ExitStack() as stack:
            callers = []
            for number in range(3):
                callers.append(stack.enter_context(served.connect()))
                expect(callers[-1].ask("say hello") == ["hello"], "a peer must be served")
                expect(served.core.figures().connections == number + 1, "connections are those that are open")
            for mode, caller in zip(_MODES, callers, strict=False):
                caller.send(f"gate {mode} {mode}")
                expect(served.journal.entered(mode).wait(bench.patience), "the job must run")
            found = served.core.figures()
            counts = (found.connections, found.in_flight, found.accepted, found.refused, found.timed_out)
            expect(counts == (3, 2, 3, 0, 0), f"3 open, 2 in flight, 3 accepted, 0 refused, 0 timed out; not {counts}")
            served.journal.open_all()
            for caller in callers[:2]:
                caller.line()
        served.forgets()
        served.until(lambda: not served.core.figures().in_flight, "nothing is in flight any more")
        expect(served.core.figures().accepted == 3, "accepted counts all so far")


def leaves_no_threads(bench: Bench) -> None:
    """When `run` has returned, the threads that the core started have ended, or end by themselves at once."""
    before = set(threading.enumerate())
    with bench.talking() as (served, caller):
        expect(caller.ask("blocking b", "async a") == ["b", "a"], "a peer must be served")
        served.core.run_coroutine(_double(1))
        served.finish()
        served.until(lambda: not _others(before), "no thread of the core may be left")


def _others(before: set[threading.Thread]) -> list[threading.Thread]:
    found = set(threading.enumerate()) - before
    return [thread for thread in found if not thread.name.startswith(THREADS)]


CHECKS: Final = (
    starts_and_ends_in_order,
    queues_connections_while_it_starts,
    passes_on_what_startup_raises,
    frees_its_port,
    stops_before_it_runs,
    stops_while_it_starts,
    stops_more_than_once,
    retires,
    ends_silent_connections_when_it_stops,
    finishes_what_runs_when_it_stops,
    waits_for_messages_under_way_when_it_stops,
    cuts_off_what_hangs_when_it_stops,
    stops_during_handshakes,
    runs_coroutines_for_others,
    gives_up_coroutines_in_time,
    keeps_figures,
    leaves_no_threads,
)
