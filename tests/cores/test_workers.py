"""The pool of worker threads."""

from __future__ import annotations

import threading

from anycore.cores.workers import Workers


class Pool:
    def __init__(self, size: int) -> None:
        self.gate = threading.Event()
        self.running = threading.Semaphore(0)
        self.woken = threading.Semaphore(0)
        self.failures: list[tuple[str, BaseException]] = []
        self.most = 0
        self._now = 0
        self._lock = threading.Lock()
        self.workers: Workers[str] = Workers(
            size, self._run, lambda item, error: self.failures.append((item, error)), self.woken.release
        )

    def _run(self, item: str) -> None:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        self.running.release()
        try:
            if item == "fail":
                raise KeyboardInterrupt
            assert self.gate.wait(10)
        finally:
            with self._lock:
                self._now -= 1

    def collect(self, count: int) -> list[str]:
        found: list[str] = []
        while len(found) < count:
            assert self.woken.acquire(timeout=10)
            found += self.workers.take()
        return sorted(found)

    def threads(self) -> list[threading.Thread]:
        return self.workers._threads


def test_threads_are_started_as_needed_and_used_again() -> None:
    pool = Pool(4)
    pool.gate.set()
    for number in range(10):
        pool.workers.submit(str(number))
        assert pool.collect(1) == [str(number)]
    assert len(pool.threads()) <= 2  # a thread that has just handed over its item may not be idle yet
    pool.workers.close()


def test_no_more_items_run_at_a_time_than_there_are_threads() -> None:
    pool = Pool(3)
    for number in range(9):
        pool.workers.submit(str(number))
    for _ in range(3):
        assert pool.running.acquire(timeout=10)
    assert pool.workers.take() == []
    pool.gate.set()
    assert pool.collect(9) == [str(number) for number in range(9)]
    assert pool.most == 3
    assert len(pool.threads()) == 3
    pool.workers.close()


def test_no_item_waits_while_another_thread_may_be_started() -> None:
    pool = Pool(8)
    for number in range(8):
        pool.workers.submit(str(number))
    for _ in range(8):
        assert pool.running.acquire(timeout=10)
    pool.gate.set()
    pool.collect(8)
    pool.workers.close()


def test_a_failure_is_handed_over_and_costs_no_thread() -> None:
    pool = Pool(1)
    pool.gate.set()
    for item in ("fail", "fail", "well"):
        pool.workers.submit(item)
    assert pool.collect(3) == ["fail", "fail", "well"]
    assert [(item, type(error)) for item, error in pool.failures] == [("fail", KeyboardInterrupt)] * 2
    assert len(pool.threads()) == 1
    pool.workers.close()


def test_close_lets_threads_end_after_their_items() -> None:
    pool = Pool(2)
    pool.workers.submit("a")
    pool.workers.submit("b")
    for _ in range(2):
        assert pool.running.acquire(timeout=10)
    pool.workers.close()
    pool.gate.set()
    assert pool.collect(2) == ["a", "b"]
    for thread in pool.threads():
        thread.join(10)
        assert not thread.is_alive()
