"""Worker threads for a core whose own thread must not wait: they run blocking jobs and hand them back in bundles."""

from __future__ import annotations

import threading
from collections import deque
from queue import SimpleQueue
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Workers(Generic[T]):
    """A pool of daemon threads, started as they are needed.

    The count of idle threads is kept at submission, under a lock, so that an item never waits behind a busy thread while
    another may still be started. Waking the owner costs a system call: it happens once for all items that finish until `take`.

    Args:
        size: Threads at most.
        run: Does the work of an item.
        failed: Called in place of what `run` did not do because it raised; raises nothing.
        wake: Called from a worker thread when there are finished items, once until they are taken.
    """

    def __init__(
        self,
        size: int,
        run: Callable[[T], None],
        failed: Callable[[T, BaseException], None],
        wake: Callable[[], None],
    ) -> None:
        self._size = max(1, size)
        self._run = run
        self._failed = failed
        self._wake = wake
        self._lock = threading.Lock()
        self._items: SimpleQueue[T | None] = SimpleQueue()
        self._finished: deque[T] = deque()
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._waiting = 0
        self._woken = False

    @property
    def waiting(self) -> int:
        """Items that wait for a thread."""
        return self._waiting

    @property
    def spare(self) -> bool:
        """Whether an item submitted now would find a thread."""
        return self._idle > 0 or len(self._threads) < self._size

    def submit(self, item: T) -> None:
        """Queue an item; a thread is started for it if none is idle and there may be one more."""
        with self._lock:
            self._items.put(item)
            if self._idle:
                self._idle -= 1
                return
            if len(self._threads) >= self._size:
                self._waiting += 1
                return
            thread = threading.Thread(target=self._work, name=f"anycore-worker-{len(self._threads) + 1}", daemon=True)
            self._threads.append(thread)
        thread.start()

    def take(self) -> list[T]:
        """Return the items that have finished since the last time."""
        self._woken = False
        taken: list[T] = []
        while self._finished:
            taken.append(self._finished.popleft())
        return taken

    def close(self) -> None:
        """Let idle threads end; busy ones end after their item. Nothing may be submitted afterwards."""
        for _ in self._threads:
            self._items.put(None)

    def _work(self) -> None:
        while (item := self._items.get()) is not None:
            try:
                self._run(item)
            except BaseException as error:  # noqa: BLE001 - a thread that ended would be missing for ever
                self._failed(item, error)
            self._finished.append(item)
            with self._lock:
                if self._waiting:
                    self._waiting -= 1
                else:
                    self._idle += 1
                wake, self._woken = not self._woken, True
            if wake:
                self._wake()
