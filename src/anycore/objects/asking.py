"""The half of a connection that asks: requests of ours, how long they may take, and what becomes of those that are given up."""

from __future__ import annotations

import itertools
from threading import get_ident
from typing import TYPE_CHECKING, Any, Final

from anycore.objects.extensions import ANSWER, CANCEL, QUESTION
from anycore.objects.limits import limit_of, limited
from anycore.objects.result import AsyncResult
from anycore.wire import rpyc_constants as wire
from anycore.wire.brine import Encoded
from anycore.wire.rpyc_flat import encode_flat_call

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from anycore.objects.answering import Here
    from anycore.objects.boxing import Boxer
    from anycore.objects.link import Link
    from anycore.objects.table import Entry
    from anycore.wire.rpyc import MessageCodec

_object = object.__getattribute__
_NOTHING: Final = Encoded((wire.VALUE, ()))
"""No named arguments, as nearly always, ready to be sent."""


class Asking:
    """The half of a connection that asks. The attributes are `Connection`'s, which has their description."""

    closed: bool
    codec: MessageCodec
    link: Link
    _alive: list[bool]
    _bound_here: Callable[[], Here]
    _boxer: Boxer
    _eof: Callable[[], EOFError]
    _extended: bool | None
    _given_up: dict[int, None]
    _pending: dict[int, AsyncResult]
    _seq: itertools.count[int]
    _settings: Mapping[str, Any]
    _to_cancel: list[int]

    def async_request(self, handler: int, *args: Any, timeout: float | None = None) -> AsyncResult:
        """Send a request.

        Args:
            handler: Its number.
            *args: Its arguments.
            timeout: Seconds to wait for the answer, or None for no limit.

        Raises:
            EOFError: When the connection has ended.
            OverflowError: When too many requests wait for their answers.
            LocalProtocolError: When an argument cannot be sent, as text that has no UTF-8.
        """
        return self._request(handler, args, timeout)

    def call(self, proxy: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a proxy of this connection and wait for what it returns; as `sync_request` of CALL, which it is the shorter way of."""
        if kwargs:
            return self.sync_request(wire.CALL, proxy, args, tuple(kwargs.items()))
        limit = limit_of(self, self._settings["sync_request_timeout"])
        if self.codec.flat:
            seq = next(self._seq)
            data = encode_flat_call(seq, _object(proxy, "____boxed__"), args)
            if data is not None:
                return self._ask(seq, data, limit).value
        return self._request(wire.CALL, (proxy, args, _NOTHING), limit).value

    def _ask(self, seq: int, data: bytes, timeout: float | None) -> AsyncResult:
        """Send a request that refers to nothing of ours."""
        pending = self._pending
        if self.closed or len(pending) >= self._settings["max_pending"]:
            self._check()
        result = pending[seq] = AsyncResult(self, seq, timeout)  # type: ignore[arg-type] # the other half is there, too
        try:
            self.link.send(data)
        except BaseException:
            pending.pop(seq, None)
            raise
        if not self._alive and pending.pop(seq, None) is not None:  # ended meanwhile, and not told
            raise self._eof()
        return result

    def _check(self) -> None:
        if self.closed:
            raise self._eof()
        if len(self._pending) >= self._settings["max_pending"]:
            message = (
                f"{len(self._pending)} requests wait for their answers already; wait for some, or raise max_pending"
            )
            raise OverflowError(message)

    def _request(self, handler: int, args: tuple[Any, ...], timeout: float | None) -> AsyncResult:
        self._check()
        pending = self._pending
        lent: list[Entry] = []
        seq = next(self._seq)
        try:
            boxed = self._boxer.box_tuple(args, lent)
            result = pending[seq] = AsyncResult(self, seq, timeout)  # type: ignore[arg-type] # the other half is there, too
            if self.codec.bind_threads:
                data = self.codec.encode_request(seq, handler, boxed, *self._threads())
            else:
                data = self.codec.encode_request(seq, handler, boxed)
            self.link.send(data)
        except BaseException:
            pending.pop(seq, None)
            self._boxer.unlend(lent)
            raise
        if not self._alive and pending.pop(seq, None) is not None:
            raise self._eof()
        return result

    def _threads(self) -> tuple[int, int]:
        own, peer = self._bound_here().threads
        return own or get_ident(), peer

    def sync_request(self, handler: int, *args: Any) -> Any:
        """Send a request and wait for its answer, for `sync_request_timeout` seconds at most, or as long as `timeout` says here.

        Raises:
            TimeoutError: When none came in time.
            EOFError: When the connection has ended.
            BaseException: What the peer raised.
        """
        limit = limit_of(self, self._settings["sync_request_timeout"])
        return self._request(handler, args, limit).value

    def timeout(self, seconds: float | None) -> AbstractContextManager[None]:
        """Limit the time of each request that a block makes, in this thread: ``with conn.timeout(2): conn.root.f()``.

        Args:
            seconds: Seconds for each request; None for no limit.
        """
        return limited(self, seconds)

    def give_up(self, seq: int) -> bool:
        """Forget a request whose time is over; its answer will find nobody.

        Returns:
            False when the answer was quicker.
        """
        if self._pending.pop(seq, None) is None:
            return False
        if seq >= 0 and not self.closed:
            self._given_up[seq] = None
            self.cancel(seq)
        return True

    def cancel(self, seq: int) -> None:
        """Ask the peer to stop working at a request, if it is one that can; find that out first where it is not known."""
        try:
            if self._extended:
                self.async_request(CANCEL, seq)
            elif self._extended is None:
                self._to_cancel.append(seq)
                if len(self._to_cancel) == 1:
                    self.async_request(wire.PING, QUESTION).add_callback(self._learn)
        except (EOFError, OSError, OverflowError, RuntimeError):
            return  # the request was given up already; this was a courtesy

    def _learn(self, result: AsyncResult) -> None:
        self._extended = not result.error and result.value == ANSWER
        while self._to_cancel:
            seq = self._to_cancel.pop()
            if self._extended:
                self.cancel(seq)

    def extended(self) -> bool:
        """Ask, once, whether the peer is one of ours, so that it knows more requests than the protocol has.

        Raises:
            TimeoutError: When no answer came in time.
            EOFError: When the connection has ended.
        """
        if self._extended is None:
            self._extended = self.sync_request(wire.PING, QUESTION) == ANSWER
        return self._extended

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
