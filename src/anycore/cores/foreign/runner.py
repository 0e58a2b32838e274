"""What runs the jobs of requests that another server has read: on its event loop, or in its threads."""

from __future__ import annotations

import abc
import asyncio
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from anycore.cores.base import AT_IN_FLIGHT, CoreLimits, Figures, give_up
from anycore.cores.foreign.threads import DaemonThreads
from anycore.cores.loop_thread import LoopThread, wait_for_coroutine
from anycore.kernel.call import Mode

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from anycore.conversations.base import Job
    from anycore.conversations.gateway import Visit

_MAX_OUT: Final = 64
"""Jobs of one request that may be out at a time; others wait for their turn."""


class Runner(abc.ABC):
    """Runs jobs within the limits of a core, and counts them.

    Args:
        limits: Bounds.

    Attributes:
        counted: What was counted; `connections` and `accepted` are the server's to count.
    """

    def __init__(self, limits: CoreLimits) -> None:
        self.limits = limits
        self.counted = Figures()
        self._lock = threading.Lock()
        self._quiet = threading.Condition(self._lock)

    def enter(self, job: Job) -> bool:
        """Count a job as in flight; one that is over the limit is refused."""
        with self._lock:
            if self.counted.in_flight < self.limits.in_flight:
                self.counted.in_flight += 1
                return True
            self.counted.refused += 1
        job.refuse(AT_IN_FLIGHT)
        return False

    def leave(self) -> None:
        """Count a job as done."""
        with self._lock:
            self.counted.in_flight -= 1
            if not self.counted.in_flight:
                self._quiet.notify_all()

    def late(self) -> None:
        """Count a request that took too long."""
        with self._lock:
            self.counted.timed_out += 1

    def wait_quiet(self) -> bool:
        """Wait until no job is in flight, for `stop_time` at most; tell whether none is."""
        with self._quiet:
            return self._quiet.wait_for(lambda: not self.counted.in_flight, self.limits.stop_time or None)

    @abc.abstractmethod
    def run_coroutine(self, coroutine: Coroutine[Any, Any, Any], timeout: float | None = None) -> Any:
        """Run a coroutine and wait for it; see `Core.run_coroutine`."""

    @abc.abstractmethod
    def close(self) -> None:
        """End what was started."""


class LoopRunner(Runner):
    """Runs jobs on an event loop: quick ones inline, asynchronous ones as they are, blocking ones in threads of its own.

    Args:
        limits: Bounds.

    Attributes:
        loop: The loop; to be set before the first job.
    """

    def __init__(self, limits: CoreLimits) -> None:
        super().__init__(limits)
        self.loop: asyncio.AbstractEventLoop | None = None
        self.threads = DaemonThreads(limits.workers)

    async def settle(self, visit: Visit, jobs: Sequence[Job]) -> None:
        """Run jobs, and those that follow from them, until the visit is answered; several side by side."""
        if len(jobs) == 1:
            await self._one(visit, jobs[0])
            return
        waiting = deque(jobs)

        async def some() -> None:
            while waiting:
                await self._one(visit, waiting.popleft())

        if waiting:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(_MAX_OUT, len(waiting))):
                    group.create_task(some())

    async def _one(self, visit: Visit, job: Job) -> None:
        """Run a job and what follows from it."""
        if job.mode is Mode.QUICK:
            _run(job)
        elif self.enter(job):
            if job.mode is Mode.BLOCKING:
                await self._block(job)
            else:
                await self._await(job)
        more = visit.finish(job)
        if more:
            await self.settle(visit, more)

    async def _block(self, job: Job) -> None:
        future = self.threads.submit(_run, job)
        future.add_done_callback(lambda _: self.leave())  # also when nobody waits for it any longer
        await asyncio.wrap_future(future)

    async def _await(self, job: Job) -> None:
        try:
            await job.run_async()
        except asyncio.CancelledError as error:
            if asyncio.current_task().cancelling():  # type: ignore[union-attr]
                raise
            give_up(job, error)  # something that the job waited for was cancelled, and not the job
        except Exception as error:  # noqa: BLE001 - no job may end the server
            give_up(job, error)
        finally:
            self.leave()

    def run_coroutine(self, coroutine: Coroutine[Any, Any, Any], timeout: float | None = None) -> Any:
        """Run a coroutine on the loop and wait; see `Core.run_coroutine`."""
        if self.loop is None:
            coroutine.close()
            raise RuntimeError("the server has not started its event loop yet")
        return wait_for_coroutine(coroutine, self.loop, timeout)

    def close(self) -> None:
        """End idle threads."""
        self.threads.shutdown()


class ThreadRunner(Runner):
    """Runs jobs in the thread that brings them, one after the other; asynchronous ones on a loop in a thread of its own.

    Args:
        limits: Bounds.
    """

    def __init__(self, limits: CoreLimits) -> None:
        super().__init__(limits)
        self.loop = LoopThread()

    def settle(self, visit: Visit, jobs: Sequence[Job]) -> None:
        """Run jobs, and those that follow from them, until the visit is answered.

        Raises:
            TimeoutError: They took longer than `work_time`; a plain method that runs is not interrupted.
        """
        waiting = deque(jobs)
        while waiting:
            job = waiting.popleft()
            if job.mode is Mode.QUICK:
                _run(job)
            elif self.enter(job):
                try:
                    _run(job) if job.mode is Mode.BLOCKING else self._await(job)
                finally:
                    self.leave()
            waiting.extendleft(reversed(visit.finish(job)))

    def _await(self, job: Job) -> None:
        try:
            future = self.loop.submit(job.run_async())
        except RuntimeError as error:
            give_up(job, error)
            return
        try:
            future.result(self.limits.work_time or None)
        except TimeoutError:
            future.cancel()
            raise
        except BaseException as error:  # noqa: BLE001 - no job may end the server
            give_up(job, error)

    def run_coroutine(self, coroutine: Coroutine[Any, Any, Any], timeout: float | None = None) -> Any:
        """Run a coroutine on the loop and wait; see `Core.run_coroutine`."""
        return self.loop.run(coroutine, timeout)

    def close(self) -> None:
        """End the loop."""
        self.loop.close()


def _run(job: Job) -> None:
    try:
        job.run()
    except BaseException as error:  # noqa: BLE001 - no job may end the server
        give_up(job, error)
