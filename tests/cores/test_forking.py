"""The forking core."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from anycore.clients import Fault
from anycore.clients.errors import TransportError
from anycore.cores.forking import ForkingCore
from anycore.testing import CORE_CHECKS, check_core
from anycore.testing.certificate import client_context, server_context
from anycore.testing.served import Bench

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cores.conftest import Serving

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*multi-threaded:DeprecationWarning"
)  # the forking core, beside the callers

UNKEPT = {"refuses_jobs_over_the_limit", "keeps_figures"}
"""Jobs are counted by each process: there is one at a time in each, and no other knows of it."""
KEPT = [check for check in CORE_CHECKS if check not in UNKEPT]


class Core(ForkingCore):
    """The forking core, in a process where the callers are, too: their ends of connections are not for its children to hold open."""

    def _part(self) -> None:
        addresses = [listener.socket.getsockname() for listener in self.listeners]
        super()._part()
        for name in [int(path.name) for path in Path("/dev/fd").iterdir()]:
            with contextlib.suppress(OSError), socket.socket(fileno=os.dup(name)) as other:
                if other.getpeername() in addresses:
                    os.close(name)


@pytest.mark.parametrize("check", KEPT)
def test_it_keeps_the_promises_of_cores(check: str) -> None:
    check_core(Core, only=[check])


def test_each_connection_has_a_process_of_its_own(serve: Callable[..., Serving]) -> None:
    server = serve("forking")
    pids = set()
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            client = stack.enter_context(server.connect())
            pids |= {client.call("work.pid"), client.call("work.pid")}
            assert client.call("work.coroutine", 3) == 3
            peer = stack.enter_context(contextlib.closing(server.peer()))
            pids |= {peer.root.work.pid(), peer.root.work.pid()}
            assert peer.root.work.ask(lambda value: value * 2, 4) == 9
            assert peer.root.work.coroutine(3) == 3
    assert len(pids - {server.process.pid}) == 6
    assert server.stop() == 0


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")
def test_ended_processes_leave_nothing_behind(serve: Callable[..., Serving]) -> None:
    server = serve("forking")
    before = set(server.children())
    files = _descriptors(server)
    for _ in range(5):
        with server.connect() as client:
            client.call("work.quick", 1)
    _until(lambda: set(server.children()) == before, "the processes must have ended, and none be a zombie")
    _until(lambda: _descriptors(server) == files, "no descriptor may be left")


def _descriptors(server: Serving) -> int:
    return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))


def test_a_killed_process_harms_nobody_else(serve: Callable[..., Serving]) -> None:
    server = serve("forking")
    with server.connect() as steady, server.connect() as victim:
        first = steady.call("work.pid")
        with pytest.raises(TransportError):
            victim.call("work.shoot")
        assert steady.call("work.pid") == first
    server.until("was ended by signal 9")
    with server.connect() as another:
        assert another.call("work.quick", 1) == 1
    assert server.stop() == 0


def test_return_codes_of_a_plugins_processes_are_its_own(serve: Callable[..., Serving]) -> None:
    server = serve("forking")
    with server.connect() as client:
        assert client.call("work.run", 5) == 5
        client.call("work.end_the_child")
    server.until("child returned 7")
    assert server.stop() == 0


def test_one_process_too_many_is_refused(serve: Callable[..., Serving]) -> None:
    server = serve("forking", "--processes=2")
    with server.connect() as first, server.connect() as second:
        assert first.call("work.pid") != second.call("work.pid")
        answer = _get(server.http, "/livez")
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nRetry-After: " in answer
        with pytest.raises(EOFError):
            server.peer().root.work.pid()
    server.until("connections as it takes")
    _until(lambda: _get(server.http, "/livez").startswith(b"HTTP/1.1 200 "), "there must be a place again")


def test_children_report_what_they_count(serve: Callable[..., Serving]) -> None:
    server = serve("forking")
    for _ in range(3):
        with server.connect() as client:
            client.call("work.quick", 1)
            with pytest.raises(Fault):
                client.call("work.fail")
    with contextlib.closing(server.peer()) as peer:
        assert peer.root.work.quick(1) == 1
    _until(lambda: _figures(server, "work.quick", "count") == 4, "the calls of all processes must be counted")
    assert _figures(server, "work.fail", "errors") == 3
    with contextlib.closing(server.peer()) as living:
        living.root.work.quick(2)
        _until(lambda: _figures(server, "work.quick", "count") == 5, "those of a connection that is open, too")
    assert _get(server.http, "/").startswith(b"HTTP/1.1 200 ")


def _figures(server: Serving, method: str, figure: str) -> int:
    with server.connect() as client:
        return int(client.call("system.statistics")[method][figure])


def test_what_is_switched_on_one_connection_holds_for_those_that_follow(serve: Callable[..., Serving]) -> None:
    server = serve("forking")
    with server.connect() as first:
        first.call("debug.set", True, "core")
        assert first.call("debug.state")["core"] is True

        def follows() -> bool:
            with server.connect() as later:
                return bool(later.call("debug.state")["core"])

        _until(follows, "a process that is made later must know of it")


def test_logs_of_children_have_their_numbers(serve: Callable[..., Serving]) -> None:
    server = serve("forking", "--log-format=json")
    with server.connect() as client:
        pid = client.call("work.pid")
        with pytest.raises(Fault):
            client.call("work.fail")
    server.until(f'"process": {pid}')


@pytest.mark.parametrize("wire", ["http", "rpyc"])
def test_calls_under_way_are_answered_when_the_server_stops(serve: Callable[..., Serving], wire: str) -> None:
    server = serve("forking")
    with server.connect() as client, contextlib.closing(server.peer()) as peer, server.connect() as idle:
        idle.call("work.quick", 1)
        results: list[float] = []
        ask = client.work.sleep if wire == "http" else peer.root.work.sleep
        waiting = threading.Thread(target=lambda: results.append(ask(0.5)))
        waiting.start()
        server.until("sleeping")
        assert server.stop() == 0
        waiting.join(10)
        assert results == [0.5]


def test_what_hangs_is_killed_after_the_time_to_stop(serve: Callable[..., Serving]) -> None:
    server = serve("forking", "--stop-time=0.2")
    with server.connect() as client:
        pid = client.call("work.pid")
        failed: list[BaseException] = []

        def ask() -> None:
            try:
                client.call("work.sleep", 60)
            except TransportError as error:
                failed.append(error)

        waiting = threading.Thread(target=ask)
        waiting.start()
        server.until("sleeping")
        assert server.stop() == 0
        waiting.join(10)
        assert failed
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_children_end_when_their_parent_is_killed(serve: Callable[..., Serving]) -> None:
    server = serve("forking")
    with server.connect() as client:
        pid = client.call("work.pid")
        server.process.send_signal(signal.SIGKILL)
        server.process.wait(10)
        _until(lambda: not _lives(pid), "a child must end when nobody is left to tell it to")


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_reload_concerns_the_connections_that_follow(serve: Callable[..., Serving], tmp_path: Path) -> None:
    server = serve("forking", "--reload")
    with server.connect() as before:
        assert before.call("work.quick", 1) == 1
        plugin = tmp_path / "work.py"
        draft = tmp_path / "draft.txt"
        draft.write_text(plugin.read_text().replace("return value\n", "return value + 100\n"))
        draft.replace(plugin)
        server.until("swapped")
        assert before.call("work.quick", 1) == 1
        with server.connect() as after:
            assert after.call("work.quick", 1) == 101


def test_slow_clients_hold_up_nobody(serve: Callable[..., Serving]) -> None:
    server = serve("forking", "--receive-time=0.3")
    host, port = server.http.removeprefix("http://").split(":")
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(socket.create_connection((host, int(port)))) for _ in range(10)]
        for one in slow:
            one.sendall(b"POST / HTTP/1.1\r\nHo")
        with server.connect() as client:
            assert client.call("work.quick", 1) == 1
        assert all(one.recv(1000).startswith(b"HTTP/1.1 408 ") for one in slow)
    _until(lambda: b"10" in _row(server, b"timed out"), "they are counted")


def _row(server: Serving, name: bytes) -> bytes:
    return _get(server.http, "/").partition(name)[2][:100]


def test_tls_is_spoken_in_the_child() -> None:
    with Bench(Core, 10).serving(tls=server_context()) as served, served.connect() as slow:
        with served.connect(client_context()) as caller:
            assert caller.ask("say a", "blocking b", "async c") == ["a", "b", "c"]
        slow.close()


def test_systems_that_tell_of_no_process_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    with Bench(Core, 10).serving() as served:
        for _ in range(2):
            with served.connect() as caller:
                assert caller.ask("say a") == ["a"]
        served.forgets()


def _get(url: str, path: str) -> bytes:
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 10) as connected:
        connected.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        return connected.makefile("rb").read()


def _until(condition: Callable[[], object], promise: str) -> None:
    deadline = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline, promise
        time.sleep(0.02)
