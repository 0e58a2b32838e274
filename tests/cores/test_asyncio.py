"""The asyncio core, on both kinds of loop."""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from anycore.cores.asyncio import AsyncioCore
from anycore.cores.base import CoreLimits, Listener
from anycore.testing import CORE_CHECKS, check_core
from anycore.testing.served import Bench

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from anycore.cores.base import Core


def _with_asyncio(listeners: Sequence[Listener], limits: CoreLimits) -> Core:
    return AsyncioCore(listeners, limits, uvloop=False)


def _with_uvloop(listeners: Sequence[Listener], limits: CoreLimits) -> Core:
    return AsyncioCore(listeners, limits, uvloop=True)


BOTH = pytest.mark.parametrize("factory", [_with_asyncio, _with_uvloop], ids=["asyncio", "uvloop"])


@BOTH
@pytest.mark.parametrize("check", CORE_CHECKS)
def test_it_keeps_the_promises_of_cores(check: str, factory: Callable[..., Core]) -> None:
    check_core(factory, only=[check])


def test_uvloop_is_used_where_it_is_installed() -> None:
    for wanted, module in ((None, "uvloop"), (True, "uvloop"), (False, "asyncio")):
        with Bench(lambda ls, li, wanted=wanted: AsyncioCore(ls, li, uvloop=wanted), 10).serving() as served:  # type: ignore[misc]
            assert served.core.run_coroutine(_loop_module()).startswith(module)


async def _loop_module() -> str:
    return type(asyncio.get_running_loop()).__module__


def test_without_uvloop_asyncio_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    with Bench(AsyncioCore, 10).serving() as served:
        assert served.core.run_coroutine(_loop_module()).startswith("asyncio")
    with pytest.raises(ImportError):
        AsyncioCore([], uvloop=True)


@BOTH
def test_a_coroutine_on_the_loop_cannot_wait_for_the_loop(factory: Callable[..., Core]) -> None:
    async def wait() -> Any:
        return served.core.run_coroutine(_loop_module())

    with Bench(factory, 10).serving() as served, pytest.raises(RuntimeError, match="cannot wait for itself"):
        served.core.run_coroutine(wait())


@BOTH
def test_an_ended_core_takes_no_coroutine(factory: Callable[..., Core]) -> None:
    with Bench(factory, 10).serving() as served:
        served.finish()
        with pytest.raises(RuntimeError, match="the core has ended"):
            served.core.run_coroutine(_loop_module())


@BOTH
def test_what_plugins_leave_on_the_loop_is_cancelled(factory: Callable[..., Core]) -> None:
    cancelled = threading.Event()

    async def forever() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            cancelled.set()

    async def leave() -> None:
        tasks.append(asyncio.create_task(forever()))
        await asyncio.sleep(0)

    tasks: list[asyncio.Task[None]] = []
    with Bench(factory, 10).serving() as served:
        served.core.run_coroutine(leave())
        served.finish()
    assert cancelled.is_set()


@BOTH
def test_one_connection_has_a_bounded_number_of_jobs_out(factory: Callable[..., Core]) -> None:
    with Bench(factory, 10).talking() as (served, caller):
        caller.send(*(f"gate async {number}" for number in range(100)))
        assert served.journal.entered("63").wait(10)
        assert served.core.figures().in_flight == 64
        served.journal.open_all()
        for number in range(100):
            served.journal.open_gate(str(number))
        assert [caller.line() for _ in range(100)] == [str(number) for number in range(100)]


@BOTH
def test_refused_connections_do_not_take_the_places_of_others(factory: Callable[..., Core]) -> None:
    with Bench(factory, 10).serving(connections=1) as served, served.connect() as first:
        assert first.ask("say a") == ["a"]
        with served.connect() as refused:
            assert refused.line().startswith("refused")
            first.close()
            core: Any = served.core
            served.until(
                lambda: not core.connections, "the first must be forgotten; the refused one has not closed yet"
            )
            with served.connect() as next_one:
                assert next_one.ask("say b") == ["b"]


@BOTH
def test_work_that_ends_after_the_core_has_ended_disturbs_nobody(factory: Callable[..., Core]) -> None:
    with Bench(factory, 10).serving(stop_time=0.1) as served, served.connect() as caller:
        caller.send("gate blocking late")
        assert served.journal.entered("late").wait(10)
        workers = [thread for thread in threading.enumerate() if thread.name.startswith("anycore-worker")]
        served.finish()
        served.journal.open_all()
        for thread in workers:
            thread.join(10)
            assert not thread.is_alive()


def test_an_unsupported_socket_is_refused_and_everything_closed() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        core = AsyncioCore([Listener(datagrams, lambda _: None)], CoreLimits())  # type: ignore[arg-type,return-value]
        with pytest.raises(OSError, match="rotocol"):
            core.run()
        assert datagrams.fileno() == -1
