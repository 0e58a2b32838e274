"""An executor of daemon threads: what a plugin never ends must not keep the process from ending."""

from __future__ import annotations

from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING, Any

from anycore.cores.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable


class Task:
    """A function to be called in a thread, and the future of its result."""

    __slots__ = ("_call", "future")

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call
        self.future: Future[Any] = Future()

    def run(self) -> None:
        """Call it."""
        if self.future.set_running_or_notify_cancel():
            self.future.set_result(self._call())

    def fail(self, error: BaseException) -> None:
        """Pass on what it raised."""
        self.future.set_exception(error)


class DaemonThreads(Executor):
    """Threads that are started as they are needed. The standard library's own executor is waited for when the process ends.

    Args:
        size: Threads at most.
    """

    def __init__(self, size: int) -> None:
        self._workers: Workers[Task] = Workers(size, Task.run, Task.fail, self._forget)
        self.closed = False

    def _forget(self) -> None:
        self._workers.take()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call a function in a thread; see `concurrent.futures.Executor`."""
        if self.closed:
            raise RuntimeError("the threads have ended; they take no more work")
        task = Task(lambda: fn(*args, **kwargs))
        self._workers.submit(task)
        return task.future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002 - the signature is given
        """Let idle threads end, and busy ones after their work; nobody waits for them."""
        if not self.closed:
            self.closed = True
            self._workers.close()
