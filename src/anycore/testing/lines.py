"""The dialogue that `check_core` holds: lines in, lines out, and jobs of every kind on demand. No socket lives here.

A message is a line: a verb, and what it needs. Answers come back in the order of the messages.

    say TEXT            a quick job answers TEXT
    MODE TEXT           `blocking` or `async`: a job of that mode answers TEXT
    gate MODE NAME      the job answers NAME once the check opens the gate NAME
    fail MODE           the job raises
    stubborn NAME       an asynchronous job that takes no cancellation, until the gate NAME opens
    chain MODE,MODE,..  a job of each mode, each handed out by `finish` of the one before; answers the modes
    big BYTES           a quick job answers so many bytes
    bye TEXT            answers TEXT and closes
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from concurrent.futures import Future
from typing import TYPE_CHECKING, Final

import msgspec

from anycore.conversations.base import NO_JOBS, Conversation, Job, Phase
from anycore.kernel.call import Mode
from anycore.testing.elsewhere import THREADS, Desk, at_home

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anycore.kernel.call import Peer

REFUSED: Final = "refused"
TIMED_OUT: Final = "timed out"
FAILURE: Final = "raised on purpose, by the conversation of check_core"


class Journal:
    """What happened, as the conversations and jobs of one check saw it, in whatever process.

    Args:
        patience: Seconds that a gate keeps a job at most.
        window: Messages that may wait for their answers before a conversation wants no more input.

    Attributes:
        desk: Where the core has several processes: how the others reach the journal of the check. Else None.
    """

    known_as = "journal"

    def __init__(self, patience: float, window: int = 1000) -> None:
        self.desk: Desk | None = None
        self.patience = patience
        self.window = window
        self.lock = threading.Lock()
        self.peers: list[Peer] = []
        self.jobs: list[Record] = []
        self.received = 0
        self.taken = 0
        self.ended = 0
        self._gates: dict[str, Future[None]] = {}
        self._entered: dict[str, threading.Event] = {}

    def gate(self, name: str) -> Future[None]:
        """Return the gate of a name."""
        if self.desk is not None and self.desk.away:
            return self._distant_gate(name)
        with self.lock:
            return self._gates.setdefault(name, Future())

    def _distant_gate(self, name: str) -> Future[None]:
        future: Future[None] = Future()

        def wait() -> None:
            with contextlib.suppress(Exception):  # whoever waits for the future does not wait for ever
                self.wait_at(name)
            if not future.cancelled():
                future.set_result(None)

        threading.Thread(target=wait, name=f"{THREADS}-gate", daemon=True).start()
        return future

    @at_home
    def wait_at(self, name: str) -> None:
        """Wait until a gate is open."""
        self.gate(name).result(self.patience)

    @at_home
    def enter(self, name: str) -> None:
        """Tell that a job stands at a gate."""
        self.gate(name)
        self.entered(name).set()

    @at_home
    def add(self, record: Record) -> int:
        """Note a job; return its number."""
        with self.lock:
            self.jobs.append(record)
            return len(self.jobs) - 1

    @at_home
    def note(
        self, number: int, *, runs: int = 0, finishes: int = 0, on_loop: bool | None = None, refusal: str = ""
    ) -> None:
        """Note what becomes of a job."""
        record = self.jobs[number]
        record.runs += runs
        record.finishes += finishes
        record.on_loop = record.on_loop if on_loop is None else on_loop
        record.refusal = refusal or record.refusal

    @at_home
    def count(self, *, received: int = 0, taken: int = 0, ended: int = 0) -> None:
        """Count bytes, and conversations that have ended."""
        with self.lock:
            self.received += received
            self.taken += taken
            self.ended += ended

    @at_home
    def welcome(self, peer: Peer) -> None:
        """Note a peer."""
        with self.lock:
            self.peers.append(peer)

    def entered(self, name: str) -> threading.Event:
        """Return the event that tells that a job stands at a gate."""
        with self.lock:
            return self._entered.setdefault(name, threading.Event())

    def open_gate(self, name: str) -> None:
        """Let the job go on that stands at a gate, or will."""
        gate = self.gate(name)
        if not gate.done():
            gate.set_result(None)

    def open_all(self) -> None:
        """Let every job go on."""
        for name in list(self._gates):
            self.open_gate(name)

    def open(self, peer: Peer) -> Lines:
        """Make the conversation with a peer: `Listener.open`."""
        self.welcome(peer)
        return Lines(self)


class Record(msgspec.Struct):
    """What becomes of a job.

    Args:
        mode: Where it is to be run.
        verb: The verb of its message.
        word: What follows that.
        runs: How often it was run.
        finishes: How often it was given back.
        on_loop: Whether an event loop ran in the thread where it ran; None before.
        refusal: The reason it was refused for, or an empty string.
    """

    mode: Mode
    verb: str
    word: str
    runs: int = 0
    finishes: int = 0
    on_loop: bool | None = None
    refusal: str = ""


class LineJob(Job):
    """One job of a message."""

    __slots__ = ("answer", "journal", "number", "then", "verb", "word")

    def __init__(self, journal: Journal, mode: Mode, verb: str, word: str, then: tuple[Mode, ...] = ()) -> None:
        self.mode = mode
        self.journal = journal
        self.verb = verb
        self.word = word
        self.then = then
        self.answer = Answer()
        self.number = journal.add(Record(mode, verb, word))

    def run(self) -> None:
        """Do what the message asks for, in this thread."""
        self._begin()
        if self.verb == "gate":
            self.journal.enter(self.word)
            self.journal.gate(self.word).result(self.journal.patience)
        self._answer()

    async def run_async(self) -> None:
        """Do what the message asks for, on the loop."""
        self._begin()
        if self.verb in ("gate", "stubborn"):
            self.journal.enter(self.word)
            await self._wait()
        self._answer()

    async def _wait(self) -> None:
        future = asyncio.wrap_future(self.journal.gate(self.word))
        deadline = asyncio.get_running_loop().time() + self.journal.patience
        while not future.done() and asyncio.get_running_loop().time() < deadline:
            with contextlib.suppress(asyncio.CancelledError) if self.verb == "stubborn" else contextlib.nullcontext():
                await asyncio.wait([future], timeout=0.05)

    def _begin(self) -> None:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            self.journal.note(self.number, runs=1, on_loop=False)
        else:
            self.journal.note(self.number, runs=1, on_loop=True)

    def _answer(self) -> None:
        if self.verb == "fail":
            if self.mode is Mode.ASYNC and self.word == "cancelled":
                raise asyncio.CancelledError
            raise RuntimeError(FAILURE)
        self.answer.text = b"x" * int(self.word) if self.verb == "big" else self.word.encode()

    def refuse(self, reason: str) -> None:
        """Answer that the core is at a limit."""
        self.journal.note(self.number, refusal=reason)
        self.answer.text = REFUSED.encode()


class Answer:
    """The answer to a message, in the making."""

    __slots__ = ("pending", "text")

    def __init__(self) -> None:
        self.pending = 1
        self.text = b""


class Lines(Conversation):
    """The dialogue with one peer.

    Args:
        journal: Where everything is noted.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._buffer = bytearray()
        self._answers: deque[Answer] = deque()
        self._said = b""
        self._closing = False
        self._stopping = False
        self._over = False

    @property
    def phase(self) -> Phase:
        """Whose turn it is."""
        if self._answers:
            return Phase.WORKING
        if self._closing:
            return Phase.CLOSING
        return Phase.RECEIVING if self._buffer else Phase.IDLE

    @property
    def wants_input(self) -> bool:
        """False while too many messages wait for their answers."""
        return not self._closing and len(self._answers) < self._journal.window

    def feed(self, data: bytes) -> Sequence[Job]:
        """Take bytes; return a job for each line that they complete."""
        if self._closing:
            return NO_JOBS
        self._journal.count(received=len(data))
        self._buffer += data
        jobs: list[Job] = []
        while (end := self._buffer.find(b"\n")) >= 0:
            line = self._buffer[:end].decode()
            del self._buffer[: end + 1]
            job = self._job(*line.partition(" ")[::2])
            self._answers.append(job.answer)
            jobs.append(job)
            if job.verb == "bye":
                self._closing = True
                break
        return jobs

    def _job(self, verb: str, rest: str) -> LineJob:
        journal = self._journal
        word, _, name = rest.partition(" ")
        if verb in ("gate", "fail"):
            return LineJob(journal, Mode(word), verb, name)
        if verb == "chain":
            modes = tuple(Mode(mode) for mode in rest.split(","))
            return LineJob(journal, modes[0], verb, rest, modes[1:])
        modes_of = {"blocking": Mode.BLOCKING, "async": Mode.ASYNC, "stubborn": Mode.ASYNC}
        return LineJob(journal, modes_of.get(verb, Mode.QUICK), verb, rest)

    def finish(self, job: Job) -> Sequence[Job]:
        """Take a job back; hand out the next link of a chain."""
        assert isinstance(job, LineJob)
        self._journal.note(job.number, finishes=1)
        if not job.then:
            job.answer.pending = 0
            return NO_JOBS
        following = LineJob(self._journal, job.then[0], job.verb, job.word, job.then[1:])
        following.answer = job.answer
        return (following,)

    def take(self) -> bytes:
        """Return the answers that are ready, in the order of the messages."""
        ready = [self._said]
        while self._answers and not self._answers[0].pending:
            ready.append(self._answers.popleft().text + b"\n")
        self._said = b""
        if self._stopping and self.phase is Phase.IDLE:
            self._closing = True
        taken = b"".join(ready)
        if taken:
            self._journal.count(taken=len(taken))
        return taken

    def eof(self) -> None:
        """The peer will send no more."""
        self._closing = True
        if not self._over:
            self._over = True
            self._journal.count(ended=1)

    def time_out(self) -> None:
        """Say so, unless the peer is just silent, and close."""
        if self.phase is Phase.RECEIVING:
            self._said = f"{TIMED_OUT}\n".encode()
        self._closing = True

    def refuse(self, reason: str) -> None:
        """Say so, and close."""
        self._said = f"{REFUSED}: {reason}\n".encode()
        self._closing = True

    def stop(self) -> None:
        """Answer what is under way, and close."""
        self._stopping = True
        if self.phase is Phase.IDLE:
            self._closing = True
