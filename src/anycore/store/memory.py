"""The store in memory: for tests and for what need not outlive the process. Other processes see nothing of it."""

from __future__ import annotations

import threading
import time
from bisect import bisect_left, insort
from contextlib import contextmanager
from typing import TYPE_CHECKING

from anycore.store.base import MAX_KEY, MAX_VALUE, NAMESPACE_ROOM, Change, Store, Transaction, Watch, check_key
from anycore.store.errors import StoreError
from anycore.store.pending import PendingTransaction
from anycore.store.records import size_of, visible
from anycore.store.usage import forget_removed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class MemoryStore(Store):
    """A store in memory.

    Args:
        max_value: Bytes that a value may have.
        clock: Tells the time, in seconds since the epoch.
    """

    def __init__(self, *, max_value: int = MAX_VALUE, clock: Callable[[], float] = time.time) -> None:
        self.name = "memory:"
        self.max_key = MAX_KEY + NAMESPACE_ROOM
        self.max_value = max_value
        self.changed = threading.Condition()
        self.watches: list[_MemoryWatch] = []
        self._clock = clock
        self._records: dict[bytes, bytes] = {}
        self._keys: list[bytes] = []
        self._snapshots = 0  # transactions that read these two, which a commit then replaces instead of changing them
        self._closed = False
        self._writing = threading.Lock()
        self._writer: int | None = None

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key."""
        self.refuse_when_closed()
        check_key(key, self.max_key)
        record = self._records.get(key)
        return None if record is None else visible(record, self._clock())

    @contextmanager
    def transaction(self, *, write: bool = True) -> Iterator[Transaction]:
        """Return a transaction."""
        self.refuse_when_closed()
        if not write:
            with self.changed:
                snapshot = _MemoryTransaction(self, self._clock, self._records, self._keys, write=False)
                self._snapshots += 1
            try:
                yield snapshot
            finally:
                snapshot.finish()
                with self.changed:
                    self._snapshots -= 1
            return
        if self._writer == threading.get_ident():
            raise StoreError("memory: this thread is in a transaction already: use the methods of that")
        with self._writing:
            self._writer = threading.get_ident()
            made = _MemoryTransaction(self, self._clock, self._records, self._keys, write=True)
            try:
                yield made
                self.refuse_when_closed()
                self._commit(made.pending)
            finally:
                made.finish()
                self._writer = None

    def _commit(self, pending: dict[bytes, bytes | None]) -> None:
        with self.changed:
            if self._snapshots:
                self._records, self._keys = dict(self._records), list(self._keys)
            for key, record in pending.items():
                if record is None:
                    if self._records.pop(key, None) is not None:
                        del self._keys[bisect_left(self._keys, key)]
                else:
                    if key not in self._records:
                        insort(self._keys, key)
                    self._records[key] = record
            for watch in self.watches:
                watch.changed.update(dict.fromkeys(key for key in pending if key.startswith(watch.prefix)))
            self.changed.notify_all()

    def watch(self, prefix: bytes = b"") -> Watch:
        """Return what is told of all changes from now on."""
        self.refuse_when_closed()
        return _MemoryWatch(self, prefix)

    def expire(self) -> int:
        """Remove the keys whose time to live has ended."""
        now = self._clock()
        with self.transaction() as transaction:
            assert isinstance(transaction, _MemoryTransaction)
            ended = {key: size_of(record) for key, record in self._records.items() if visible(record, now) is None}
            transaction.pending.update(dict.fromkeys(ended))
            forget_removed(transaction, ended)
        return len(ended)

    def figures(self) -> dict[str, int]:
        """Return how many keys there are, and how many bytes they and their values have."""
        self.refuse_when_closed()
        records = self._records
        return {"keys": len(records), "bytes": sum(len(key) + size_of(record) for key, record in records.items())}

    def close(self) -> None:
        """Close the store, and forget what is in it."""
        with self.changed:
            self._closed = True
            self._records, self._keys = {}, []
            self.changed.notify_all()

    @property
    def closed(self) -> bool:
        """Whether the store has been closed."""
        return self._closed

    def refuse_when_closed(self) -> None:
        """Raise StoreError when the store has been closed."""
        if self._closed:
            raise StoreError("memory: the store has been closed")


class _MemoryTransaction(PendingTransaction):
    def __init__(
        self,
        store: MemoryStore,
        clock: Callable[[], float],
        records: dict[bytes, bytes],
        keys: list[bytes],
        *,
        write: bool,
    ) -> None:
        super().__init__(store, clock, write=write)
        self._records: dict[bytes, bytes] | None = records
        self._keys = keys

    def _stored(self, key: bytes) -> bytes | None:
        return self._now().get(key)

    def _stored_from(self, first: bytes, end: bytes | None) -> Iterator[tuple[bytes, bytes]]:
        self._now()
        low = bisect_left(self._keys, first)
        high = len(self._keys) if end is None else bisect_left(self._keys, end)
        return ((key, self._now()[key]) for key in self._keys[low:high])

    def _now(self) -> dict[bytes, bytes]:
        if self._records is None:
            raise StoreError("memory: this transaction has ended: make another one with transaction()")
        return self._records

    def finish(self) -> None:
        self._finish()
        self._records = None


class _MemoryWatch(Watch):
    def __init__(self, store: MemoryStore, prefix: bytes) -> None:
        self._store = store
        self._closed = False
        self.prefix = prefix
        self.changed: dict[bytes, None] = {}
        with store.changed:
            store.watches.append(self)

    def poll(self, timeout: float | None = None) -> list[Change]:
        with self._store.changed:
            self._store.changed.wait_for(lambda: self.changed or self._closed or self._store.closed, timeout)
            if self._closed:
                raise StoreError("memory: the watch has been closed")
            self._store.refuse_when_closed()
            keys, self.changed = self.changed, {}
            return [Change(key, self._store.get(key)) for key in keys]

    def close(self) -> None:
        with self._store.changed:
            self._closed = True
            if self in self._store.watches:
                self._store.watches.remove(self)
            self._store.changed.notify_all()


def open_url(rest: str) -> MemoryStore:
    """Open the store of the URL `memory:`.

    Args:
        rest: What comes after `memory:`.

    Raises:
        StoreError: When that is not empty.
    """
    if rest:
        raise StoreError(f"a store 'memory:{rest}': a store in memory has no path and no options; write memory:")
    return MemoryStore()
