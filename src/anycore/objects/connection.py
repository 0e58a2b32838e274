"""One end of an RPyC connection: requests out, replies in, the peer's requests answered. Bytes move by way of a `Link`."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import logging
import sys
import time
from collections import deque
from contextlib import suppress
from threading import Lock
from types import MethodType
from typing import TYPE_CHECKING, Any

from anycore.kernel.call import Mode
from anycore.objects.boxing import Boxer
from anycore.objects.config import make_config
from anycore.objects.exceptions import ExceptionLoader, dump
from anycore.objects.handlers import HANDLERS
from anycore.objects.inspection import Inspector
from anycore.objects.policy import AttributePolicy
from anycore.objects.proxy import Proxy, is_proxy
from anycore.objects.result import AsyncResult
from anycore.objects.table import ObjectTable
from anycore.wire import rpyc_constants as wire
from anycore.wire.rpyc import MessageCodec

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from types import TracebackType
    from typing import Self

    from anycore.objects.link import Link

_log = logging.getLogger("anycore.rpyc")
_numbers = itertools.count(1)
_QUICK = frozenset({wire.PING, wire.CLOSE, wire.GETROOT, wire.DEL, wire.INSPECT})
_inspector = Inspector()


class Connection:
    """One end of a connection, the same at both ends.

    Args:
        root: The object that the peer gets as its root; `None` for nothing.
        config: Configuration keys that differ from the defaults; see `make_config`.
        codec: The codec; a new one that finds out the peer's dialect when left out.

    Attributes:
        config: The configuration, live.
        link: What moves the bytes; set before the first request.
        table: Our objects that the peer holds.
        policy: What the peer may reach.
        closed: Whether the connection has ended.
    """

    link: Link

    def __init__(
        self, root: Any = None, config: dict[str, Any] | None = None, codec: MessageCodec | None = None
    ) -> None:
        self.config = make_config(config)
        if self.config["connid"] is None:
            self.config["connid"] = f"conn{next(_numbers)}"
        self.local_root = root
        self.codec = codec if codec is not None else MessageCodec()
        self.table = ObjectTable(self.config["max_objects"])
        self.policy = AttributePolicy(self.config)
        self.inspector = _inspector
        self.handlers: dict[int, Callable[..., Any]] = dict(HANDLERS)
        self.closed = False
        self.end_reason = ""
        self.on_end: Callable[[], None] | None = None
        self.run_coroutine: Callable[[Coroutine[Any, Any, Any]], Any] = asyncio.run
        self._boxer = Boxer(self, self.table)
        self._exceptions = ExceptionLoader(self.config)
        self._seq = itertools.count()
        self._pending: dict[int, AsyncResult] = {}
        self._released: deque[tuple[Any, int]] = deque()
        self._ending = Lock()
        self._remote_root: Any = None
        self.last_traceback: TracebackType | None = None

    def __repr__(self) -> str:
        return f"<{'closed ' if self.closed else ''}connection {self.config['connid']}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.close()

    @property
    def root(self) -> Any:
        """The peer's root object; asked for once."""
        if self._remote_root is None:
            self._remote_root = self.sync_request(wire.GETROOT)
        return self._remote_root

    # Requests of ours.

    def async_request(self, handler: int, *args: Any, timeout: float | None = None) -> AsyncResult:
        """Send a request.

        Args:
            handler: Its number.
            *args: Its arguments.
            timeout: Seconds to wait for the answer, or None for no limit.

        Raises:
            EOFError: When the connection has ended.
            OverflowError: When too many requests wait for their answers.
        """
        if self.closed:
            raise self._eof()
        if len(self._pending) >= self.config["max_pending"]:
            message = (
                f"{len(self._pending)} requests wait for their answers already; wait for some, or raise max_pending"
            )
            raise OverflowError(message)
        boxed = self._boxer.box(args)
        seq = next(self._seq)
        result = self._pending[seq] = AsyncResult(self, seq)
        result.set_expiry(timeout)
        try:
            self.link.send(self.codec.encode_request(seq, handler, boxed))
        except BaseException:
            self._pending.pop(seq, None)
            raise
        return result

    def sync_request(self, handler: int, *args: Any) -> Any:
        """Send a request and wait for its answer, for `sync_request_timeout` seconds at most.

        Raises:
            TimeoutError: When none came in time.
            EOFError: When the connection has ended.
            BaseException: What the peer raised.
        """
        return self.async_request(handler, *args, timeout=self.config["sync_request_timeout"]).value

    def give_up(self, seq: int) -> None:
        """Forget a request whose time is over; its answer will find nobody."""
        self._pending.pop(seq, None)

    def release(self, pack: Any, count: int) -> None:
        """Tell the peer that references of ours have gone. Safe inside a finaliser; errors are nobody's business there."""
        if self.closed:
            return
        try:
            boxed = (wire.TUPLE, ((wire.LOCAL_REF, pack), (wire.VALUE, count)))
            self.link.send(self.codec.encode_request(next(self._seq), wire.DEL, boxed))
        except (EOFError, OSError, AttributeError, RuntimeError):
            return  # the connection has ended, and with it all references

    def poll(self, timeout: float = 0.0) -> None:
        """Serve what has come, for an instant or for the given seconds."""
        if not self.closed:
            self.link.wait(AsyncResult(self, -1), time.monotonic() + timeout)

    def ping(self, data: Any = None, timeout: float | None = 3) -> None:
        """Send data there and back.

        Raises:
            ValueError: When something else came back.
            TimeoutError: When nothing did in time.
        """
        sent = data if data is not None else "abcdefghijklmnopqrstuvwxyz" * 20
        if self.async_request(wire.PING, sent, timeout=timeout).value != sent:
            message = "the peer's answer to a ping is not what was sent"
            raise ValueError(message)

    # What the peer sends.

    def unbox(self, boxed: Any) -> Any:
        """Return the value of a boxed form; see `Boxer.unbox`."""
        return self._boxer.unbox(boxed)

    def load_exception(self, sent: Any) -> BaseException:
        """Return the exception that the peer sent."""
        return self._exceptions.load(sent)

    def settle(self, seq: int, sent: Any, *, failed: bool) -> bool:
        """Enter an answer of the peer.

        Returns:
            Whether anybody waited for it; one that nobody waits for gives its references back.
        """
        result = self._pending.pop(seq, None)
        if result is None:
            if not failed:
                self._boxer.release(sent)
            return False
        result.settle(sent, failed=failed)
        return True

    def handle(self, seq: int, handler: Any, boxed: Any) -> bytes:
        """Do what the peer asks.

        Args:
            seq: The request's number.
            handler: What is asked.
            boxed: The arguments.

        Returns:
            The frame of the answer; empty where none is due.
        """
        try:
            result = self._answer(handler, boxed)
            if handler == wire.CLOSE:
                return b""
            return self.codec.encode_reply(seq, self._boxer.box(result))
        except BaseException as error:  # noqa: BLE001 - whatever it is, it goes to the peer that caused it
            return self._refusal(seq, error)

    def mode(self, handler: int, boxed: Any) -> Mode:
        """Tell where a request of the peer runs: inline what cannot run code of a service, in a worker what can.

        An object may say so itself, by a method `____mode__` of its type that takes the handler's number.
        """
        if handler in _QUICK:
            return Mode.QUICK
        try:
            (label, pack), *_ = boxed[1]
            obj = self.table.find(pack) if label == wire.LOCAL_REF else None
        except (TypeError, ValueError, KeyError, IndexError):
            return Mode.QUICK  # it will fail, which is quick
        if type(obj) is MethodType:
            obj = obj.__self__
        says = getattr(type(obj), "____mode__", None)
        if says is None or is_proxy(obj):
            return Mode.BLOCKING
        mode: Mode = says(obj, handler)
        return mode

    def refuse(self, seq: int, reason: str) -> bytes:
        """Return the frame that refuses a request at a limit."""
        return self._refusal(seq, RuntimeError(reason))

    def _answer(self, handler: Any, boxed: Any) -> Any:
        if handler == wire.DEL:
            return self.handlers[wire.DEL](self, *self._dropped(boxed))
        try:
            function = self.handlers[handler]
        except (KeyError, TypeError):
            message = f"there is no request number {handler!r:.40}; they go from 1 to {max(self.handlers)}"
            raise ValueError(message) from None
        result = function(self, *self.unbox(boxed))
        return self.run_coroutine(result) if inspect.iscoroutine(result) else result

    def _dropped(self, boxed: Any) -> tuple[Any, ...]:
        """Return the id pack and the count of a DEL, whose object is not looked at."""
        try:
            (label, pack), *count = boxed[1]
        except (TypeError, ValueError):
            label, pack, count = 0, None, []
        if label != wire.LOCAL_REF:
            message = f"DEL takes a reference and a count, not {boxed!r:.100}"
            raise ValueError(message)
        return (pack, *(self.unbox(part) for part in count))

    def _refusal(self, seq: int, error: BaseException) -> bytes:
        if not isinstance(error, StopIteration):
            self.last_traceback = error.__traceback__ or sys.exc_info()[2]
            _log.debug("%s: request %d failed", self, seq, exc_info=error)
        try:
            return self.codec.encode_exception(seq, dump(error, self.config))
        except Exception as second:  # noqa: BLE001 - an exception that cannot be told is told by its type
            return self.codec.encode_exception(
                seq, dump(RuntimeError(f"{type(error).__name__}, untellable: {second}"), self.config)
            )

    # The end.

    def close(self) -> None:
        """End the connection: tell the peer, and forget everything. Does nothing the second time."""
        if self.closed:
            return
        before = self.config["before_closed"]
        if before is not None:
            before(self.root)
        with suppress(EOFError, OSError):  # gone already
            self.link.send(self.codec.encode_request(next(self._seq), wire.CLOSE, (wire.VALUE, ())))
        self.ended("closed by this side")

    def close_received(self) -> None:
        """The peer has ended the connection."""
        self.ended("closed by the other side")

    def ended(self, reason: str) -> None:
        """The connection is over: everything that waits fails, all references go, and the service is told. Only the first call counts.

        Args:
            reason: Why, for people.
        """
        with self._ending:
            if self.closed:
                return
            self.closed = True
            self.end_reason = reason
        while self._pending:
            _, result = self._pending.popitem()
            result.fail(self._eof())
        try:
            if self.on_end is not None:
                self.on_end()
        finally:
            self.table.clear()
            self._remote_root = None
            self.link.close()

    def _eof(self) -> EOFError:
        return EOFError(f"the connection has ended: {self.end_reason or 'closed'}")

    def is_local(self, proxy: Any) -> bool:
        """Tell whether a proxy belongs to this connection."""
        return isinstance(type(proxy), type(Proxy)) and object.__getattribute__(proxy, "____conn__") is self
