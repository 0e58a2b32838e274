"""The pool core."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
import rpyc

from anycore.cores import busy_poll
from anycore.cores.pool import PoolCore
from anycore.rpyc.listening import serve_root
from anycore.testing import CORE_CHECKS, check_core
from anycore.testing.certificate import client_context, server_context
from anycore.testing.served import Bench, quietly

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cores.conftest import Serving

    from anycore.conversations.base import Conversation
    from anycore.kernel.call import Peer
    from anycore.testing.lines import Journal
    from anycore.testing.served import Caller, Served

MEGABYTE = 1 << 20


@pytest.mark.parametrize("check", CORE_CHECKS)
def test_it_keeps_the_promises_of_cores(check: str) -> None:
    check_core(PoolCore, only=[check])


def test_connections_without_work_hold_no_thread() -> None:
    before = threading.active_count()
    with Bench(PoolCore, 10).serving(workers=2) as served, contextlib.ExitStack() as stack:
        callers = [stack.enter_context(served.connect()) for _ in range(50)]
        for _ in range(2):
            for number, caller in enumerate(callers):
                assert caller.ask(f"blocking {number}") == [str(number)]
        assert threading.active_count() - before <= 1 + 2  # the core's own and the workers


@pytest.mark.parametrize("tls", [False, True])
def test_slow_clients_hold_no_thread(tls: bool) -> None:
    context = server_context() if tls else None
    with (
        Bench(PoolCore, 10).serving(workers=1, tls=context, buffers=1 << 16) as served,
        contextlib.ExitStack() as stack,
    ):

        def connect() -> Caller:
            return stack.enter_context(
                served.connect(client_context() if tls else None, receive_buffer=0 if tls else 1 << 16)
            )

        for _ in range(5):
            stack.enter_context(served.connect()).socket.sendall(b"\x16\x03" if tls else b"say ha")
            half, deaf, waiting = connect(), connect(), connect()
            half.socket.sendall(b"say hal")
            deaf.send(f"big {8 * MEGABYTE}", "say more")
            waiting.send("gate async go")
        caller = connect()
        for number in range(20):
            assert caller.ask(f"blocking {number}", "async a", "say q") == [str(number), "a", "q"]
        served.journal.open_all()
        assert waiting.line() == "go"
        assert len(deaf.line()) == 8 * MEGABYTE
        assert deaf.line() == "more"


def test_what_waits_for_a_worker_is_bounded_and_the_rest_refused_at_once() -> None:
    with Bench(PoolCore, 10).serving(workers=1, in_flight=3) as served, contextlib.ExitStack() as stack:
        busy = _busy(served, stack)
        waiting = [stack.enter_context(served.connect()) for _ in range(2)]
        for number, caller in enumerate(waiting):
            caller.send(f"blocking {number}")
        core: Any = served.core
        served.until(lambda: core._workers.waiting == 2, "two must wait")
        with served.connect() as late:
            began = time.monotonic()
            assert late.ask("blocking b", "async a", "say q") == ["refused", "refused", "q"]
            assert time.monotonic() - began < 5
            served.journal.open_all()
            assert busy.line() == "go"
            assert [caller.line() for caller in waiting] == ["0", "1"]
            assert late.ask("blocking b") == ["b"]
        assert served.core.figures().refused == 2


def _busy(served: Served, stack: contextlib.ExitStack) -> Caller:
    caller = stack.enter_context(served.connect())
    caller.send("gate blocking go")
    assert served.journal.entered("go").wait(10)
    return caller


def test_work_at_its_limit_time_ends_while_it_waits_for_a_worker() -> None:
    with Bench(PoolCore, 10).serving(workers=1, work_time=0.1) as served, contextlib.ExitStack() as stack:
        busy = _busy(served, stack)
        with served.connect() as caller:
            quietly(lambda: caller.send("blocking b"))
            assert caller.gone()
        assert busy.gone()
        served.journal.open_all()
        served.forgets()


def test_http_callers_beyond_the_bound_are_told_to_try_again(serve: Callable[..., Serving]) -> None:
    server = serve("pool", "--workers=1", "--in-flight=2")
    with server.connect() as client, server.connect() as second, contextlib.ExitStack() as stack:
        threads = [threading.Thread(target=_quietly_ask, args=(one,)) for one in (client, second)]
        threads[0].start()
        server.until("sleeping")
        threads[1].start()
        answers: list[bytes] = []
        while not any(answer.startswith(b"HTTP/1.1 503 ") for answer in answers):
            made = stack.enter_context(_raw(server))
            answers.append(_ask(made))
            assert len(answers) < 20
        assert b"\r\nRetry-After: " in answers[-1]
        for thread in threads:
            thread.join(10)
        assert client.call("work.quick", 1) == 1
    assert server.stop() == 0


def _quietly_ask(client: Any) -> None:
    with contextlib.suppress(Exception):
        client.call("work.sleep", 2)


def _raw(server: Serving) -> socket.socket:
    host, port = server.http.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), 0.2)


def _ask(connected: socket.socket) -> bytes:
    body = b'{"jsonrpc": "2.0", "id": 1, "method": "work.pid"}'
    head = f"POST /jsonrpc HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    connected.sendall(head.encode() + body)
    try:
        return connected.recv(65536)
    except TimeoutError:
        return b""  # it waits for the worker


def test_rpyc_peers_are_served_in_bursts(serve: Callable[..., Serving]) -> None:
    server = serve("pool", "--workers=2")
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(contextlib.closing(server.peer())) for _ in range(8)]
        for turn in range(5):
            for number, peer in enumerate(peers):
                work = peer.root.work
                assert work.quick(number) == number
                assert work.coroutine(turn) == turn
                assert work.ask(lambda value, work=work: work.quick(value) * 2, 4) == 9
        slow = rpyc.async_(peers[0].root.work.sleep)(1.0)
        server.until("sleeping")
        assert [peer.root.work.quick(1) for peer in peers[1:]] == [1] * 7
        slow.wait()
        assert slow.value == 1.0
        for peer in peers:
            peer.close()
        last = stack.enter_context(contextlib.closing(server.peer()))
        assert last.root.work.quick(7) == 7
        assert server.stop() == 0


def test_rpyc_requests_beyond_the_bound_are_refused_and_logged(serve: Callable[..., Serving]) -> None:
    server = serve("pool", "--workers=2", "--in-flight=1")
    with contextlib.closing(server.peer()) as busy, contextlib.closing(server.peer()) as other:
        work = other.root.work.pid
        assert work()
        slow = rpyc.async_(busy.root.work.sleep)(1.0)
        server.until("sleeping")
        with pytest.raises(Exception, match="under way"):
            work()
        server.until("a request of 127.0.0.1:")
        slow.wait()
        assert slow.value == 1.0
        assert work()


def test_rpyc_calls_under_way_are_answered_when_the_server_stops(serve: Callable[..., Serving]) -> None:
    server = serve("pool")
    with contextlib.closing(server.peer()) as peer, contextlib.closing(server.peer()) as idle:
        idle.ping()
        slow = rpyc.async_(peer.root.work.sleep)(0.5)
        server.until("sleeping")
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        slow.wait()
        assert slow.value == 0.5
        stopping.join(10)
        assert server.process.returncode == 0


def test_rpyc_connections_beyond_the_limit_are_refused_and_logged(serve: Callable[..., Serving]) -> None:
    server = serve("pool", "--connections=1")
    with contextlib.closing(server.peer()) as peer:
        assert peer.root.work.quick(1) == 1
        with pytest.raises(EOFError):
            server.peer().root.work.pid()
        server.until("connections as it takes")
        assert peer.root.work.quick(2) == 2


def found_by_looking(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Let threads look wherever this runs; return a list that grows by what they find."""
    found: list[object] = []
    original = busy_poll._look

    def look(*args: Any) -> Any:
        data = original(*args)
        if data is not None:
            found.append(data)
        return data

    monkeypatch.setattr(busy_poll, "_look", look)
    monkeypatch.setattr(busy_poll, "processors", lambda: 2)
    monkeypatch.setattr(busy_poll, "_interpreter", busy_poll._Interpreter())
    return found


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("seconds", [0.01, 0.0])
def test_a_worker_looks_for_the_next_message_of_a_quick_peer(
    seconds: float, tls: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = found_by_looking(monkeypatch)
    context = server_context() if tls else None
    with Bench(PoolCore, 10).talking(busy_poll_time=seconds, tls=context) as (_, caller):
        deadline = time.monotonic() + (10 if seconds else 0.2)
        while len(found) < 20 and time.monotonic() < deadline:
            assert caller.ask("blocking a") == ["a"]
    assert len(found) >= 20 if seconds else not found


def test_a_worker_looks_for_the_next_request_of_a_quick_rpyc_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    found = found_by_looking(monkeypatch)

    def opener(_: Journal, peer: Peer) -> Conversation:
        return serve_root(peer, Adding())

    with Bench(PoolCore, 10).serving(busy_poll_time=0.01, opener=opener) as served:
        with rpyc.connect(*served.address) as conn:
            add, deadline = conn.root.add, time.monotonic() + 10
            while len(found) < 20 and time.monotonic() < deadline:
                assert add(2, 3) == 5
        served.forgets()
    assert len(found) >= 20


class Adding:
    """What is called."""

    def exposed_add(self, a: int, b: int) -> int:
        return a + b
