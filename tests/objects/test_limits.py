"""Time limits of blocks: nested, of several connections, of threads and tasks."""

from __future__ import annotations

import asyncio
import threading

import pytest

from anycore.objects.limits import limit_of, limited


def test_the_innermost_block_of_a_connection_counts() -> None:
    one, two = object(), object()
    assert limit_of(one, 30) == 30
    with limited(one, 2):
        with limited(two, 5), limited(one, None):
            assert (limit_of(one, 30), limit_of(two, 30)) == (None, 5)
        assert (limit_of(one, 30), limit_of(two, None)) == (2, None)
    assert limit_of(one, None) is None


def test_a_block_ends_with_what_is_raised() -> None:
    one = object()
    with pytest.raises(LookupError), limited(one, 2):
        raise LookupError
    assert limit_of(one, 30) == 30


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_a_limit_is_above_0(seconds: float) -> None:
    with pytest.raises(ValueError, match="a number of seconds above 0, or None"), limited(object(), seconds):
        pass


def test_other_threads_have_their_own() -> None:
    one = object()
    found: list[float | None] = []
    with limited(one, 2):
        thread = threading.Thread(target=lambda: found.append(limit_of(one, 30)))
        thread.start()
        thread.join()
    assert found == [30]


async def test_tasks_inherit_what_held_when_they_began() -> None:
    one = object()
    go = asyncio.Event()

    async def look() -> float | None:
        await go.wait()
        return limit_of(one, 30)

    with limited(one, 2):
        task = asyncio.create_task(look())
    go.set()
    assert await task == 2
    assert limit_of(one, 30) == 30
