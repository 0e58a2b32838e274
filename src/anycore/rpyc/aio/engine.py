"""The asyncio end of a connection: requests that tasks await, the peer's requests done on the loop. Sockets are `line`'s."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from functools import partial
from threading import get_ident
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final, NoReturn, cast

from anycore.objects.boxing import Boxer
from anycore.objects.connection import Connection
from anycore.objects.exceptions import GenericException
from anycore.objects.extensions import ANSWER, CALL_BY_VALUE, CANCEL, QUESTION, flatten
from anycore.objects.limits import limit_of
from anycore.rpyc.aio.proxy import Call, Path, Proxy
from anycore.wire import rpyc_constants as wire

if TYPE_CHECKING:
    from collections.abc import Awaitable, Coroutine

    from anycore.objects.proxy import Proxy as SyncProxy
    from anycore.objects.result import AsyncResult
    from anycore.objects.table import Entry
    from anycore.rpyc.aio.line import Line
    from anycore.wire.rpyc import Message, MessageCodec

_AWAITED: Final = frozenset({CoroutineType, Call, Path})
_MAX_TASKS: Final = 1000
_answering: ContextVar[tuple[int, int]] = ContextVar("anycore_rpyc_threads", default=(0, 0))
"""With bind_threads: the thread that this task is towards the peer, and the peer's thread that it answers."""


class _Boxer(Boxer):
    """Makes awaitable proxies; they need to know nothing of the peer's types, so nothing is asked."""

    def _class(self, pack: Any) -> type[SyncProxy]:  # noqa: ARG002 - all are of one class
        return cast("type[SyncProxy]", Proxy)


class Engine(Connection):
    """One end of a connection, on an event loop; it belongs to that loop's thread.

    Args:
        root: The object that the peer gets as its root.
        config: Keys of the configuration that differ from the defaults. There is no time limit unless `sync_request_timeout` is one.
        codec: The codec.

    Attributes:
        line: What moves the bytes.
        loop: The event loop.
    """

    line: Line

    def __init__(self, root: Any, config: dict[str, Any] | None, codec: MessageCodec) -> None:
        super().__init__(root, {"sync_request_timeout": None, **(config or {})}, codec)
        self.loop = asyncio.get_running_loop()
        self.run_coroutine = _as_it_is
        self._boxer = _Boxer(self, self.table)
        self.handlers[CANCEL] = Engine._cancel
        self.handlers[CALL_BY_VALUE] = _call_by_value
        self._tasks: dict[int, asyncio.Task[None]] = {}

    # Requests of ours.

    async def ask(self, handler: int, *args: Any) -> Any:
        """Send a request and wait for its answer. A task that is cancelled meanwhile gives the request up.

        Args:
            handler: Its number.
            *args: Its arguments.

        Raises:
            TimeoutError: When no answer came within the time that `limited` or the configuration allows.
            EOFError: When the connection has ended; the message says why.
            StopAsyncIteration: When the peer raised StopIteration, which nothing awaited can raise.
            Exception: What the peer raised; what is no `Exception` there, as SystemExit, in the words of a `GenericException`.
        """
        loop = self.loop
        if asyncio.get_running_loop() is not loop:
            message = f"{self} belongs to another event loop; connect once for each loop"
            raise RuntimeError(message)
        if self.line.clogged is not None and not self.closed:
            await self.line.clogged.wait()
        future: asyncio.Future[Any] = loop.create_future()
        result = self.async_request(handler, *args)
        result.add_callback(partial(_deliver, future))
        limit = limit_of(self, self.config["sync_request_timeout"])
        timer = None if limit is None else loop.call_later(limit, _expire, future, limit)
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                future.exception()  # the answer came in the same instant; nobody wants to hear of it
            raise
        finally:
            if timer is not None:
                timer.cancel()
            if not result.settled:
                result.give_up()

    def sync_request(self, handler: int, *args: Any) -> NoReturn:
        """Refuse to wait on the loop, which brings the answer.

        Raises:
            RuntimeError: Always.
        """
        message = f"request {handler} with {len(args)} arguments would hold up the event loop; await it, by `ask`"
        raise RuntimeError(message)

    async def get_root(self) -> Any:
        """Return the peer's root; asked for once."""
        root = self._remote_root
        if root is None:
            root = await self.ask(wire.GETROOT)
            if not self.closed:
                self._remote_root = root
        return root

    async def ask_extended(self) -> bool:
        """Tell whether the peer is one of ours; asked for once."""
        if self._extended is None:
            self._extended = await self.ask(wire.PING, QUESTION) == ANSWER
        return self._extended

    # Requests of the peer.

    def serve_request(self, message: Message) -> None:
        """Do what the peer asks: functions at once, in the order of the requests; coroutines in tasks, all at the same time."""
        handler, sent = message.args
        try:
            result = self._answer(handler, sent)
        except BaseException as error:
            self._refuse(message, error)
            if self._propagates(error):
                raise
            return
        if handler == wire.CLOSE:
            return
        if type(result) not in _AWAITED:
            self._reply(message, result)
        elif len(self._tasks) < _MAX_TASKS:
            task = self._tasks[message.seq] = self.loop.create_task(self._finish(message, result))
            task.add_done_callback(partial(self._finished, message, result))
        else:
            _do_without(result)
            self._refuse(message, RuntimeError(f"{_MAX_TASKS} calls run here already; wait for some"))

    def _cancel(self, seq: Any) -> bool:
        """The peer has given a request up, and says so as only peers of ours do."""
        task = self._tasks.get(seq) if type(seq) is int else None
        return task is not None and task.cancel("the other side has given the call up")

    async def _finish(self, message: Message, awaited: Awaitable[Any]) -> None:
        _answering.set((message.receiver, message.sender))  # holds for this task and those that it starts
        try:
            result = await awaited
        except BaseException as error:
            self._refuse(message, error)
            if isinstance(error, asyncio.CancelledError) or self._propagates(error):
                raise
        else:
            self._reply(message, result)
        finally:
            self._tasks.pop(message.seq, None)

    def _finished(self, message: Message, awaited: Any, task: asyncio.Task[None]) -> None:
        if self._tasks.get(message.seq) is task:  # cancelled before it began
            del self._tasks[message.seq]
            _do_without(awaited)
            self._refuse(message, asyncio.CancelledError("given up before it began"))

    def _reply(self, message: Message, result: Any) -> None:
        lent: list[Entry] = []
        ids = self._ids(message)
        try:
            frame = self.codec.encode_reply(message.seq, self._boxer.box(result, lent), *ids)
        except Exception as error:  # noqa: BLE001 - as above
            self._boxer.unlend(lent)
            self._refuse(message, error)
        else:
            self._send(frame)

    def _refuse(self, message: Message, error: BaseException) -> None:
        self._send(self._refusal(message.seq, error, (message.sender, message.receiver)))

    def _send(self, frame: bytes) -> None:
        if not self.closed:
            self.line.answer(frame)

    def _threads(self) -> tuple[int, int]:
        own, peer = _answering.get()
        return own or get_ident(), peer

    def _ids(self, message: Message) -> tuple[int, ...]:
        return (message.receiver or get_ident(), message.sender) if self.codec.bind_threads else ()

    # The end.

    def spare(self, task: asyncio.Task[Any] | None) -> None:
        """Let a task go on when the connection ends: it is the one that ends it."""
        for seq in [seq for seq, known in self._tasks.items() if known is task]:
            del self._tasks[seq]

    def cancel_tasks(self) -> None:
        """Cancel what runs for the peer, which has gone."""
        for task in list(self._tasks.values()):
            task.cancel("the connection has ended")


def _as_it_is(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return coroutine


def _call_by_value(connection: Connection, obj: Any, args: Any, kwargs: Any = ()) -> Any:
    connection.policy.check("call", obj)
    result = obj(*args, **dict(kwargs))
    return _flattened(result) if type(result) in _AWAITED else flatten(result)


async def _flattened(awaited: Awaitable[Any]) -> Any:
    return flatten(await awaited)


def _do_without(awaited: Any) -> None:
    if type(awaited) is not Path:
        awaited.close()


def _expire(future: asyncio.Future[Any], limit: float) -> None:
    if not future.done():
        message = (
            f"no answer came within {limit:g} s; the request was given up, though the other side may still be at it"
        )
        future.set_exception(TimeoutError(message))


def _deliver(future: asyncio.Future[Any], result: AsyncResult) -> None:
    if future.done():
        return
    try:
        value = result.value
    except BaseException as error:  # noqa: BLE001 - it is the peer's
        future.set_exception(_raisable(error))
    else:
        future.set_result(value)


def _raisable(error: BaseException) -> Exception:
    """Return an exception that a coroutine can raise without meaning something to Python or the loop."""
    if isinstance(error, StopIteration):
        told: Exception = StopAsyncIteration(*error.args)
    elif isinstance(error, Exception):
        return error
    else:
        told = GenericException(f"the other side raised {type(error).__name__}: {error}")
    told.__cause__ = error
    return told
