"""The result of a request that was sent: to be waited for, asked, or called back about (spec/rpyc.md section 10)."""

from __future__ import annotations

import time
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from anycore.objects.connection import Connection

AsyncResultTimeout = TimeoutError

# The life of a result. An answer that has arrived is unpacked by the first thread that asks for it.
#
#     WAITING --answer--> ARRIVED --asked for--> VALUE or ERROR
#     WAITING --connection lost--> ERROR
#     WAITING --time over--> EXPIRED
_WAITING: Final = "pending"
_ARRIVED: Final = "arrived"
_VALUE: Final = "ready"
_ERROR: Final = "error"
_EXPIRED: Final = "expired"


class AsyncResult:
    """What becomes of a request.

    What the peer sent is turned into objects by the thread that asks for it, not by the one that reads the connection, because that
    may take requests of its own.

    Args:
        connection: The connection.
        seq: The request's number.
    """

    __slots__ = ("_callbacks", "_connection", "_deadline", "_failed", "_lock", "_sent", "_seq", "_state", "_value")

    def __init__(self, connection: Connection, seq: int) -> None:
        self._connection = connection
        self._seq = seq
        self._state = _WAITING
        self._failed = False
        self._sent: Any = None
        self._value: Any = None
        self._deadline: float | None = None
        self._callbacks: list[Callable[[AsyncResult], Any]] = []
        self._lock = Lock()

    def __repr__(self) -> str:
        return f"<AsyncResult of request {self._seq} ({self._state})>"

    @property
    def settled(self) -> bool:
        """Whether the matter is closed: an answer has come, or none will. Does not look for one."""
        return self._state is not _WAITING

    @property
    def ready(self) -> bool:
        """Whether an answer is there; looks for one without waiting."""
        if self._state is _WAITING and not self.expired:
            self._connection.poll()
        return self._state not in (_WAITING, _EXPIRED)

    @property
    def error(self) -> bool:
        """Whether the answer is there and is an exception."""
        return self.ready and self._failed

    @property
    def expired(self) -> bool:
        """Whether the time is over and no answer came in it."""
        if self._state is _WAITING and self._deadline is not None and time.monotonic() >= self._deadline:
            self._expire()
        return self._state is _EXPIRED

    @property
    def value(self) -> Any:
        """The answer, waited for.

        Raises:
            TimeoutError: When the time is over.
            EOFError: When the connection ends first.
            BaseException: What the peer raised.
        """
        self.wait()
        if self._state is _ARRIVED:
            self._unpack()
        if self._state is _ERROR:
            raise self._value
        return self._value

    def wait(self) -> None:
        """Wait for the answer.

        Raises:
            TimeoutError: When the time is over.
            EOFError: When the connection ends first.
        """
        if self._state is _WAITING:
            self._connection.link.wait(self, self._deadline)
            if self._state is _WAITING:
                self._expire()
        if self._state is _EXPIRED:
            message = f"no answer to request {self._seq} came in time (result expired)"
            raise TimeoutError(message)

    def _expire(self) -> None:
        with self._lock:
            if self._state is not _WAITING:
                return
            self._state = _EXPIRED
            self._callbacks = []
        self._connection.give_up(self._seq)

    def _unpack(self) -> None:
        with self._lock:
            if self._state is not _ARRIVED:
                return
            sent, self._sent = self._sent, None
            try:
                connection = self._connection
                self._value = connection.load_exception(sent) if self._failed else connection.unbox(sent)
            except Exception as error:  # noqa: BLE001 - an answer that cannot be understood is an error like any other
                self._value, self._failed = error, True
            self._state = _ERROR if self._failed else _VALUE

    def settle(self, sent: Any, *, failed: bool) -> None:
        """Enter the answer; called by whoever reads the connection.

        Args:
            sent: A boxed value, or an exception as it was sent.
            failed: Whether it is an exception.
        """
        self._finish(_ARRIVED, sent, None, failed=failed)

    def fail(self, error: BaseException) -> None:
        """Enter an error of this side, as that the connection has ended."""
        self._finish(_ERROR, None, error, failed=True)

    def _finish(self, state: str, sent: Any, value: Any, *, failed: bool) -> None:
        with self._lock:
            if self._state is not _WAITING:
                return
            self._sent, self._value, self._failed, self._state = sent, value, failed, state
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback(self)

    def add_callback(self, function: Callable[[AsyncResult], Any]) -> None:
        """Call a function with this result once an answer has come; at once when it has.

        It is called by whoever reads the connection and must not wait for it.
        """
        with self._lock:
            if self._state is _WAITING:
                self._callbacks.append(function)
                return
            expired = self._state is _EXPIRED
        if not expired:
            function(self)

    def set_expiry(self, timeout: float | None) -> None:
        """Limit the time to wait.

        Args:
            timeout: Seconds from now, or None for no limit.
        """
        self._deadline = None if timeout is None else time.monotonic() + timeout
