"""One end of an RPyC connection: requests out, replies in, the peer's requests answered. Bytes move by way of a `Link`."""

from __future__ import annotations

import asyncio
import itertools
import logging
from threading import RLock
from typing import TYPE_CHECKING, Any, Final

from anycore.objects.answering import Answering, Here
from anycore.objects.asking import Asking
from anycore.objects.boxing import Boxer
from anycore.objects.config import SAFE_ATTRS, make_config, shared_config
from anycore.objects.exceptions import ExceptionLoader
from anycore.objects.extensions import EXTENSIONS
from anycore.objects.handlers import HANDLERS
from anycore.objects.inspection import Inspector
from anycore.objects.policy import AttributePolicy
from anycore.objects.proxy import is_proxy
from anycore.objects.result import AsyncResult
from anycore.objects.serving import Serving
from anycore.objects.table import ObjectTable
from anycore.wire import rpyc_constants as wire
from anycore.wire.errors import LocalProtocolError
from anycore.wire.rpyc import MessageCodec

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from types import TracebackType
    from typing import Self

    from anycore.objects.link import Link

_log = logging.getLogger("anycore.rpyc")
_numbers = itertools.count(1)
_inspector: Final = Inspector()
_object = object.__getattribute__
_HANDLERS: Final[dict[int, Callable[..., Any]]] = {**HANDLERS, **EXTENSIONS}
_lock: Final = RLock()
"""Held while a connection gets a dictionary of its own."""


class Connection(Asking, Answering, Serving):
    """One end of a connection, the same at both ends.

    Args:
        root: The object that the peer gets as its root; `None` for nothing.
        config: Configuration keys that differ from the defaults; see `make_config`.
        codec: The codec; a new one that finds out the peer's dialect when left out.

    Attributes:
        link: What moves the bytes; set before the first request.
        local_root: Our root object.
        codec: The codec.
        table: Our objects that the peer holds.
        policy: What the peer may reach.
        inspector: Tells the peer about types.
        closed: Whether the connection has ended.
        end_reason: Why it did, for people.
        on_end: Called once, when it has ended.
        run_coroutine: Runs what an asynchronous function returned, and waits for it.
        last_traceback: That of the last exception that went to the peer.
    """

    link: Link

    def __init__(
        self, root: Any = None, config: dict[str, Any] | None = None, codec: MessageCodec | None = None
    ) -> None:
        given = config or {}
        self._connid = given.get("connid")
        if self._connid is None:
            self._connid = f"conn{next(_numbers)}"
        self._settings = shared_config({**given, "connid": None} if "connid" in given else given)
        self._own: dict[str, Any] | None = None
        bound = bool(self._settings["bind_threads"]) or None
        if codec is None or (bound and codec.bind_threads is None):
            codec = MessageCodec(codec.dialect if codec is not None else None, bound)
        self.local_root = root
        self.codec = codec
        self.table = ObjectTable(self._settings["max_objects"])
        self.policy = AttributePolicy(self._settings)
        self.inspector = _inspector
        self._handlers = _HANDLERS
        self.closed = False
        self.end_reason = ""
        self.on_end: Callable[[], None] | None = None
        self.run_coroutine: Callable[[Coroutine[Any, Any, Any]], Any] = asyncio.run
        self.last_traceback: TracebackType | None = None
        self._boxer = Boxer(self, self.table)
        self._exceptions: ExceptionLoader | None = None
        self._seq = itertools.count()
        self._pending: dict[int, AsyncResult] = {}
        self._given_up: dict[int, None] = {}
        self._alive = [True]  # whoever takes the item out ends the connection
        self._open = [True]  # whoever takes the item out closes it
        self._here: Here | None = None
        self._extended: bool | None = None  # whether the peer is one of ours; None: not known yet
        self._to_cancel: list[int] = []
        self._remote_root: Any = None

    def __repr__(self) -> str:
        return f"<{'closed ' if self.closed else ''}connection {self._settings['connid'] or self._connid}>"

    @property
    def config(self) -> dict[str, Any]:
        """The configuration, live. Whoever asks for it may change it, so from then on it is this connection's alone."""
        if self._own is None:
            made = make_config(self._settings)
            made["connid"] = self._connid
            if made["safe_attrs"] is SAFE_ATTRS:
                made["safe_attrs"] = set(SAFE_ATTRS)
            with _lock:
                if self._own is None:
                    self._settings = self._own = made
                    self.policy.use(made)
                    self._exceptions = None
        return self._own

    @property
    def handlers(self) -> dict[int, Callable[..., Any]]:
        """What requests mean, by number; live as well."""
        if self._handlers is _HANDLERS:
            made = dict(_HANDLERS)
            with _lock:
                if self._handlers is _HANDLERS:
                    self._handlers = made
        return self._handlers

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

    def fileno(self) -> int:
        """Return the socket's descriptor, -1 where there is none."""
        return self.link.fileno()

    def release(self, pack: Any, count: int) -> None:
        """Tell the peer that references of ours have gone. Safe inside a finaliser; errors are nobody's business there."""
        if self.closed:
            return
        try:
            boxed = (wire.TUPLE, ((wire.LOCAL_REF, pack), (wire.VALUE, count)))
            threads = self._threads() if self.codec.bind_threads else ()
            self.link.send(self.codec.encode_request(next(self._seq), wire.DEL, boxed, *threads))
        except (EOFError, OSError, AttributeError, RuntimeError, LocalProtocolError):
            return  # the connection has ended, and with it all references; or the peer's own id pack cannot be sent back

    def give_back(self, boxed: Any) -> None:
        """Release the references in an answer that nobody unboxed."""
        self._boxer.release(boxed)

    # What the peer sends.

    def receive(self, boxed: Any) -> Any:
        """Look up references to objects of ours, in the order of the peer's messages; see `Boxer.receive`."""
        return self._boxer.receive(boxed)

    def unbox(self, boxed: Any) -> Any:
        """Return the value of a boxed form; see `Boxer.unbox`."""
        return self._boxer.unbox(boxed)

    def load_exception(self, sent: Any) -> BaseException:
        """Return the exception that the peer sent."""
        return self._loader().load(sent)

    def stand_in(self, error: Any) -> BaseException:
        """Return an exception of this side for an object of the peer that is one there."""
        name = _object(error, "____id_pack__")[0] if is_proxy(error) else f"builtins.{type(error).__name__}"
        return self._loader().stand_in(name, str(error))

    def _loader(self) -> ExceptionLoader:
        loader = self._exceptions
        if loader is None:
            loader = self._exceptions = ExceptionLoader(self._settings)
        return loader

    def deliver(self, seq: int, value: Any) -> Sequence[Callable[[], Any]]:
        """Enter an answer of the peer that is a value; as `settle`, which it is the shorter way of."""
        result = self._pending.pop(seq, None)
        if result is None:
            self._given_up.pop(seq, None)
            return ()
        callbacks = result.deliver(value)
        return [_bound(callback, result) for callback in callbacks] if callbacks else ()

    def settle(self, seq: int, sent: Any, *, failed: bool) -> Sequence[Callable[[], Any]]:
        """Enter an answer of the peer. One that nobody waits for any more gives its references back; one never asked for is ignored.

        Returns:
            What to do about it, not while the connection is being read.
        """
        result = self._pending.pop(seq, None)
        if result is None:
            if seq in self._given_up:
                self._given_up.pop(seq, None)
                if not failed:
                    self.give_back(sent)
            return ()
        callbacks = result.settle(sent if failed else self._boxer.receive(sent), failed=failed)
        return [_bound(callback, result) for callback in callbacks] if callbacks else ()

    # The end.

    def close(self) -> None:
        """End the connection: tell the peer, wait until it has done what came before, and forget everything. Counts only once.

        Raises:
            Exception: What the configuration's `before_closed` raised, unless `close_catchall` is set.
        """
        if self.closed:
            return
        try:
            self._open.pop()
        except IndexError:
            return  # another thread, or a caller of this one, is at it
        try:
            before = self._settings["before_closed"]
            if before is not None:
                before(self.root)
        except Exception:
            if not self._settings["close_catchall"]:
                raise
            _log.debug("%s: before_closed failed", self, exc_info=True)
        finally:
            self._say_goodbye()
            self.ended("closed by this side")

    def _say_goodbye(self) -> None:
        limit = self._settings["sync_request_timeout"]
        limit = self._settings["close_timeout"] if limit is None else min(limit, self._settings["close_timeout"])
        try:
            self.async_request(wire.CLOSE, timeout=limit).wait()  # answered by the end of the connection
        except (EOFError, OSError, TimeoutError, RuntimeError):
            _log.debug("%s: closed without a word of the peer", self, exc_info=True)

    def close_received(self) -> None:
        """The peer has ended the connection."""
        self.ended("closed by the other side")

    def ended(self, reason: str) -> None:
        """The connection is over: everything that waits fails, all references go, and the service is told. Only the first call counts.

        Args:
            reason: Why, for people.
        """
        try:
            self._alive.pop()
        except IndexError:
            return
        self.end_reason = reason
        self.closed = True
        callbacks: list[Callable[[], Any]] = []
        while self._pending:
            try:
                _, result = self._pending.popitem()
            except KeyError:
                break
            callbacks += [_bound(callback, result) for callback in result.fail(self._eof())]
        if self.on_end is not None:
            callbacks.append(self._tell_service(self.on_end))
            self.on_end = None
        try:
            if callbacks:
                self.link.tell(callbacks)
        finally:
            self.table.close()
            self._given_up.clear()
            self._remote_root = None
            self.link.close()

    def _tell_service(self, on_end: Callable[[], None]) -> Callable[[], None]:
        def tell() -> None:
            try:
                on_end()
            except Exception:  # noqa: BLE001 - whatever the service did, the connection has ended
                _log.exception("%s: telling the service that the connection has ended failed", self)

        return tell

    def is_local(self, proxy: Any) -> bool:
        """Tell whether an object is a proxy of this connection."""
        return is_proxy(proxy) and _object(proxy, "____conn__") is self

    def _eof(self) -> EOFError:
        return EOFError(f"the connection has ended: {self.end_reason or 'closed'}")


def _bound(callback: Callable[[AsyncResult], Any], result: AsyncResult) -> Callable[[], None]:
    """Return a call of somebody's function about a result; what that raises is logged, for there is nobody to take it."""

    def call() -> None:
        try:
            callback(result)
        except Exception:  # noqa: BLE001 - of whatever kind
            _log.exception("a callback about %r failed", result)

    return call
