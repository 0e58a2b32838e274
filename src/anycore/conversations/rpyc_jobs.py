"""What the RPyC conversation hands out to be done: the peer's requests, and what a service or a caller is to be told."""

from __future__ import annotations

import abc
import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

from anycore.conversations.base import Job
from anycore.kernel.call import Mode
from anycore.objects.answering import running
from anycore.wire import rpyc_constants as wire

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from anycore.objects.connection import Connection

_log = logging.getLogger("anycore.rpyc")


def current_job() -> RpycJob | None:
    """Return the request that the running thread is at, or what else of a connection's."""
    job = running.keeper
    return job if isinstance(job, RpycJob) else None


class RpycJob(Job):
    """What a connection has to do. It is to be kept until its frame is sent, because it keeps alive what the frame speaks of.

    Attributes:
        connection: The connection; None for what takes no turn.
        seq: The number of the request; -1 for what is none.
        urgent: Whether it takes no turn among the requests.
        outer: What the thread was at when this began, further up on its stack.
        frame: The answer; empty when none is due, or not yet.
        kept: The result, once there is one, for as long as this job lives.
        raised: What is to be raised in the serving thread as well, because the configuration says so of its kind.
        cancelled: Whether the peer has said that it waits no longer.
        task: What runs, where that is a coroutine.
    """

    __slots__ = ("cancelled", "connection", "frame", "kept", "outer", "raised", "task")

    connection: Connection | None
    kept: Any
    outer: Any
    seq: int = -1
    urgent: bool = False

    def __init__(self, connection: Connection | None, mode: Mode) -> None:
        self.mode = mode
        self.connection = connection
        self.frame = b""
        self.raised: BaseException | None = None
        self.cancelled = False
        self.task: asyncio.Task[Any] | None = None

    def run(self) -> None:
        """Do it; what it does meanwhile belongs to it."""
        here = running
        self.outer = outer = here.keeper
        here.keeper = self
        try:
            self.do()
        finally:
            here.keeper = outer

    @abc.abstractmethod
    def do(self) -> None:
        """Do it. Called by `run`."""

    def cancel(self) -> None:
        """Stop, or do not even begin: a coroutine is cancelled; other code that runs can only look, by `cancelled`."""
        self.cancelled = True
        task = self.task
        if task is not None:
            task.get_loop().call_soon_threadsafe(task.cancel)


_CALLS: Final = (wire.CALL, wire.CALLATTR)
_GIVEN_UP = "the caller gave this call up before its turn came"


class RequestJob(RpycJob):
    """One request of the peer.

    Attributes:
        handler: What is asked.
    """

    __slots__ = ("_sent", "_threads", "handler", "seq", "urgent")

    connection: Connection

    def __init__(
        self, connection: Connection, seq: int, handler: int, sent: Any, mode: Mode, threads: tuple[int, int] = (0, 0)
    ) -> None:
        super().__init__(connection, mode)
        self.seq = seq
        self.handler = handler
        self.urgent = False
        self._sent = sent
        self._threads = threads

    @property
    def loop_bound(self) -> bool:  # type: ignore[override]
        """Only calls run code of plugins, where they are quick."""
        return self.handler in _CALLS

    def do(self) -> None:
        """Do what is asked."""
        if self.cancelled:
            self.refuse(_GIVEN_UP)
            return
        sent, self._sent = self._sent, None
        self.frame = self.connection.handle(self.seq, self.handler, sent, self, self._threads)

    def refuse(self, reason: str) -> None:
        """Answer that the server is at a limit."""
        self._sent = None
        if self.handler != wire.CLOSE:
            self.frame = self.connection.refuse(self.seq, reason, self._threads)


class CallJob(RpycJob):
    """A call of an object of ours with values, as nearly all requests are; see `RequestJob`.

    Args:
        connection: The connection.
        seq: The number of the request.
        obj: What is called.
        args: With what.
        mode: Where.
    """

    __slots__ = ("_args", "_obj", "seq")

    connection: Connection

    def __init__(self, connection: Connection, seq: int, obj: Any, args: tuple[Any, ...], mode: Mode) -> None:
        self.mode = mode
        self.connection = connection
        self.frame = b""
        self.raised = None
        self.cancelled = False
        self.task = None
        self.seq = seq
        self._obj = obj
        self._args: Any = args

    def run(self) -> None:
        """Call it; see `RpycJob.run`."""
        if self.cancelled:
            self.do()
            return
        obj, args = self._obj, self._args
        self._obj = self._args = None
        here = running
        self.outer = outer = here.keeper
        here.keeper = self
        try:
            self.frame = self.connection.handle_call(self.seq, obj, args, self)
        finally:
            here.keeper = outer

    def do(self) -> None:
        """Take the place of a call that was given up."""
        self.refuse(_GIVEN_UP)

    def refuse(self, reason: str) -> None:
        """Answer that the server is at a limit."""
        self._obj = self._args = None
        self.frame = self.connection.refuse(self.seq, reason)


class OpenJob(RpycJob):
    """Tells the service about a new connection, before its first request."""

    __slots__ = ("_open",)

    connection: Connection

    def __init__(self, connection: Connection, opened: Callable[[], None]) -> None:
        super().__init__(connection, Mode.BLOCKING)
        self._open = opened

    def do(self) -> None:
        """Tell it; what it raises ends the connection."""
        try:
            self._open()
        except Exception as error:  # noqa: BLE001 - whatever the service did, it ends here
            _log.exception("%s: the service's on_connect failed", self.connection)
            self.connection.ended(f"the service's on_connect failed: {error!r:.200}")

    def refuse(self, reason: str) -> None:
        """End the connection: a service that has not heard of it cannot serve it."""
        self.connection.ended(reason)


class CallbackJob(RpycJob):
    """Calls back whoever asked to be told of an answer, or of the end. It is in nobody's way: it takes no turn among the requests."""

    __slots__ = ("_callbacks",)

    urgent = True

    def __init__(self, callbacks: Sequence[Callable[[], Any]]) -> None:
        super().__init__(None, Mode.BLOCKING)
        self._callbacks = callbacks

    def do(self) -> None:
        """Call them, in their order."""
        for callback in self._callbacks:
            callback()

    def refuse(self, reason: str) -> None:
        """Nobody can be told: the results stay there to be asked."""
        _log.warning("callbacks about answers, or the end, were left out: %s", reason)


NOTHING: Final[tuple[RpycJob, ...]] = ()
