"""What a core and a conversation say to each other: `Conversation`, `Job`, `Phase`.

A core feeds a conversation the bytes it reads. The conversation hands back jobs. The core runs each where its mode says and
gives it back with `finish`, which may hand out more jobs. After each of these the core sends what `take` returns. Only
`Job.run` and `Job.run_async` may be called from another thread than the connection's own; they touch nothing but the job. Which thread
is the connection's own may change from one call to the next.
"""

from __future__ import annotations

import abc
import enum
from typing import TYPE_CHECKING, ClassVar, Final

from anycore.kernel.call import Mode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anycore.objects.link import Link


class Phase(enum.Enum):
    """Whose turn it is. Each phase has a time limit of its own, which the core keeps."""

    IDLE = "idle"
    """Nothing is under way; the peer may speak when it likes, or go."""
    RECEIVING = "receiving"
    """The peer has begun a message and not ended it."""
    WORKING = "working"
    """Jobs are out; the peer waits for us."""
    CLOSING = "closing"
    """Nothing more will be read; the connection ends once what `take` returns is sent."""


class Job(abc.ABC):
    """A piece of work for the core to run, once, where `mode` says.

    Attributes:
        mode: As above.
        loop_bound: Whether it is to run on the event loop, where there is one and `mode` is quick: it may be a plugin's code.
    """

    __slots__ = ("mode",)

    loop_bound: bool = True

    mode: Mode

    @abc.abstractmethod
    def run(self) -> None:
        """Do the work in the calling thread. Raises nothing. Called when `mode` is quick or blocking."""

    async def run_async(self) -> None:
        """Do the work on the running event loop. Raises nothing but cancellation. Called when `mode` is async."""
        self.run()

    @abc.abstractmethod
    def refuse(self, reason: str) -> None:
        """Take the place of `run` when the core is at a limit: prepare an answer that says so.

        Args:
            reason: Which limit, and when to try again.
        """

    def fail(self) -> None:
        """Take the place of what `run` did not do because it raised, against the rules: prepare an answer that says so."""
        self.refuse(FAILED)


class Conversation(abc.ABC):
    """One peer's dialogue over one connection.

    Attributes:
        interactive: Whether its jobs may ask the peer in return and wait for the answer. A core gives such a conversation a `Link`, and
            lets its peer be silent between messages for as long as it likes.
    """

    interactive: ClassVar[bool] = False

    def begin(self, link: Link) -> Sequence[Job]:  # noqa: ARG002 - for conversations that use it
        """Take the core's link; called once before anything else, where the conversation is interactive.

        Args:
            link: Sends and waits.

        Returns:
            Work to be done before the peer's first message.
        """
        return NO_JOBS

    @property
    @abc.abstractmethod
    def phase(self) -> Phase:
        """Whose turn it is."""

    @property
    def wants_input(self) -> bool:
        """Whether the core should go on reading; False while too much is under way."""
        return self.phase is not Phase.CLOSING

    @abc.abstractmethod
    def feed(self, data: bytes) -> Sequence[Job]:
        """Take bytes from the peer; raises nothing, whatever they are.

        Args:
            data: At least one byte.

        Returns:
            Work that follows, in the order in which the peer asked for it. The core begins it in that order, and may put off what the
            peer has no use for yet because it does not read its answers.
        """

    @abc.abstractmethod
    def finish(self, job: Job) -> Sequence[Job]:
        """Take back a job that was run or refused.

        Returns:
            Work that follows from it.
        """

    @abc.abstractmethod
    def take(self) -> bytes:
        """Return the bytes that are ready for the peer, which may be none, and forget them."""

    @abc.abstractmethod
    def eof(self) -> None:
        """The peer will send no more; what it asked for may still be answered."""

    @abc.abstractmethod
    def time_out(self) -> None:
        """The phase took too long: prepare what there is to say about it, and close."""

    @abc.abstractmethod
    def refuse(self, reason: str) -> None:
        """The core has no place for this connection: prepare an answer that says so, and close.

        Args:
            reason: Which limit, and when to try again.
        """

    def retire(self) -> None:  # noqa: B027 - a wire need not have a word for this
        """Another server takes over: let the next answer be the last, and say so in it, where the wire can. A peer that is silent may go on.

        May be called more than once. On a wire without a word for this, nothing happens.
        """

    @abc.abstractmethod
    def stop(self) -> None:
        """The server stops: answer what is under way, take nothing new, and close."""


FAILED: Final = "the server failed at this; its log says why"
NO_JOBS: Final[tuple[Job, ...]] = ()
