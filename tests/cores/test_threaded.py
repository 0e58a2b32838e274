"""The threaded core."""

from __future__ import annotations

import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from anycore.cores import Listener, busy_poll
from anycore.cores.threaded import ThreadedCore
from anycore.cores.threaded_connection import ThreadedConnection
from anycore.rpyc.listening import serve_root
from anycore.testing import CORE_CHECKS, check_core
from anycore.testing.certificate import client_context, server_context
from anycore.testing.served import Bench

if TYPE_CHECKING:
    from anycore.conversations.base import Conversation
    from anycore.kernel.call import Peer


@pytest.mark.parametrize("check", CORE_CHECKS)
def test_it_keeps_the_promises_of_cores(check: str) -> None:
    check_core(ThreadedCore, only=[check])


def test_refused_connections_do_not_take_the_places_of_others() -> None:
    with Bench(ThreadedCore, 10).serving(connections=1) as served, served.connect() as first:
        assert first.ask("say a") == ["a"]
        with served.connect() as refused:
            assert refused.line().startswith("refused")
            first.close()
            core: Any = served.core
            served.until(
                lambda: not core._connections, "the first must be forgotten; the refused one has not closed yet"
            )
            with served.connect() as next_one:
                assert next_one.ask("say b") == ["b"]


def test_refused_peers_that_do_not_close_are_sent_away() -> None:
    with Bench(ThreadedCore, 10).serving(connections=0, linger_time=0.1) as served, served.connect() as refused:
        assert refused.line().startswith("refused")
        served.forgets()


def test_a_machine_without_threads_left_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(self: threading.Thread) -> None:
        if self.name.startswith("anycore-connection"):
            raise RuntimeError("can't start new thread")
        original(self)

    original = threading.Thread.start
    with Bench(ThreadedCore, 10).serving() as served:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", start)
            with served.connect() as caller:
                assert caller.line().startswith("refused")
        with served.connect() as caller:
            assert caller.ask("say hello") == ["hello"]
        assert served.core.figures().refused == 1


def test_tls_connections_end_with_a_goodbye() -> None:
    for last in ("bye bye", "say stop"):
        with Bench(ThreadedCore, 10).serving(tls=server_context()) as served:
            tls = client_context()
            with served.connect(tls) as caller:
                caller.socket.suppress_ragged_eofs = False  # type: ignore[attr-defined]
                assert caller.ask(last) == [last.split()[1]]
                if last == "say stop":
                    served.core.stop()
                assert not caller.line()  # without close_notify (RFC 8446 section 6.1) this would raise


def test_a_coroutine_that_blocks_the_loop_does_not_keep_the_core_from_ending() -> None:
    over = threading.Event()

    async def block() -> None:
        over.wait(10)

    def ask(core: Any) -> None:
        with pytest.raises(Exception):  # noqa: B017 - cancelled, or the loop has gone
            core.run_coroutine(block(), timeout=0.1)

    with Bench(ThreadedCore, 10).serving() as served:
        ask(served.core)
        began = time.monotonic()
        served.finish()
        assert time.monotonic() - began < 8
        over.set()
        for thread in threading.enumerate():
            if thread.name == "anycore-loop":
                thread.join(10)


@pytest.fixture
def looking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have threads look for the next connection for as long as they may, wherever this runs."""
    monkeypatch.setattr(busy_poll, "processors", lambda: 2)
    monkeypatch.setattr(busy_poll, "_interpreter", busy_poll._Interpreter())


def taken(core: Any) -> list[object]:
    """Return a list that grows by what threads accept that have just served."""
    found: list[object] = []
    original = core._next_of

    def next_of(listener: Any) -> Any:
        connection = original(listener)
        if connection is not None:
            found.append(connection)
        return connection

    core._next_of = next_of
    return found


def test_a_thread_that_has_served_accepts_the_next_quick_peer(looking: None) -> None:
    with Bench(ThreadedCore, 10).serving(busy_poll_time=0.01, linger_time=0.0) as served:
        found = taken(served.core)
        for number in range(200):
            with served.connect() as caller:
                assert caller.ask(f"bye {number}") == [str(number)]
                assert not caller.line()
            if len(found) >= 10:
                break
        assert len(found) >= 10
        served.forgets()
        figures = served.core.figures()
        assert (figures.accepted, figures.connections, figures.refused) == (number + 1, 0, 0)


def test_the_last_places_are_left_to_the_thread_that_accepts(looking: None) -> None:
    with Bench(ThreadedCore, 10).serving(busy_poll_time=0.01, linger_time=0.0, connections=1) as served:
        found = taken(served.core)
        for number in range(30):
            with served.connect() as caller:
                assert caller.ask(f"bye {number}") == [str(number)]
            served.forgets()
        assert not found


def test_who_is_let_in_just_as_the_core_stops_is_sent_away() -> None:
    def opener(peer: Peer) -> Conversation:
        core.stopping = True  # `stop` has gone round, and there was no conversation to tell yet
        return serve_root(peer, object())

    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as caller:
        core = ThreadedCore([listener := Listener(server, opener)])
        with core._selector, core._wake_reader, core._wake_writer:
            thread = threading.Thread(target=ThreadedConnection(core, listener, *server.accept()).serve)
            thread.start()
            caller.settimeout(10)
            assert not caller.recv(1)
            thread.join(10)
            assert not thread.is_alive()


def test_who_comes_while_the_core_stops_is_not_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as caller:
        listener = Listener(server, lambda _: None)  # type: ignore[arg-type,return-value]
        core = ThreadedCore([listener])
        core.stopping = True
        with core._selector, core._wake_reader, core._wake_writer:
            assert core._next_of(listener) is None
        assert not caller.recv(1)
        assert core.figures().connections == 0
