"""How a pump works: which thread does what is ready, and how the answers are sent. Who reads and who waits is `pump`'s."""

from __future__ import annotations

import abc
import logging
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from anycore.kernel.call import Mode
from anycore.objects.answering import running
from anycore.objects.link import Link

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Sequence

    from anycore.conversations.rpyc import RpycConversation
    from anycore.conversations.rpyc_jobs import RpycJob
    from anycore.cores.pump_outbox import Outbox

_log = logging.getLogger("anycore.rpyc")
_MAX_DEPTH: Final = 16
"""How many jobs may be under way on one stack; the next one gets a thread, for a stack is not endless."""
_MAX_WORKERS: Final = 64
_BATCH: Final = 16
"""Answers that are written in one go, at most, while there is more to do that is done at once."""
_BATCH_BYTES: Final = 1 << 16


class Working(Link):
    """The half of a pump that works. The attributes are `Pump`'s.

    Attributes:
        ended: Whether the connection has ended.
    """

    ended: bool
    _conversation: RpycConversation
    _followers: deque[threading.Event]
    _occupied: list[None]
    _outbox: Outbox
    _ready: deque[RpycJob]
    _run_async: Callable[[Any], Any] | None
    _serving: list[None]
    _workers: set[threading.Thread]

    @abc.abstractmethod
    def _serve(self) -> None:
        """Read and work until the connection ends."""

    def _run(self, jobs: Sequence[RpycJob]) -> None:
        """Do work, in a thread that is here to serve."""
        if len(jobs) > 1 or self._ready or self._conversation.parallel:
            self._ready.extend(jobs)
            self._work(alone=True)
            return
        job = jobs[0]
        try:
            self._perform(job)
        except BaseException:
            self._flush()
            raise
        if self._ready:
            self._work(job, alone=True)
            return
        self._flush()
        if job.raised is not None:
            raise job.raised

    def _work(self, first: RpycJob | None = None, *, alone: bool) -> None:
        """Do the work that is ready, here or in other threads.

        What is done at once is answered in one go, as far as it came together. What may take its time holds back no answer.

        Args:
            first: A job that has been done already, and whose answer is not sent yet.
            alone: Whether this thread is here to serve, so that nothing of its own waits meanwhile.
        """
        ready = self._ready
        done = [] if first is None else [first]  # kept until their answers are sent
        raised, size = (None, 0) if first is None else (first.raised, len(first.frame))
        try:
            while ready:
                try:
                    job = ready.popleft()
                except IndexError:
                    break
                quick = job.mode is Mode.QUICK
                if (done and not quick) or len(done) >= _BATCH or size >= _BATCH_BYTES:
                    self._flush()
                    done, size = [], 0
                if not quick and (
                    (not alone and self._followers and not self.ended)
                    or (ready and self._conversation.parallel and len(self._workers) < _MAX_WORKERS)
                    or _depth() >= _MAX_DEPTH
                ):
                    self._hire(job)
                    continue
                if alone and not quick and self._conversation.parallel:
                    self._occupy(job)
                else:
                    self._perform(job)
                done.append(job)
                size += len(job.frame)
                raised = raised or job.raised
        finally:
            self._flush()
        if raised is not None:
            raise raised

    def _perform(self, job: RpycJob) -> None:
        if job.mode is Mode.ASYNC and self._run_async is not None:
            self._run_async(job.run_async())
        else:
            job.run()
        self._give_back(job)

    def _occupy(self, job: RpycJob) -> None:
        """Run a job while another thread reads on, because others of the peer's requests may run at the same time."""
        self._occupied.append(None)
        try:
            if len(self._occupied) >= len(self._serving) and len(self._workers) < _MAX_WORKERS:
                with suppress(RuntimeError):  # no thread is to be had: what follows waits for its turn
                    self._start(self._assist)
            self._perform(job)
        finally:
            self._occupied.pop()

    def _assist(self) -> None:
        """The life of a further thread that serves."""
        try:
            self._serve()
        except Exception:  # noqa: BLE001 - what a request is configured to raise is the serving thread's, which is not this one
            _log.warning("%s: a request raised in a thread of its own", self._conversation.connection, exc_info=True)
        finally:
            self._workers.discard(threading.current_thread())

    def _start(self, target: Callable[..., None], *args: Any) -> None:
        worker = threading.Thread(target=target, args=args, name="anycore-rpyc-request", daemon=True)
        self._workers.add(worker)
        try:
            worker.start()
        except RuntimeError:
            self._workers.discard(worker)
            raise

    def _give_back(self, job: RpycJob) -> None:
        """Hand a job back; who calls this flushes soon, and keeps the job until then."""
        more = self._conversation.finish(job)
        if more:
            self._ready.extend(more)

    def _flush(self) -> None:
        while (data := self._conversation.take()) and not self.ended:
            self._outbox.send(data)

    def _hire(self, job: RpycJob) -> None:
        """Have a job done by a thread of its own."""
        if len(self._workers) >= _MAX_WORKERS:
            job.refuse(f"{_MAX_WORKERS} requests of this peer run already, or nest too deeply")
            self._give_back(job)
            return
        try:
            self._start(self._labour, job)
        except RuntimeError as error:
            job.refuse(str(error))
            self._give_back(job)

    def _labour(self, job: RpycJob) -> None:
        try:
            self._perform(job)
            self._flush()
            self._work(alone=False)
        except Exception:  # noqa: BLE001 - the last frame of a thread
            _log.exception("%s: a request failed against the rules", self._conversation.connection)
        finally:
            self._workers.discard(threading.current_thread())


def _depth() -> int:
    """Return how many jobs are under way on this thread's stack."""
    job, count = running.keeper, 0
    while job is not None:
        job, count = job.outer, count + 1
    return count
