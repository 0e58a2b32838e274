"""A loan: the event loop leaves a connection to a worker thread for as long as its peer makes one short call after the other.

A loop that gives a blocking job to a worker and takes the answer back wakes two threads for each call, which takes longer than most calls do. Where one
connection alone has something to say, the worker therefore keeps it: it sends the answer, looks for the next message, and runs what
that asks for. It gives the connection back as soon as nothing comes quickly, another connection speaks, or anything comes up that a loop is
there for; and the loop takes it back at any time while a job runs.
"""

from __future__ import annotations

import os
import socket
import threading
from typing import TYPE_CHECKING, Final

from anycore.conversations.base import Job, Phase
from anycore.cores.base import give_up
from anycore.cores.busy_poll import BusyPoll
from anycore.cores.quickack import acknowledge
from anycore.kernel.call import Mode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from anycore.conversations.base import Conversation

LOAN_STEP: Final = 0.005
"""Seconds. A job, or half a message, that was there at one look of the loop's, and at the next one still is, ends the loan."""
_CHUNK: Final = 1 << 18
_PEERS_TURN: Final = (Phase.IDLE, Phase.RECEIVING)


class Loan(Job):
    """Runs a blocking job, and then serves the connection. It begins on the loop, runs in a worker, and ends on the loop.

    Only one of the two moves the connection's bytes, and feeds its conversation: the worker between jobs, until it was told that the loop wants
    the connection back; the loop afterwards, and from the moment at which it asks while a job runs.

    Args:
        job: The first job.
        conversation: Whose it is.
        descriptor: That of the connected socket, which does not block.
        busy_poll_time: How long to look for the next message, as by `BusyPoll`.
        wanted: Asked now and then whether the worker, or the processor, is wanted elsewhere.

    Attributes:
        jobs: How many have begun.
        running: Whether a job runs; the loop may have the connection at once.
        undone: The job that ran when the loop took the connection back: the conversation does not know yet that it has ended.
        left: Jobs that are the loop's to run.
        unsent: Bytes that the peer was slow to take.
        error: What the conversation has raised, which it must not.
    """

    __slots__ = ("_conversation", "_first", "_lock", "_poll", "_recalled", "_socket", "_wanted", "error", "jobs", "left", "running", "undone", "unsent")  # fmt: skip

    def __init__(
        self,
        job: Job,
        conversation: Conversation,
        descriptor: int,
        busy_poll_time: float,
        wanted: Callable[[], bool],
    ) -> None:
        self.mode = Mode.BLOCKING
        self._first = job
        self._conversation = conversation
        self._socket = socket.socket(fileno=os.dup(descriptor))
        self._poll = BusyPoll(busy_poll_time, quick=True)
        self._wanted = wanted
        self._lock = threading.Lock()
        self._recalled = False
        self.jobs = 0
        self.running = True
        self.undone: Job | None = None
        self.left: Sequence[Job] = ()
        self.unsent = b""
        self.error: Exception | None = None

    # On the loop.

    def recall(self) -> bool:
        """Have the connection back; return whether that is so now, or else will be when the worker is done, within microseconds."""
        with self._lock:
            self._recalled = True
            if self.running:
                self._socket.close()
            return self.running

    def refuse(self, reason: str) -> None:
        """Refuse the first job; see `Job.refuse`."""
        self._first.refuse(reason)

    # In the worker.

    def run(self) -> None:
        """Run the job, and serve the connection until there is a reason to give it back."""
        try:
            self._serve(self._first)
        except Exception as error:  # noqa: BLE001 - the loop is told
            self.error = error
        finally:
            self._poll.end()
            with self._lock:
                self.running = False
                self._socket.close()

    def _serve(self, job: Job) -> None:
        conversation = self._conversation
        while self._do(job):
            jobs: Sequence[Job] | None = conversation.finish(job)
            while self._send() and not jobs:
                jobs = self._next()
                if jobs is None:
                    return
            if self.unsent or not jobs or not self._goes_on_with(jobs) or not self._begin():
                self.left = jobs or ()
                return
            job = jobs[0]

    def _goes_on_with(self, jobs: Sequence[Job]) -> bool:
        """Whether to run what is to be done next here: one job, which need not be on the loop, while nobody else waits."""
        job = jobs[0]
        here = job.mode is Mode.BLOCKING or (job.mode is Mode.QUICK and not job.loop_bound)
        return here and len(jobs) == 1 and not self._wanted()

    def _begin(self) -> bool:
        with self._lock:
            self.running = not self._recalled
            return self.running

    def _do(self, job: Job) -> bool:
        """Run a job; return whether the connection is still ours."""
        self.jobs += 1
        try:
            job.run()
        except BaseException as error:  # noqa: BLE001 - no job may end the core
            give_up(job, error)
        with self._lock:
            self.running = False
            if self._recalled:
                self.undone = job
            return not self._recalled

    def _send(self) -> bool:
        data = memoryview(self._conversation.take())
        try:
            while data and not self._recalled:
                data = data[self._socket.send(data) :]
        except OSError:  # there is no room, or no peer: the loop will see
            pass
        self.unsent = bytes(data)
        return not data

    def _next(self) -> Sequence[Job] | None:
        """Read once; return the jobs that follow, or None where the loop is to go on instead."""
        if self._conversation.phase not in _PEERS_TURN:
            return None
        data = self._poll.read(_nothing, self._look)
        if not data:
            return None
        jobs = self._conversation.feed(data)
        if not jobs and self._conversation.interactive:
            acknowledge(self._socket)
        return jobs

    def _look(self) -> bytes | None:
        if self._recalled or self._wanted():
            return b""
        try:
            return self._socket.recv(_CHUNK)
        except BlockingIOError:
            return None
        except OSError:  # the loop will see
            return b""


def _nothing() -> None:
    """Give back rather than sleep."""
