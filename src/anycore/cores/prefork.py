"""The prefork core: a supervisor, and workers that each run another core on the same listening sockets.

This is what everybody else sees of it, in the process of the supervisor and in those of the workers; see `prefork_supervisor` and
`prefork_worker` for what happens there.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

import msgspec

from anycore.cores import load_core
from anycore.cores.base import Core, Process
from anycore.cores.loop_thread import LoopThread
from anycore.cores.prefork_exchange import COUNT_SECONDS
from anycore.cores.prefork_options import PreforkOptions
from anycore.cores.prefork_supervisor import WORKERS, Supervisor
from anycore.cores.prefork_worker import Worker
from anycore.cores.topics import ANSWER_SECONDS, SUPERVISOR, Answer, encode

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Coroutine, Sequence
    from contextlib import AbstractContextManager

    from anycore.cores.base import CoreLimits, Figures, Listener
    from anycore.kernel.tally import Totals

_UNSUITABLE: Final = frozenset({"forking", "oneshot", "prefork", "stdio"})


class PreforkCore(Core):
    """Several processes that serve, and one that looks after them.

    Args:
        listeners: Where to listen: the workers share the sockets.
        limits: Bounds; each worker keeps them for itself.
        options: How many workers, of what kind; the defaults when left out.

    Raises:
        LookupError: When there is no inner core of that name, or it cannot be one.
    """

    name = "prefork"
    several = True
    forks = True

    def __init__(
        self, listeners: Sequence[Listener], limits: CoreLimits | None = None, options: PreforkOptions | None = None
    ) -> None:
        super().__init__(listeners, limits)
        self.options = options if options is not None else PreforkOptions()
        self.number = SUPERVISOR
        self._inner = _inner(self.options.inner)
        self._loop = LoopThread()
        self._supervisor = Supervisor(self, self.options.workers or _processors())
        self._worker: Worker | None = None
        self.on(WORKERS, lambda _: self._supervisor.exchange.processes())

    def run(self, startup: Callable[[], None] = lambda: None, shutdown: Callable[[], None] = lambda: None) -> None:
        """Have workers serve until stopped; see `Core.run`. Each of them calls `startup` and `shutdown`."""
        try:
            self._supervisor.run(startup, shutdown)
        finally:
            self._loop.close()

    def become(self, number: int, channel: socket.socket) -> Worker:
        """Be a worker from now on, in a process that was made for it."""
        self.number = number
        if self.tally is not None:
            self.tally.mark()
        inner = self._inner(self.listeners, self.limits)
        inner.share = self._supervisor.shares.of(number)
        self._worker = Worker(self, inner, channel)
        return self._worker

    def set_limits(self, limits: CoreLimits) -> None:
        """Keep other limits from now on, in this process; see `Core.set_limits`."""
        super().set_limits(limits)
        if self._worker is not None:
            self._worker.inner.set_limits(limits)

    def stop(self) -> None:
        """Stop all workers; see `Core.stop`."""
        (self._worker or self._supervisor).stop(retire=False)

    def retire(self) -> None:
        """Leave new connections to another server; see `Core.retire`."""
        self.retiring = True
        (self._worker or self._supervisor).stop(retire=True)

    def changing(self) -> AbstractContextManager[object]:
        """Return a context in which plugins may be loaded again; where the supervisor forks nothing meanwhile, in its process."""
        return self._worker.inner.changing() if self._worker is not None else self._supervisor.not_now

    def run_coroutine(self, coroutine: Coroutine[Any, Any, Any], timeout: float | None = None) -> Any:
        """Run a coroutine on the loop of the inner core; in the supervisor, on one that is made for it."""
        if self._worker is not None:
            return self._worker.inner.run_coroutine(coroutine, timeout)
        return self._loop.run(coroutine, timeout)

    def ping(self, answer: Callable[[], None]) -> None:
        """Have the thread that sees to connections call something; see `Core.ping`."""
        (self._worker.inner.ping if self._worker is not None else self._supervisor.post)(answer)

    def figures(self) -> Figures:
        """Return what all workers have counted, those that have ended included."""
        return self._sums()[0]

    def totals(self) -> Totals:
        """Return what all workers have counted of methods and incidents, those that have ended included."""
        return self._sums()[1]

    def _sums(self) -> tuple[Figures, Totals]:
        return self._worker.sums(2 * COUNT_SECONDS) if self._worker is not None else self._supervisor.renewed_sums()

    def processes(self) -> list[Process]:
        """Return the workers."""
        self.figures()
        answers = self.ask(WORKERS, worker=SUPERVISOR)
        return [msgspec.convert(one, Process) for answer in answers for one in answer.value or ()]

    def publish(self, topic: str, payload: Any = None) -> None:
        """Say something to all workers and to the supervisor; see `Core.publish`."""
        data = encode(payload)
        if self._worker is None:
            self._supervisor.publish(topic, data)
        else:
            self.topics.hear(topic, data)
            self._worker.publish(topic, data)

    def ask(
        self, topic: str, payload: Any = None, *, worker: int | None = None, timeout: float = ANSWER_SECONDS
    ) -> list[Answer]:
        """Ask all workers, or one, or the supervisor; see `Core.ask`."""
        return (self._worker or self._supervisor).ask(topic, encode(payload), worker, timeout)


def _inner(name: str) -> type[Core]:
    if name in _UNSUITABLE:
        raise LookupError(
            f"the workers of prefork cannot run the core {name!r}: choose asyncio, threaded or pool as inner core"
        )
    return load_core(name)


def _processors() -> int:
    """Return how many processors this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1
