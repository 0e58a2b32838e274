"""TLS hand-shakes that are under way: how many there may be, which one has to go for another, and what is said of those that fail."""

from __future__ import annotations

import logging
import ssl
import threading
import time
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_log = logging.getLogger("anycore.core")

T = TypeVar("T")
GRACE: Final = 1.0
"""Seconds that a hand-shake is left alone for, whoever else comes."""
_ENDED: Final = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
"""What happens when a peer goes away; a peer that looks whether the port is open does that."""


class Handshakes(Generic[T]):
    """The hand-shakes of a core, the oldest first. May be used from any thread.

    A hand-shake is a matter of milliseconds. So when there are as many as there may be, one that has taken a second has to go for the
    next peer: those who open connections and say nothing keep nobody else out.

    Args:
        limit: How many there may be; 0 for any number.
        end: Ends one.
    """

    def __init__(self, limit: int, end: Callable[[T], object]) -> None:
        self._limit = limit
        self._end = end
        self._lock = threading.Lock()
        self._under_way: dict[T, float] = {}
        self._said = 0.0

    def __len__(self) -> int:
        return len(self._under_way)

    def __iter__(self) -> Iterator[T]:
        with self._lock:
            return iter(tuple(self._under_way))

    def room(self) -> bool:
        """Tell whether there is room for one more; the oldest is ended for it, if it has had its time."""
        with self._lock:
            if not self._limit or len(self._under_way) < self._limit:
                return True
            oldest, began = next(iter(self._under_way.items()))
            if time.monotonic() - began < GRACE:
                return False
            del self._under_way[oldest]
        self._end(oldest)
        return True

    def add(self, item: T) -> None:
        """Take note of one that begins."""
        with self._lock:
            self._under_way[item] = time.monotonic()

    def done(self, item: T) -> None:
        """Take note of one that has ended, be it well or not; again and again, if need be."""
        with self._lock:
            self._under_way.pop(item, None)

    def failed(self, address: Any, error: BaseException) -> None:
        """Log why a hand-shake has failed, once a second at most, if the peer has not just gone.

        Args:
            address: The peer's, as `accept` said.
            error: What was raised.
        """
        if not isinstance(error, ssl.SSLError) or isinstance(error, _ENDED):
            return
        now = time.monotonic()
        if now - self._said >= 1.0:
            self._said = now
            host = address[0] if isinstance(address, tuple) else "a local peer"
            reason = getattr(error, "verify_message", "") or (error.reason or str(error)).replace("_", " ").lower()
            _log.info("the hand-shake with %s failed: %s", host, reason)
