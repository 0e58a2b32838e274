"""The store in memory: for tests and for what need not outlive the process. Other processes see nothing of it."""

from __future__ import annotations

import math
import threading
import time
from bisect import bisect_left, insort
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from anycore.store.base import (
    MAX_KEY,
    MAX_VALUE,
    NAMESPACE_ROOM,
    Change,
    Store,
    Transaction,
    Watch,
    after,
    check_key,
    check_ttl,
    check_value,
)
from anycore.store.errors import StoreError
from anycore.store.usage import forget_removed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class _Record(NamedTuple):
    value: bytes
    ends: float  # seconds since the epoch


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
        self.clock = clock
        self.changed = threading.Condition()
        self.watches: list[_MemoryWatch] = []
        self.records: dict[bytes, _Record] = {}
        self.keys: list[bytes] = []
        self.closed = False
        self._writing = threading.Lock()
        self._writer: int | None = None

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key."""
        self.refuse_when_closed()
        check_key(key, self.max_key)
        record = self.records.get(key)
        return record.value if record is not None and record.ends > self.clock() else None

    @contextmanager
    def transaction(self, *, write: bool = True) -> Iterator[Transaction]:
        """Return a transaction."""
        self.refuse_when_closed()
        if not write:
            with self.changed:  # both of one state; a commit replaces them and changes neither
                snapshot = _MemoryTransaction(self, self.records, self.keys, write=False)
            yield snapshot
            return
        if self._writer == threading.get_ident():
            raise StoreError("memory: this thread is in a transaction already: use the transaction's methods")
        with self._writing:
            self._writer = threading.get_ident()
            try:
                made = _MemoryTransaction(self, self.records, self.keys, write=True)
                yield made
                self._commit(made.pending)
            finally:
                self._writer = None

    def _commit(self, pending: dict[bytes, _Record | None]) -> None:
        if not pending:
            return
        records, keys = dict(self.records), list(self.keys)
        for key, record in pending.items():
            if record is None:
                if records.pop(key, None) is not None:
                    del keys[bisect_left(keys, key)]
            else:
                if key not in records:
                    insort(keys, key)
                records[key] = record
        with self.changed:
            self.records, self.keys = records, keys
            for watch in self.watches:
                watch.changed.update(dict.fromkeys(key for key in pending if key.startswith(watch.prefix)))
            self.changed.notify_all()

    def watch(self, prefix: bytes = b"") -> Watch:
        """Return what is told of all changes from now on."""
        self.refuse_when_closed()
        return _MemoryWatch(self, prefix)

    def expire(self) -> int:
        """Remove the keys whose time to live has ended."""
        now = self.clock()
        with self.transaction() as transaction:
            assert isinstance(transaction, _MemoryTransaction)
            ended = {key: len(record.value) for key, record in self.records.items() if record.ends <= now}
            transaction.pending.update(dict.fromkeys(ended))
            forget_removed(transaction, ended)
        return len(ended)

    def figures(self) -> dict[str, int]:
        """Return how many keys there are, and how many bytes they and their values have."""
        self.refuse_when_closed()
        records = self.records
        return {"keys": len(records), "bytes": sum(len(key) + len(found.value) for key, found in records.items())}

    def close(self) -> None:
        """Close the store, and forget what is in it."""
        with self.changed:
            self.closed = True
            self.records, self.keys = {}, []
            self.changed.notify_all()

    def refuse_when_closed(self) -> None:
        """Raise StoreError when the store has been closed."""
        if self.closed:
            raise StoreError("memory: the store has been closed")


class _MemoryTransaction(Transaction):
    def __init__(self, store: MemoryStore, records: dict[bytes, _Record], keys: list[bytes], *, write: bool) -> None:
        self._store = store
        self._records = records
        self._keys = keys
        self._write = write
        self.pending: dict[bytes, _Record | None] = {}

    def _find(self, key: bytes) -> _Record | None:
        check_key(key, self._store.max_key)
        return self.pending[key] if key in self.pending else self._records.get(key)

    def get(self, key: bytes) -> bytes | None:
        record = self._find(key)
        return record.value if record is not None and record.ends > self._store.clock() else None

    def taken(self, key: bytes) -> int | None:
        record = self._find(key)
        return None if record is None else len(record.value)

    def put(self, key: bytes, value: bytes, *, ttl: float | None = None) -> None:
        self._refuse_when_reading()
        check_key(key, self._store.max_key)
        check_value(key, value, self._store.max_value)
        if ttl is not None:
            check_ttl(key, ttl)
        self.pending[key] = _Record(value, math.inf if ttl is None else self._store.clock() + ttl)

    def delete(self, key: bytes) -> bool:
        self._refuse_when_reading()
        there = self.get(key) is not None
        self.pending[key] = None
        return there

    def scan(
        self, prefix: bytes = b"", *, start: bytes = b"", limit: int | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        end = after(prefix)
        first = max(prefix, start)
        low = bisect_left(self._keys, first)
        keys = self._keys[low : None if end is None else bisect_left(self._keys, end)]
        added = {key for key in self.pending if key >= first and key.startswith(prefix)}
        for key in sorted(added.union(keys)) if added else keys:
            if limit is not None and limit <= 0:
                return
            value = self.get(key)
            if value is not None:
                limit = None if limit is None else limit - 1
                yield key, value

    def _refuse_when_reading(self) -> None:
        if not self._write:
            raise StoreError("memory: this transaction only reads: make it with transaction(write=True)")


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
