"""Threads that take up one thing after another."""

from __future__ import annotations

import threading
import time

import pytest

from anycore.cores import crew as module
from anycore.cores.crew import Crew

SECONDS = 60


def wait_until_spare(crew: Crew, count: int) -> None:
    end = time.monotonic() + SECONDS
    while len(crew._spare) != count:
        assert time.monotonic() < end
        time.sleep(0.001)


def members(name: str) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith(name)]


def test_nothing_waits_for_another() -> None:
    crew, together = Crew("crew-together"), threading.Barrier(20, timeout=SECONDS)
    for _ in range(19):
        crew.run(together.wait)
    together.wait()
    assert not together.broken
    crew.close()


def test_a_thread_takes_up_one_thing_after_another() -> None:
    crew = Crew("crew-again")
    threads: list[threading.Thread] = []
    for number in range(1, 6):
        done = threading.Event()

        def task(done: threading.Event = done) -> None:
            threads.append(threading.current_thread())
            done.set()

        crew.run(task)
        assert done.wait(SECONDS)
        wait_until_spare(crew, 1)
        assert len(threads) == number
    assert {thread.name for thread in threads} == {"crew-again-1"}
    crew.close()
    threads[0].join(SECONDS)
    assert not threads[0].is_alive()


def test_threads_with_nothing_to_do_end_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_IDLE_SECONDS", 0.01)
    crew = Crew("crew-idle")
    for _ in range(50):  # some come just when the thread is about to end
        done = threading.Event()
        crew.run(done.set)
        assert done.wait(SECONDS)
        time.sleep(0.0095)
    for thread in members("crew-idle"):
        thread.join(SECONDS)
        assert not thread.is_alive()
    assert not crew._spare


def test_few_threads_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SPARE", 1)
    crew, gates = Crew("crew-few"), [threading.Event(), threading.Event()]
    for gate in gates:
        crew.run(lambda gate=gate: gate.wait(SECONDS))  # type: ignore[misc]
    for gate in gates:
        gate.set()
    wait_until_spare(crew, 1)
    crew.close()
    for thread in members("crew-few"):
        thread.join(SECONDS)
        assert not thread.is_alive()


def test_threads_that_are_busy_end_after_what_they_do() -> None:
    crew, gate = Crew("crew-busy"), threading.Event()
    crew.run(lambda: gate.wait(SECONDS))
    (thread,) = members("crew-busy")
    crew.close()
    gate.set()
    thread.join(SECONDS)
    assert not thread.is_alive()
