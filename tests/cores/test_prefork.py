"""The prefork core: it keeps what all cores promise, and what its several processes are for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

import pytest

from anycore.clients import Fault
from anycore.clients.errors import TransportError
from anycore.cores.prefork import PreforkCore
from anycore.cores.prefork_options import PreforkOptions
from anycore.testing import CORE_CHECKS, check_core

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tests.cores.conftest import Serving

    from anycore.cores import CoreLimits, Listener

SECONDS = 30
LIVES = [
    "runs_and_finishes_each_job_once",
    "survives_failing_jobs",
    "starts_and_ends_in_order",
    "passes_on_what_startup_raises",
    "stops_while_it_starts",
    "finishes_what_runs_when_it_stops",
    "runs_coroutines_for_others",
    "keeps_figures",
]


def _core(inner: str, workers: int = 1) -> Callable[[Sequence[Listener], CoreLimits], PreforkCore]:
    return lambda listeners, limits: PreforkCore(listeners, limits, PreforkOptions(workers=workers, inner=inner))


@pytest.mark.parametrize("check", CORE_CHECKS)
def test_it_keeps_the_promises_of_cores(check: str) -> None:
    check_core(_core("asyncio"), only=[check])


@pytest.mark.parametrize("inner", ["threaded", "pool"])
@pytest.mark.parametrize("check", LIVES)
def test_it_keeps_them_with_other_cores_inside(check: str, inner: str) -> None:
    check_core(_core(inner), only=[check])


@pytest.mark.parametrize("check", ["serves_many_connections", "stops_more_than_once", "keeps_figures"])
def test_it_keeps_them_with_several_workers(check: str) -> None:
    check_core(_core("asyncio", 3), only=[check])


@pytest.mark.parametrize("inner", ["prefork", "forking", "stdio", "oneshot"])
def test_not_every_core_can_be_inside(inner: str) -> None:
    with pytest.raises(LookupError, match=f"cannot run the core '{inner}'"):
        PreforkCore([], None, PreforkOptions(inner=inner))


# A server in a process of its own, as its users start it.


def test_a_killed_worker_is_replaced_and_harms_no_other(serve: Callable[..., Serving]) -> None:
    server = serve("prefork", "--prefork-workers=2")
    with ExitStack() as stack:
        peers: dict[int, Any] = {}
        while len(peers) < 2:
            peer = stack.enter_context(closing(server.peer()))
            peers.setdefault(peer.root.work.pid(), peer)
        (victim, doomed), (steady, other) = peers.items()
        with ThreadPoolExecutor(1) as threads:
            waiting = threads.submit(doomed.root.work.sleep, 60)
            server.until("sleeping")
            os.kill(victim, signal.SIGKILL)
            with pytest.raises(EOFError):
                waiting.result(SECONDS)
        assert other.root.work.pid() == steady
        server.until(
            f"(process {victim}) was ended by signal 9; the calls that ran in it are lost; another takes its place"
        )
        _until(lambda: len(_workers(server) - {victim}) == 2, "there must be two workers again")
    assert server.stop() == 0


def _workers(server: Serving, tries: int = 12) -> set[int]:
    """Return the processes that answer new connections."""
    found = set()
    for _ in range(tries):
        with server.connect() as client:
            found.add(client.call("work.pid"))
    return found


def test_a_worker_whose_loop_is_held_up_is_killed_and_replaced(serve: Callable[..., Serving]) -> None:
    server = serve("prefork", "--prefork-workers=2", "--prefork-watchdog-time=1")
    with server.connect() as client, pytest.raises(TransportError):
        client.call("work.hog", 60)
    server.until("hung: it had not seen to its connections for")
    line = next(line for line in server.said.splitlines() if "hung" in line)
    assert "and was in hog (" in line
    assert "work.py:" in line
    assert "it was killed; the calls that ran in it are lost; another takes its place" in line
    _until(lambda: len(_workers(server)) == 2, "there must be two workers again")


def test_a_method_that_blocks_its_thread_does_not_hang_its_worker(serve: Callable[..., Serving]) -> None:
    server = serve("prefork", "--prefork-workers=1", "--prefork-watchdog-time=0.4")
    with server.connect() as client:
        before = client.call("work.pid")
        assert client.call("work.sleep", 1.5) == 1.5
        assert client.call("work.pid") == before


def test_a_stopped_worker_is_killed_and_replaced(serve: Callable[..., Serving]) -> None:
    server = serve("prefork", "--prefork-workers=1", "--prefork-watchdog-time=1")
    with server.connect() as client:
        pid = client.call("work.pid")
    os.kill(pid, signal.SIGSTOP)
    server.until(f"(process {pid}) hung")
    _until(lambda: pid not in _workers(server, 1), "another must take its place")


def test_figures_are_those_of_all_workers(serve: Callable[..., Serving]) -> None:
    server = serve("prefork", "--prefork-workers=2")
    seen: Counter[int] = Counter()
    while len(seen) < 2 or sum(seen.values()) < 20:
        with server.connect() as client:
            seen[client.call("work.pid")] += 1
            with pytest.raises(Fault):
                client.call("work.fail")
    calls = sum(seen.values())
    for _ in range(6):  # whichever worker answers
        with server.connect() as client:
            statistics = client.call("system.statistics")
            assert (statistics["work.pid"]["count"], statistics["work.fail"]["errors"]) == (calls, calls)
    os.kill(next(iter(seen)), signal.SIGTERM)  # as it ends, it reports; what it has counted stays
    server.until("ended by itself, with status 0")
    with server.connect() as client:
        assert client.call("system.statistics")["work.pid"]["count"] == calls
        assert client.call("system.statistics")["work"]["running"] == 0


def test_a_call_under_way_is_seen_from_any_worker(serve: Callable[..., Serving]) -> None:
    server = serve("prefork", "--prefork-workers=2")
    with server.connect() as client, ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(client.call, "work.sleep", 1.0)
        server.until("sleeping")
        running = set()
        for _ in range(4):
            with server.connect() as other:
                running.add(other.call("system.statistics")["work.sleep"]["running"])
        assert running == {1}
        assert waiting.result(SECONDS) == 1.0


def test_results_never_cross_while_workers_are_killed(serve: Callable[..., Serving]) -> None:
    server = serve("prefork", "--prefork-workers=3")
    over = threading.Event()
    wrong: list[Any] = []
    well: list[int] = []
    lost: list[int] = []

    def call(caller: int) -> None:
        client = server.connect()
        for number in range(caller * 1_000_000, (caller + 1) * 1_000_000):
            if over.is_set():
                break
            try:
                found = client.call(("work.quick", "work.plain", "work.coroutine")[number % 3], number)
            except TransportError:
                lost.append(number)
                continue
            (well if found == number else wrong).append(number)
        client.close()

    with ThreadPoolExecutor(8) as threads:
        calls = [threads.submit(call, caller) for caller in range(8)]
        killed: list[int] = []
        try:
            while len(killed) < 4:
                with server.connect() as client:
                    try:
                        pid = client.call("work.pid")
                    except TransportError:
                        continue
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)
                enough = len(well) + 300
                _until(lambda: len(well) >= enough, "calls must go on being answered")  # noqa: B023 - in this turn
        finally:
            over.set()
        for one in calls:
            one.result(SECONDS)
    assert not wrong
    assert len(lost) <= 8 * len(killed), "each kill may cost each caller the call that it had under way"


def test_every_worker_has_what_is_switched_in_one(serve: Callable[..., Serving]) -> None:
    server = serve("prefork", "--prefork-workers=2")
    with server.connect() as client:
        client.call("debug.set", True, "core")
    _until(lambda: _states(server) == {True}, "each worker must hear of it")
    with server.connect() as client, pytest.raises(TransportError):
        client.call("work.shoot")
    _until(lambda: len(_workers(server)) == 2, "there must be two workers again")
    assert _states(server) == {True}, "one that is made later is a copy of the supervisor, which has heard of it"


def _states(server: Serving) -> set[bool]:
    found = set()
    for _ in range(8):
        with server.connect() as client:
            found.add(client.call("debug.state")["core"])
    return found


def _edit(plugin: Path, before: str, after: str) -> None:
    draft = plugin.parent / "draft.txt"
    draft.write_text(plugin.read_text().replace(before, after))
    draft.replace(plugin)


def _answers(server: Serving) -> set[int]:
    found = set()
    for _ in range(8):
        with server.connect() as client:
            found.add(client.call("work.quick", 1))
    return found


def test_a_reload_reaches_every_worker_or_none(serve: Callable[..., Serving], tmp_path: Path) -> None:
    server = serve("prefork", "--prefork-workers=2", "--reload")
    plugin = tmp_path / "work.py"
    _edit(plugin, "return value\n", "return value + 100\n")
    _until(lambda: _answers(server) == {101}, "every worker must serve the new version")
    server.until("swapped")
    _edit(plugin, "return value + 100\n", "return value +\n")
    server.until("correct the syntax; the old version goes on serving")
    assert _answers(server) == {101}
    # Its start works once: so the first worker that tries can, and the other cannot.
    _edit(plugin, "return value +\n", "return value + 200\n")
    _edit(plugin, "    def start(self):\n", "    def start(self):\n        os.mkdir('taken')\n")
    server.until("could not be loaded by every process; the old version goes on serving in all")
    assert _answers(server) == {101}
    _edit(plugin, "os.mkdir('taken')", "pass")
    _until(lambda: _answers(server) == {201}, "every worker must serve what can be loaded")
    with server.connect() as client, pytest.raises(TransportError):
        client.call("work.shoot")
    _until(lambda: len(_workers(server)) == 2, "there must be two workers again")
    assert _answers(server) == {201}, "one that is made later serves the same"


def test_sighup_reaches_every_worker(serve: Callable[..., Serving], tmp_path: Path) -> None:
    server = serve("prefork", "--prefork-workers=2")
    _edit(tmp_path / "work.py", "return value\n", "return value + 100\n")
    server.process.send_signal(signal.SIGHUP)
    _until(lambda: _answers(server) == {101}, "every worker must serve the new version")


@pytest.mark.parametrize("wire", ["http", "rpyc"])
def test_calls_under_way_are_answered_when_the_server_stops(serve: Callable[..., Serving], wire: str) -> None:
    server = serve("prefork", "--prefork-workers=2")
    with server.connect() as client, closing(server.peer()) as peer, ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(client.work.sleep if wire == "http" else peer.root.work.sleep, 0.5)
        server.until("sleeping")
        assert server.stop() == 0
        assert waiting.result(SECONDS) == 0.5
    assert server.said.count("stopped") == 1


def test_what_hangs_is_cut_off_after_the_time_to_stop(serve: Callable[..., Serving]) -> None:
    server = serve("prefork", "--prefork-workers=2", "--stop-time=0.2")
    with server.connect() as client, ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(client.call, "work.sleep", 60)
        server.until("sleeping")
        assert server.stop() == 0
        with pytest.raises(TransportError):
            waiting.result(SECONDS)


def test_workers_end_when_their_supervisor_is_killed(serve: Callable[..., Serving]) -> None:
    server = serve("prefork", "--prefork-workers=2")
    pids = _workers(server)
    server.process.send_signal(signal.SIGKILL)
    server.process.wait(SECONDS)
    _until(lambda: not any(map(_lives, pids)), "a worker must end when nobody is left to tell it to")


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_workers_whose_calls_are_made_are_replaced_without_a_failed_call(serve: Callable[..., Serving]) -> None:
    server = serve("prefork", "--prefork-workers=1", "--prefork-calls=50")
    pids: set[int] = set()
    deadline = time.monotonic() + SECONDS
    with server.connect() as client:
        while len(pids) < 2:
            pids.add(client.call("work.pid"))
            assert time.monotonic() < deadline, "another must take its place"
    server.until("whose time is over")


def test_workers_whose_time_is_over_are_replaced(serve: Callable[..., Serving]) -> None:
    server = serve("prefork", "--prefork-workers=1", "--prefork-lifetime=0.5")
    before = _workers(server, 1)
    _until(lambda: not _workers(server, 1) & before, "another must take its place")


def test_a_plugin_that_cannot_start_ends_the_server(tmp_path: Path) -> None:
    plugin = tmp_path / "bad.py"
    plugin.write_text(
        "from anycore import Plugin, exposed\n\n\nclass Bad(Plugin):\n    def start(self):\n        raise ValueError('on purpose')\n\n"
        "    @exposed\n    def a(self):\n        pass\n"
    )
    command = [sys.executable, "-m", "anycore", "serve", str(plugin), "--core=prefork", "--listen=http://127.0.0.1:0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 5
    assert "its start() raised ValueError: on purpose" in done.stderr
    assert "Traceback" not in done.stderr


def _until(condition: Callable[[], object], promise: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not _holds(condition):
        assert time.monotonic() < deadline, promise
        time.sleep(0.02)


def _holds(condition: Callable[[], object]) -> bool:
    try:
        return bool(condition())
    except TransportError:  # of a worker that is just being replaced
        return False
