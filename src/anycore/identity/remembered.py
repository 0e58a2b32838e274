"""A bounded memory of what was found out about credentials, by digests of them: no password or token is kept."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from hashlib import blake2b
from threading import Lock
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

V = TypeVar("V")
_DIGEST: Final = 16  # bytes: two credentials with one digest are out of reach, as the key is not known to anybody


class Remembered(Generic[V]):
    """What was found out about credentials, for a while. Safe for threads.

    Args:
        seconds: How long something is remembered; 0 for not at all.
        most: How many are remembered; the oldest goes first.
        clock: Returns the time in seconds.
    """

    def __init__(self, seconds: float, most: int = 4096, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._most = most
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._found: OrderedDict[bytes, tuple[float, V]] = OrderedDict()
        self._lock = Lock()

    def digest(self, text: str) -> bytes:
        """Return what credentials are remembered by; it says nothing of them to whoever reads this process's memory later."""
        return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_DIGEST, key=self._key).digest()

    def get(self, digest: bytes, longer: float = 0.0) -> V | None:
        """Return what is remembered, or None.

        Args:
            digest: What `digest` returned.
            longer: For how many more seconds it must be remembered.
        """
        found = self._found.get(digest)  # takes no lock: a look at a dict is one step
        if found is None:
            return None
        left = found[0] - self._clock()
        if left <= longer:
            if left > 0:
                return None
            with self._lock:
                if self._found.get(digest) is found:
                    del self._found[digest]
            return None
        return found[1]

    def put(self, digest: bytes, value: V) -> None:
        """Remember something."""
        if not self._seconds:
            return
        with self._lock:
            self._found[digest] = (self._clock() + self._seconds, value)
            self._found.move_to_end(digest)
            while len(self._found) > self._most:
                self._found.popitem(last=False)

    def drop(self, digest: bytes) -> None:
        """Forget something."""
        with self._lock:
            self._found.pop(digest, None)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._found.clear()

    def __len__(self) -> int:
        return len(self._found)
