"""The threaded core."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from anycore.cores.threaded import ThreadedCore
from anycore.testing import CORE_CHECKS, check_core
from anycore.testing.certificate import client_context, server_context
from anycore.testing.served import Bench


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
