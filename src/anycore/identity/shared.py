"""Which credentials were right just before, in memory that the processes of a server share: a password is checked once, not once by each."""

from __future__ import annotations

import mmap
import secrets
import struct
import time
from hashlib import blake2b
from threading import Lock
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_PLACE: Final = struct.Struct("<16sd")  # digest, and when it ends to count
_PLACES: Final = 4  # in a bucket


class Verified:
    """Digests of credentials that were right, for a while. Shared with processes that are forked from this one, and safe for threads.

    The key of the digests is in this memory alone, so that they say nothing to anybody who reads a copy of them.

    Args:
        seconds: How long they count; 0 for not at all.
        most: How many are kept, about; of those that share a bucket, the one that ends first goes first.
        clock: Returns the time in seconds, the same in all processes.
    """

    def __init__(self, seconds: float, most: int = 8192, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._buckets = max(1, most // _PLACES)
        self._memory = mmap.mmap(-1, self._buckets * _PLACES * _PLACE.size)
        self._lock = Lock()

    def digest(self, *parts: str) -> bytes:
        """Return what credentials are remembered by, with all that they depend on: what has changed since has another digest."""
        made = blake2b(digest_size=16, key=self._key)
        for part in parts:
            raw = part.encode("utf-8", "surrogatepass")
            made.update(b"%d:" % len(raw))
            made.update(raw)
        return made.digest()

    def _places(self, digest: bytes) -> range:
        size = _PLACE.size * _PLACES
        start = int.from_bytes(digest[:8], "little") % self._buckets * size
        return range(start, start + size, _PLACE.size)

    def left(self, digest: bytes) -> float:
        """Return for how many more seconds credentials count; 0 or less when they do not."""
        for place in self._places(digest):
            found, until = _PLACE.unpack_from(self._memory, place)
            if found == digest:
                return float(until - self._clock())
        return 0.0

    def add(self, digest: bytes) -> None:
        """Let credentials count from now on."""
        if not self._seconds:
            return
        places = self._places(digest)
        with self._lock:
            entries = [(_PLACE.unpack_from(self._memory, place), place) for place in places]
            place = next((place for (found, _), place in entries if found == digest), -1)
            if place < 0:
                place = min(entries, key=lambda entry: entry[0][1])[1]
            _PLACE.pack_into(self._memory, place, digest, self._clock() + self._seconds)
