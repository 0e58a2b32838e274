"""A transaction that keeps what it writes until its end. How that is then stored is up to each store."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, NoReturn

from anycore.store.base import Store, Transaction, after, check_key, check_ttl, check_value
from anycore.store.errors import StoreError
from anycore.store.records import STAYS, encode_until, end_of, size_of, visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


class PendingTransaction(Transaction):
    """A transaction that keeps what it writes until its end.

    Args:
        store: The store.
        clock: Tells the time, in seconds since the epoch.
        write: Whether it may write.

    Attributes:
        pending: What has been written: records by key, None for what is removed.
        has_read: Whether what it writes may rest on what it has read.
        plain: Whether all that it writes are values that stay.
    """

    def __init__(self, store: Store, clock: Callable[[], float], *, write: bool) -> None:
        self.pending: dict[bytes, bytes | None] = (
            {} if write else _Refusing(f"{store.name}: this transaction only reads")
        )
        self.has_read = False
        self.plain = True
        self._name = store.name
        self._clock = clock
        self._max_key = store.max_key
        self._max_value = store.max_value

    @abstractmethod
    def _stored(self, key: bytes) -> bytes | None:
        """Return the record of a key, as it was before the transaction."""

    @abstractmethod
    def _stored_from(self, first: bytes, end: bytes | None) -> Iterable[tuple[bytes, bytes]]:
        """Return the keys from the first to before the end, with their records, as they were before the transaction."""

    def _finish(self) -> None:
        self.pending = _Refusing(f"{self._name}: this transaction has ended")

    def _record(self, key: bytes) -> bytes | None:
        check_key(key, self._max_key)
        self.has_read = True
        pending = self.pending
        return pending[key] if key in pending else self._stored(key)

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key, or None when there is none."""
        record = self._record(key)
        return None if record is None else visible(record, self._clock())

    def taken(self, key: bytes) -> int | None:
        """Return how many bytes the value of a key takes."""
        record = self._record(key)
        return None if record is None else size_of(record)

    def ttl(self, key: bytes) -> float | None:
        """Return how many seconds a key has left to live."""
        record = self._record(key)
        end = None if record is None else end_of(record)
        left = None if end is None else end / 1_000_000 - self._clock()
        return left if left is not None and left > 0 else None

    def put(self, key: bytes, value: bytes, *, ttl: float | None = None) -> None:
        """Give a key a value."""
        if (
            ttl is None
            and type(key) is bytes
            and type(value) is bytes
            and 0 < len(key) <= self._max_key
            and len(value) <= self._max_value
        ):
            self.pending[key] = STAYS + value
            return
        self.plain = False
        check_key(key, self._max_key)
        check_value(key, value, self._max_value)
        if ttl is not None:
            check_ttl(key, ttl)
        self.pending[bytes(key)] = STAYS + value if ttl is None else encode_until(value, self._clock() + ttl)

    def delete(self, key: bytes) -> bool:
        """Remove a key."""
        record = self._record(key)
        if record is not None or key in self.pending:
            self.plain = False
            self.pending[key] = None
        elif isinstance(self.pending, _Refusing):
            self.pending.refuse()
        return record is not None and visible(record, self._clock()) is not None

    def sizes(self, prefix: bytes = b"") -> Iterator[tuple[bytes, int]]:
        """Go through the keys that have a prefix, with the bytes that their values take."""
        for key, record in self._seen(prefix, prefix):
            if record is not None:
                yield key, size_of(record)

    def scan(
        self, prefix: bytes = b"", *, start: bytes = b"", limit: int | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        """Go through the keys that have a prefix."""
        left = -1 if limit is None else limit
        if left == 0:
            return
        for key, record in self._seen(prefix, max(prefix, start)):
            value = None if record is None else visible(record, self._clock())
            if value is not None:
                yield key, value
                left -= 1
                if left == 0:
                    return

    def _seen(self, prefix: bytes, first: bytes) -> Iterable[tuple[bytes, bytes | None]]:
        self.has_read = True
        stored = self._stored_from(first, after(prefix))
        added = sorted(key for key in self.pending if key >= first and key.startswith(prefix))
        return self._merged(stored, added) if self.pending else stored

    def _merged(
        self, stored: Iterable[tuple[bytes, bytes]], added: list[bytes]
    ) -> Iterator[tuple[bytes, bytes | None]]:
        added.reverse()
        pending = self.pending
        for key, record in stored:
            while added and added[-1] < key:
                yield added[-1], pending[added.pop()]
            if added and added[-1] == key:
                added.pop()
            yield key, pending.get(key, record)
        while added:
            yield added[-1], pending[added.pop()]


class _Refusing(dict[bytes, "bytes | None"]):
    """What has taken the place of what is written, where nothing may be written."""

    def __init__(self, why: str) -> None:
        super().__init__()
        self._why = why

    def __setitem__(self, key: bytes, value: bytes | None) -> NoReturn:
        self.refuse()

    def refuse(self) -> NoReturn:
        raise StoreError(f"{self._why}: make another one with transaction()")
