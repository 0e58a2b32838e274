"""Threads that take up one thing after another. To start one for each connection would cost more than many a connection does itself."""

from __future__ import annotations

import threading
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

_Task: TypeAlias = "Callable[[], object] | None"
_SPARE: Final = 32
_IDLE_SECONDS: Final = 5.0


class Crew:
    """Any number of daemon threads. Nothing that is given to them waits for another; threads without anything to do end after a while.

    Args:
        name: What the threads are called, before their number.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._started = 0
        self._spare: list[SimpleQueue[_Task]] = []  # the inboxes of threads that wait; taking one out is one step
        self._closed = False

    def run(self, task: Callable[[], object]) -> None:
        """Have something done. Only one thread calls this.

        Args:
            task: What to do; it raises nothing.

        Raises:
            RuntimeError: When the system gives us no more threads.
        """
        try:
            self._spare.pop().put(task)
        except IndexError:
            self._started += 1
            name = f"{self._name}-{self._started}"
            threading.Thread(target=self._work, args=(task,), name=name, daemon=True).start()

    def _work(self, task: _Task) -> None:
        inbox: SimpleQueue[_Task] = SimpleQueue()
        while task is not None:
            task()
            task = None
            if len(self._spare) >= _SPARE or self._closed:
                return
            self._spare.append(inbox)
            if not self._closed:
                try:
                    task = inbox.get(timeout=_IDLE_SECONDS)
                    continue
                except Empty:
                    pass
            try:
                self._spare.remove(inbox)
            except ValueError:  # somebody has just taken it out, and is about to fill it
                task = inbox.get()

    def close(self) -> None:
        """Let threads end that wait, and the others after what they do."""
        self._closed = True
        while self._spare:
            try:
                self._spare.pop().put(None)
            except IndexError:
                return  # its thread was quicker
