"""The result of a request that was sent: to be waited for, asked, or called back about (spec/rpyc.md section 10)."""

from __future__ import annotations

import time
from threading import RLock
from typing import TYPE_CHECKING, Any, Final

from anycore.wire.rpyc_constants import VALUE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from threading import Event

    from anycore.objects.connection import Connection

AsyncResultTimeout = TimeoutError

# The life of a result. An answer that has arrived is unpacked by the first thread that asks for it. Whoever takes the request's
# number out of the connection's table of pending requests decides what becomes of it; that is one step, so no lock is needed.
#
#     WAITING --answer--> ARRIVED --asked for--> VALUE or ERROR
#     WAITING --answer that needs no unpacking--> VALUE
#     WAITING --connection lost--> ERROR
#     WAITING --time over--> EXPIRED
_WAITING: Final = "pending"
_ARRIVED: Final = "arrived"
_VALUE: Final = "ready"
_ERROR: Final = "error"
_EXPIRED: Final = "expired"


class _Parcel:
    """An answer that has references in it, until somebody unpacks it. If nobody does, they are given back."""

    __slots__ = ("_connection", "_lock", "_opened", "sent")

    def __init__(self, connection: Connection, sent: Any) -> None:
        self._connection = connection
        self._lock = RLock()
        self._opened = False
        self.sent = sent

    def open(self, result: AsyncResult, unpack: Callable[[Any], None]) -> None:
        """Unpack once; another thread waits until that is done."""
        with self._lock:
            if self._opened:
                if not result.ready:
                    message = "the answer is being unpacked further up on this stack"
                    raise RuntimeError(message)
                return
            self._opened = True
            unpack(self.sent)

    def __del__(self) -> None:
        if not self._opened:
            self._connection.give_back(self.sent)


class AsyncResult:
    """What becomes of a request.

    What the peer sent is turned into objects by the thread that asks for it, not by the one that reads the connection, because that
    may take requests of its own.

    Args:
        connection: The connection.
        seq: The request's number.
        timeout: Seconds to wait at most, None for no limit.

    Attributes:
        settled: Whether the matter is closed: an answer has come, or none will. Nothing is done to find out.
    """

    __slots__ = ("_callbacks", "_connection", "_deadline", "_failed", "_gates", "_seq", "_state", "_value", "settled")

    def __init__(self, connection: Connection, seq: int, timeout: float | None = None) -> None:
        self._connection = connection
        self._seq = seq
        self._state = _WAITING
        self._failed = False
        self._value: Any = None
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._callbacks: list[Callable[[AsyncResult], Any]] = []
        self._gates: list[Event] = []
        self.settled = False

    def __repr__(self) -> str:
        return f"<AsyncResult of request {self._seq} ({self._state})>"

    @property
    def ready(self) -> bool:
        """Whether an answer is there; looks for one without waiting."""
        if not self.settled and not self.expired:
            self._connection.poll()
        return self.settled and self._state is not _EXPIRED

    @property
    def error(self) -> bool:
        """Whether the answer is there and is an exception."""
        return self.ready and self._failed

    @property
    def expired(self) -> bool:
        """Whether the time is over and no answer came in it."""
        if not self.settled and self._deadline is not None and time.monotonic() >= self._deadline:
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
        if self._state is not _VALUE:
            self.wait()
            if self._state is _ARRIVED:
                parcel = self._value
                if type(parcel) is _Parcel:  # else another thread was quicker
                    parcel.open(self, self._unpack)
            if self._failed:
                raise self._value
        return self._value

    def wait(self) -> None:
        """Wait for the answer.

        Raises:
            TimeoutError: When the time is over.
            EOFError: When the connection ends first.
        """
        if not self.settled:
            self._connection.link.wait(self, self._deadline)
            if not self.settled:
                self._expire()
        if self._state is _EXPIRED:
            message = f"no answer to request {self._seq} came in time (result expired)"
            raise TimeoutError(message)

    def give_up(self) -> None:
        """Wait no longer: an answer that comes all the same gives its references back."""
        if not self.settled:
            self._expire()

    def _expire(self) -> None:
        if self._connection.give_up(self._seq):
            self._callbacks.clear()
            self._state = _EXPIRED
            self.settled = True
            return
        while not self.settled:
            time.sleep(0)  # another thread has taken the answer in this instant and is about to enter it

    def _unpack(self, sent: Any) -> None:
        connection = self._connection
        try:
            self._value = connection.load_exception(sent) if self._failed else connection.unbox(sent)
        except Exception as error:  # noqa: BLE001 - an answer that cannot be understood is an error like any other
            self._value, self._failed = error, True
        self._state = _ERROR if self._failed else _VALUE

    def settle(self, sent: Any, *, failed: bool) -> Sequence[Callable[[AsyncResult], Any]]:
        """Enter the answer; called once, by whoever reads the connection and took the request out of the pending ones.

        Args:
            sent: A boxed value, or an exception as it was sent.
            failed: Whether it is an exception.

        Returns:
            Who is to be called back about it.
        """
        if failed:
            self._failed = True
        elif type(sent) is tuple and len(sent) == 2 and sent[0] == VALUE:
            return self.deliver(sent[1])
        self._value, self._state = _Parcel(self._connection, sent), _ARRIVED
        return self._settled()

    def deliver(self, value: Any) -> Sequence[Callable[[AsyncResult], Any]]:
        """Enter an answer that needs no unpacking; otherwise as `settle`."""
        self._value, self._state = value, _VALUE
        return self._settled()

    def fail(self, error: BaseException) -> Sequence[Callable[[AsyncResult], Any]]:
        """Enter an error of this side, as that the connection has ended; otherwise as `settle`."""
        self._value, self._failed, self._state = error, True, _ERROR
        return self._settled()

    def _settled(self) -> Sequence[Callable[[AsyncResult], Any]]:
        self.settled = True
        if self._gates:
            self._open_gates()
        return self._take_callbacks() if self._callbacks else ()

    def _open_gates(self) -> None:
        while self._gates:
            try:
                self._gates.pop().set()
            except IndexError:
                return  # taken by another thread just now

    def _take_callbacks(self) -> list[Callable[[AsyncResult], Any]]:
        taken = []
        while self._callbacks:
            try:
                taken.append(self._callbacks.pop(0))
            except IndexError:  # taken by another thread just now
                break
        return taken

    def open_when_settled(self, gate: Event) -> None:
        """Set an event, for which the caller waits, as soon as this is settled."""
        self._gates.append(gate)
        if self.settled:
            self._open_gates()

    def add_callback(self, function: Callable[[AsyncResult], Any]) -> None:
        """Call a function with this result once an answer has come; at once when it has. None is called after the time is over."""
        self._callbacks.append(function)
        if self.settled:
            taken = self._take_callbacks()
            if self._state is not _EXPIRED:
                for callback in taken:
                    callback(self)

    def set_expiry(self, timeout: float | None) -> None:
        """Limit the time to wait.

        Args:
            timeout: Seconds from now, or None for no limit.
        """
        self._deadline = None if timeout is None else time.monotonic() + timeout
