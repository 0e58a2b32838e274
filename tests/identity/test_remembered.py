from __future__ import annotations

import pickle
from typing import Any

import pytest

from anycore.identity.remembered import Remembered


def test_something_is_remembered_for_a_while(clock: Any) -> None:
    memory: Remembered[str] = Remembered(10.0, clock=clock)
    digest = memory.digest("secret")
    memory.put(digest, "alice")
    assert memory.get(digest) == "alice"
    assert memory.get(digest, 9.0) == "alice" and memory.get(digest, 10.0) is None
    clock.now += 10
    assert memory.get(digest) is None and len(memory) == 0


def test_the_oldest_goes_first(clock: Any) -> None:
    memory: Remembered[int] = Remembered(10.0, most=3, clock=clock)
    for number in range(5):
        memory.put(memory.digest(str(number)), number)
    assert [memory.get(memory.digest(str(number))) for number in range(5)] == [None, None, 2, 3, 4]


def test_it_can_be_forgotten(clock: Any) -> None:
    memory: Remembered[int] = Remembered(10.0, clock=clock)
    memory.put(b"a", 1)
    memory.put(b"b", 2)
    memory.drop(b"a")
    memory.drop(b"c")
    assert memory.get(b"a") is None and memory.get(b"b") == 2
    memory.clear()
    assert len(memory) == 0


def test_nothing_is_remembered_for_no_time() -> None:
    memory: Remembered[int] = Remembered(0.0)
    memory.put(b"a", 1)
    assert memory.get(b"a") is None


def test_digests_have_a_key_that_nobody_knows() -> None:
    one: Remembered[int] = Remembered(1.0)
    other: Remembered[int] = Remembered(1.0)
    assert one.digest("x") == one.digest("x") != other.digest("x")
    assert one.digest("\ud800") != one.digest("x")
    with pytest.raises(TypeError):
        pickle.dumps(one)
