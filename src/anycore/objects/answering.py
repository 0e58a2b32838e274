"""What becomes of the peer's requests at one end of a connection: where each runs, what it does, and the frame of its answer."""

from __future__ import annotations

import asyncio
import logging
from threading import RLock, get_ident, local
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final, Protocol

from anycore.kernel.call import Mode
from anycore.objects.boxing import HERE, PLAIN
from anycore.objects.exceptions import dump
from anycore.objects.extensions import CANCEL
from anycore.objects.table import says_of
from anycore.wire import rpyc_constants as wire
from anycore.wire.rpyc_flat import encode_flat_answer

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from types import TracebackType

    from anycore.objects.boxing import Boxer
    from anycore.objects.table import Entry, ObjectTable
    from anycore.wire.rpyc import MessageCodec

_log = logging.getLogger("anycore.rpyc")
_lock: Final = RLock()
_QUICK: Final = frozenset({wire.PING, wire.CLOSE, wire.GETROOT, wire.DEL, wire.INSPECT, CANCEL})


class Keeper(Protocol):
    """What `Connection.handle` leaves its results with: a request of the peer that is being answered, or what runs in its place.

    Attributes:
        connection: The connection; None for what belongs to none.
        outer: What the thread was at when this began, further up on its stack.
    """

    connection: Any
    outer: Any
    kept: Any
    raised: BaseException | None
    cancelled: bool
    task: asyncio.Task[Any] | None


class Here(local):
    """What the running thread is towards one peer, with bind_threads: its own number, and the peer's thread that it answers."""

    threads = (0, 0)


class Running(local):
    """What the running thread is at, of whatever connection: the innermost of what is on its stack."""

    keeper: Keeper | None = None


running: Final = Running()


class Answering:
    """The half of a connection that answers. The attributes are `Connection`'s, which has their description."""

    codec: MessageCodec
    last_traceback: TracebackType | None
    run_coroutine: Callable[[Coroutine[Any, Any, Any]], Any]
    table: ObjectTable
    _boxer: Boxer
    _handlers: dict[int, Callable[..., Any]]
    _here: Here | None
    _settings: Mapping[str, Any]

    def handle(
        self, seq: int, handler: Any, boxed: Any, keep: Keeper | None = None, threads: tuple[int, int] = (0, 0)
    ) -> bytes:
        """Do what the peer asks.

        Args:
            seq: The request's number.
            handler: What is asked.
            boxed: The arguments.
            keep: Gets the result, which must not go before the answer is sent: a reference of the peer's that the answer returns
                would be given back too early. And gets what is to be raised in the serving thread as well.
            threads: With bind_threads: the sender and the receiver of the request.

        Returns:
            The frame of the answer; empty where none is due.
        """
        try:
            if self.codec.bind_threads:
                result = self._bound(handler, boxed, threads)
            else:
                result = self._answer(handler, boxed)
            return b"" if handler == wire.CLOSE else self._answered(seq, result, keep, threads)
        except BaseException as error:  # noqa: BLE001 - whatever it is, it goes to the peer that caused it
            return self._failed(seq, error, keep, threads)

    def handle_call(self, seq: int, obj: Any, args: tuple[Any, ...], keep: Keeper) -> bytes:
        """Call an object with values; as `handle` of such a CALL where the codec is `flat`."""
        try:
            result = self._handlers[wire.CALL](self, obj, args)
            if type(result) is CoroutineType:
                result = self.finished(result)
            return self._answered(seq, result, keep)
        except BaseException as error:  # noqa: BLE001 - as above
            return self._failed(seq, error, keep)

    def _answered(self, seq: int, result: Any, keep: Keeper | None, threads: tuple[int, int] = (0, 0)) -> bytes:
        codec = self.codec
        if codec.flat and type(result) in PLAIN:
            frame = encode_flat_answer(seq, result)
            if frame is not None:
                return frame
        lent: list[Entry] = []
        try:
            answer = self._boxer.box(result, lent)
            if keep is not None:
                keep.kept = result
            if codec.bind_threads:
                return codec.encode_reply(seq, answer, threads[1] or get_ident(), threads[0])
            return codec.encode_reply(seq, answer)
        except BaseException:
            self._boxer.unlend(lent)
            raise

    def _failed(self, seq: int, error: BaseException, keep: Keeper | None, threads: tuple[int, int] = (0, 0)) -> bytes:
        if keep is not None and self._propagates(error):
            keep.raised = error
        return self._refusal(seq, error, threads)

    def _propagates(self, error: BaseException) -> bool:
        return (isinstance(error, KeyboardInterrupt) and self._settings["propagate_KeyboardInterrupt_locally"]) or (
            isinstance(error, SystemExit) and self._settings["propagate_SystemExit_locally"]
        )

    def _bound(self, handler: Any, boxed: Any, threads: tuple[int, int]) -> Any:
        """Do what the peer asks, as the thread that it means: what we ask meanwhile is meant for its thread that waits."""
        here = self._bound_here()
        outer = here.threads
        here.threads = (threads[1] or get_ident(), threads[0])
        try:
            return self._answer(handler, boxed)
        finally:
            here.threads = outer

    def _bound_here(self) -> Here:
        here = self._here
        if here is None:
            made = Here()
            with _lock:  # two threads at once must not take different ones
                here = self._here = self._here or made
        return here

    def arrive(self, handler: int, boxed: Any) -> tuple[Any, Mode]:
        """Look up the objects of ours that a request of the peer is about, now, and tell where it runs; see `Boxer.receive` and `mode`.

        Args:
            handler: What is asked.
            boxed: The arguments, as they were sent.

        Returns:
            The arguments for `handle`, and the mode.
        """
        # Nearly all requests are calls of something that was looked up before, with values.
        if handler == wire.CALL:
            try:
                label, ((reference, pack), (first, args), (second, kwargs)) = boxed
                if label == wire.TUPLE and reference == wire.LOCAL_REF and first == second == wire.VALUE:
                    entry = self.table.entry(pack)
                    if entry.key is None:
                        self.table.recognise(entry)
                    says = entry.says
                    return (HERE, (entry.obj, args, kwargs)), Mode.BLOCKING if says is None else says(handler)
            except (TypeError, ValueError, KeyError):
                pass  # of another form, or about nothing: the long way finds out what
        if handler != wire.DEL:
            boxed = self._boxer.receive(boxed)
        return boxed, self.mode(handler, boxed)

    def mode(self, handler: int, boxed: Any) -> Mode:
        """Tell where a request of the peer runs: inline what cannot run code of a service, in a worker what can.

        An object may say so itself, by a method `____mode__` of its type that takes the handler's number.

        Args:
            handler: What is asked.
            boxed: The arguments, as `receive` returned them.
        """
        if handler in _QUICK:
            return Mode.QUICK
        label, args = boxed if type(boxed) is tuple and len(boxed) == 2 else (0, ())
        if type(args) is not tuple or not args:
            return Mode.QUICK  # it will fail, which is quick
        obj = args[0]
        if label is not HERE and label != wire.VALUE:
            if type(obj) is not tuple or len(obj) != 2 or obj[0] == wire.LOCAL_REF:
                return Mode.QUICK  # an object that is not there
            obj = obj[1]
        says = says_of(obj)
        return Mode.BLOCKING if says is None else says(handler)

    def refuse(self, seq: int, reason: str, threads: tuple[int, int] = (0, 0)) -> bytes:
        """Return the frame that refuses a request at a limit."""
        return self._refusal(seq, RuntimeError(reason), threads)

    def _answer(self, handler: Any, boxed: Any) -> Any:
        if handler == wire.DEL:
            return self._handlers[wire.DEL](self, *self._dropped(boxed))
        try:
            function = self._handlers[handler]
        except (KeyError, TypeError):
            message = f"there is no request number {handler!r:.40}; they go from 1 to {wire.INSTANCECHECK}"
            raise ValueError(message) from None
        label, args = boxed if type(boxed) is tuple and len(boxed) == 2 else (0, None)
        if label is not HERE:
            args = self._boxer.unbox(boxed)
        if type(args) is not tuple:
            message = f"arguments are a tuple, not {type(args).__name__}"
            raise ValueError(message)
        result = function(self, *args)
        return self.finished(result) if type(result) is CoroutineType else result

    def finished(self, result: Any) -> Any:
        """Return a result; of a coroutine, what comes of it, waited for. It can be cancelled meanwhile."""
        if type(result) is not CoroutineType:
            return result
        keeper = running.keeper
        return self.run_coroutine(result if keeper is None else _watched(result, keeper))

    def _dropped(self, boxed: Any) -> tuple[Any, ...]:
        """Return the id pack and the count of a DEL, whose object is not looked at."""
        try:
            (label, pack), *count = boxed[1]
        except (TypeError, ValueError):
            label, pack, count = 0, None, []
        if label != wire.LOCAL_REF:
            message = f"DEL takes a reference and a count, not {boxed!r:.100}"
            raise ValueError(message)
        return (pack, *(self._boxer.unbox(part) for part in count))

    def _refusal(self, seq: int, error: BaseException, threads: tuple[int, int]) -> bytes:
        if not isinstance(error, StopIteration):
            self.last_traceback = error.__traceback__
            if self._settings["log_exceptions"]:
                logger = self._settings["logger"] or _log
                logger.debug("%s: request %d failed", self, seq, exc_info=error)
        ids = (threads[1] or get_ident(), threads[0]) if self.codec.bind_threads else ()
        try:
            return self.codec.encode_exception(seq, dump(error, self._settings, self.codec.dialect), *ids)
        except Exception as second:  # noqa: BLE001 - an exception that cannot be told is told by its type
            told = RuntimeError(f"{type(error).__name__}, which cannot be told: {type(second).__name__}")
            return self.codec.encode_exception(seq, dump(told, self._settings), *ids)


async def _watched(coroutine: Coroutine[Any, Any, Any], keeper: Keeper) -> Any:
    """Run a coroutine in a way that `RequestJob.cancel` can stop."""
    keeper.task = asyncio.current_task()
    if keeper.cancelled:
        coroutine.close()
        raise asyncio.CancelledError
    try:
        return await coroutine
    finally:
        keeper.task = None
