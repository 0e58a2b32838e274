"""The event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any

import pytest

from anycore.cores.loop_thread import LoopThread

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def loop() -> Iterator[LoopThread]:
    made = LoopThread()
    yield made
    made.close()


async def _thread() -> str:
    return threading.current_thread().name


def test_nothing_is_started_before_it_is_needed(loop: LoopThread) -> None:
    assert "anycore-loop" not in [thread.name for thread in threading.enumerate()]
    assert loop.run(_thread()) == "anycore-loop"


def test_exceptions_are_passed_on(loop: LoopThread) -> None:
    async def fail() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        loop.run(fail())


def test_what_takes_too_long_is_cancelled(loop: LoopThread) -> None:
    cancelled = threading.Event()

    async def hang() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            cancelled.set()

    with pytest.raises(TimeoutError):
        loop.run(hang(), timeout=0.05)
    assert cancelled.wait(10)


def test_a_timeout_of_the_coroutines_own_is_passed_on(loop: LoopThread) -> None:
    async def fail() -> None:
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine"):
        loop.run(fail())


def test_close_cancels_what_others_wait_for() -> None:
    loop, entered = LoopThread(), threading.Event()
    outcomes: list[Any] = []

    async def hang() -> None:
        entered.set()
        await asyncio.get_running_loop().create_future()

    def ask() -> None:
        try:
            loop.run(hang())
        except CancelledError as error:
            outcomes.append(error)

    asker = threading.Thread(target=ask)
    asker.start()
    assert entered.wait(10)
    loop.close()
    asker.join(10)
    assert len(outcomes) == 1


def test_close_twice_and_unused() -> None:
    loop = LoopThread()
    loop.close()
    loop.close()


def test_a_closed_loop_takes_nothing(loop: LoopThread) -> None:
    loop.close()
    with pytest.raises(RuntimeError, match="the core has ended"):
        loop.run(_thread())


def test_the_loop_cannot_wait_for_itself(loop: LoopThread) -> None:
    async def wait() -> Any:
        return loop.run(_thread())

    with pytest.raises(RuntimeError, match="cannot wait for itself"):
        loop.run(wait())
