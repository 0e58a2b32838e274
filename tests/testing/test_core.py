"""`check_core`: a core that breaks a promise fails the check of that promise, and is told which."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from anycore.conversations.base import Phase
from anycore.cores.asyncio import AsyncioCore
from anycore.cores.base import Figures
from anycore.cores.threaded import ThreadedCore
from anycore.cores.threaded_connection import ThreadedConnection
from anycore.kernel.call import Mode, Peer
from anycore.testing import CORE_CHECKS, check_core
from anycore.testing.served import Bench

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(autouse=True)
def _failures_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL", logger="anycore.core")


class LiesAboutConnections(ThreadedCore):
    def figures(self) -> Figures:
        found = super().figures()
        return Figures(0, found.in_flight, found.accepted + 1)


class NeverStops(ThreadedCore):
    def stop(self) -> None:
        if threading.current_thread().name == "the end":
            super().stop()


class KeepsItsPort(ThreadedCore):
    def run(self, *args: Any) -> None:
        kept.extend(listener.socket.dup() for listener in self.listeners)
        super().run(*args)


class SwallowsStartup(ThreadedCore):
    def run(self, startup: Any = lambda: None, shutdown: Any = lambda: None) -> None:
        with suppress(Exception):
            super().run(startup, shutdown)


class NeverShutsDown(ThreadedCore):
    def run(self, startup: Any = lambda: None, shutdown: Any = lambda: None) -> None:
        super().run(startup)


class NoTimeouts(ThreadedCore):
    def _sweep(self) -> None:
        pass


class BlocksItsLoop(AsyncioCore):
    """Runs blocking jobs on the loop."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        submit = self.workers.submit

        def run_here(item: Any) -> None:
            item[1].run()
            submit((item[0], _Nothing()))  # type: ignore[arg-type]
            item[0].conversation.finish(item[1])

        self.workers.submit = run_here  # type: ignore[method-assign]


class _Nothing:
    mode = Mode.BLOCKING

    def run(self) -> None:
        pass


class TakesAll(ThreadedCore):
    def __init__(self, listeners: Any, limits: Any) -> None:
        super().__init__(listeners, limits)
        self.limits = msgspec.structs.replace(limits, connections=10_000, in_flight=10_000)


class LeavesThreads(ThreadedCore):
    def run(self, *args: Any) -> None:
        over.clear()
        threading.Thread(target=over.wait, daemon=True).start()
        super().run(*args)


kept: list[socket.socket] = []
over = threading.Event()


def _anonymous(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anycore.cores.threaded_connection.peer_on", lambda *_: Peer("unix"))


def _finish_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    original = ThreadedConnection._work

    def work(self: Any, job: Any) -> None:
        original(self, job)
        self.conversation.finish(job)

    monkeypatch.setattr(ThreadedConnection, "_work", work)


def _lose_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    def flush(self: Any, conversation: Any) -> None:
        if self._core.stopping:
            conversation.stop()
        self._socket.sendall(conversation.take()[:65536])

    monkeypatch.setattr(ThreadedConnection, "_flush", flush)


def _delay(monkeypatch: pytest.MonkeyPatch) -> None:
    original = socket.socket.setsockopt

    def setsockopt(self: Any, *args: Any) -> None:
        if args[:2] != (socket.IPPROTO_TCP, socket.TCP_NODELAY):
            original(self, *args)

    monkeypatch.setattr(socket.socket, "setsockopt", setsockopt)


def _reset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ThreadedConnection, "_linger", lambda self: None)


def _run_follow_ups_never(monkeypatch: pytest.MonkeyPatch) -> None:
    original = ThreadedConnection._run

    def run(self: Any, conversation: Any, jobs: Any) -> None:
        original(self, _WithoutFollowUps(conversation), jobs)  # type: ignore[arg-type]

    monkeypatch.setattr(ThreadedConnection, "_run", run)


class _WithoutFollowUps:
    def __init__(self, conversation: Any) -> None:
        self._conversation = conversation

    def finish(self, job: Any) -> tuple[()]:
        self._conversation.finish(job)
        return ()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._conversation, name)


def _deaf_to_half_close(monkeypatch: pytest.MonkeyPatch) -> None:
    original = ThreadedConnection._talk

    def talk(self: Any) -> None:
        self._socket.settimeout(None)
        original(self)
        while self.conversation.phase is Phase.CLOSING and not self._core.stopping and not self._expired:
            self._core._over.wait(0.01)

    monkeypatch.setattr(ThreadedConnection, "_talk", talk)


PATCHES = [
    (_anonymous, "tells_a_tcp_peer"),
    (_finish_twice, "runs_and_finishes_each_job_once"),
    (_lose_bytes, "delivers_a_large_answer"),
    (_delay, "sends_small_answers_at_once"),
    (_reset, "delivers_the_last_answer_past_unread_input"),
    (_run_follow_ups_never, "runs_follow_up_jobs"),
    (_deaf_to_half_close, "answers_after_half_close"),
]

CORES = [
    (LiesAboutConnections, "keeps_figures"),
    (KeepsItsPort, "frees_its_port"),
    (SwallowsStartup, "passes_on_what_startup_raises"),
    (NeverShutsDown, "starts_and_ends_in_order"),
    (NoTimeouts, "ends_idle_connections"),
    (NoTimeouts, "ends_slow_messages"),
    (NoTimeouts, "sends_away_peers_that_do_not_read_a_large_answer"),
    (NoTimeouts, "ends_slow_handshakes"),
    (BlocksItsLoop, "lets_blocking_jobs_hold_up_nobody"),
    (TakesAll, "refuses_connections_over_the_limit"),
    (TakesAll, "refuses_jobs_over_the_limit"),
    (LeavesThreads, "leaves_no_threads"),
]


@pytest.mark.parametrize(("patch", "check"), PATCHES)
def test_a_broken_connection_fails(
    patch: Callable[[pytest.MonkeyPatch], None], check: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    patch(monkeypatch)
    with pytest.raises(AssertionError, match=f"breaks the promise '{check}'"):
        check_core(ThreadedCore, only=[check], patience=1.0)


@pytest.mark.parametrize(("core", "check"), CORES)
def test_a_broken_core_fails(core: Any, check: str) -> None:
    try:
        with pytest.raises(AssertionError, match=f"breaks the promise '{check}'"):
            check_core(core, only=[check], patience=1.0)
    finally:
        over.set()
        while kept:
            kept.pop().close()


def test_a_core_that_does_not_stop_fails() -> None:
    made: list[NeverStops] = []

    def make(*args: Any) -> NeverStops:
        made.append(NeverStops(*args))
        return made[-1]

    with pytest.raises(AssertionError, match="run must return after stop"):
        check_core(make, only=["frees_its_port"], patience=0.5)
    end = threading.Thread(target=made[0].stop, name="the end")
    end.start()
    end.join()
    for thread in threading.enumerate():
        if thread.name == "check-core":
            thread.join(10)


def test_checks_are_chosen_by_name() -> None:
    made: list[object] = []

    def make(*args: Any) -> ThreadedCore:
        made.append(args)
        return ThreadedCore(*args)

    check_core(make, only=["answers_a_message"])
    assert len(made) == 1
    check_core(make, skip=[name for name in CORE_CHECKS if name != "tells_a_tcp_peer"])
    assert len(made) == 2
    with pytest.raises(ValueError, match="no check 'x' of cores; there are: answers_a_message"):
        check_core(make, only=["x"])


def test_looking_for_the_other_end_of_a_connection_leaves_no_descriptor_open(tmp_path: Path) -> None:
    here = Path("/dev/fd")
    if not here.is_dir():
        pytest.skip("this system has no /dev/fd")
    with (tmp_path / "no socket").open("w"):
        check_core(ThreadedCore, only=["sends_small_answers_at_once"])  # what is opened once for all is open now
        before = len(list(here.iterdir()))
        for _ in range(3):
            check_core(ThreadedCore, only=["sends_small_answers_at_once"])
        assert len(list(here.iterdir())) <= before


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_process_keeps_no_end_of_a_peer() -> None:
    bench = Bench(ThreadedCore, 30.0)
    with bench.talking() as (served, caller):
        child = os.fork()
        if not child:
            os._exit(caller.socket.fileno() >= 0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert caller.ask("say hello") == ["hello"]
        caller.close()
        served.forgets()
