"""A transaction of an LMDB store: what it reads comes from LMDB's transaction, what it writes goes there at its end, all at once."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Self

import lmdb

from anycore.store.base import after
from anycore.store.errors import StoreError
from anycore.store.lmdb.changes import note
from anycore.store.pending import PendingTransaction
from anycore.store.records import end_of, index_key, visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from anycore.store.base import Store
    from anycore.store.lmdb.environment import Environment


class LmdbTransaction(PendingTransaction):
    """A transaction; also the `with` statement's context.

    Args:
        store: The store.
        environment: Its map.
        clock: Tells the time, in seconds since the epoch.
        write: Whether it may write.

    Attributes:
        environment: The map.
        stale_ends: Index entries to be removed with it whose record has been replaced.
        cut_short: Whether the last batch was cut short for its size.
    """

    def __init__(self, store: Store, environment: Environment, clock: Callable[[], float], *, write: bool) -> None:
        super().__init__(store, clock, write=write)
        self.environment = environment
        self._write = write
        self._thread = 0
        self._active: list[None] = []
        self._inner: Any = None
        self._begun = False
        self._applying = False
        self.stale_ends: list[bytes] = []
        self.cut_short = False

    def __enter__(self) -> Self:
        environment = self.environment
        self._thread = threading.get_ident()
        if self._write:
            environment.hold_write_lock()
            try:
                environment.make_room()
                self._begin()
            except BaseException:
                environment.release_write_lock()
                raise
        else:
            self._begin()
            environment.count_reader(self._thread, 1)
        return self

    def _begin(self) -> None:
        self._inner = self.environment.start(write=self._write)
        self._active = self.environment.active
        self._begun = True

    def _end(self) -> None:
        """Leave LMDB's transaction, undone unless it has been committed."""
        inner, self._inner, self._begun = self._inner, None, False
        try:
            if not self._write:
                inner.abort()
            elif self._applying:
                self.environment.undo(inner)
            elif inner is not None:
                inner.commit()  # of nothing, which undoes it as well, and at once
        finally:
            self._applying = False
            self._active.pop()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        environment, pending = self.environment, self.pending
        if self._active is not environment.active:
            raise StoreError(
                f"{self._name}: the process was forked in a transaction, which is its parent's: leave it alone"
            )
        self._finish()
        if not self._write:
            self._end()
            environment.count_reader(self._thread, -1)
            return
        try:
            if kind is None and (pending or self.stale_ends):
                self._commit(pending)
        finally:
            if self._begun:
                self._end()
            environment.release_write_lock()
        if environment.waiting:
            with environment.changed:
                environment.changed.notify_all()

    def _commit(self, pending: dict[bytes, bytes | None]) -> None:
        removing, turned = not any(pending.values()), False
        while True:
            number = self._inner.id()
            self._applying = True
            try:
                self._apply(pending)
                self._inner.commit()
                self._applying = False
                break
            except lmdb.MapFullError as error:
                self._end()
                if not self.environment.larger(removing=removing):
                    if turned:
                        raise self.environment.explain(error) from error
                    turned = True
                    number = number + 1 if self.environment.turn() == number else 0
            except lmdb.Error as error:
                raise self.environment.explain(error) from error
            self._begin()
            if self.has_read and self._inner.id() != number:
                raise StoreError(
                    f"{self._name}: another process wrote while room was made for this transaction, of which nothing has been stored: "
                    "do it again"
                )
        self._inner = None
        self._end()
        if removing:
            self.environment.leave_reserve()

    def _apply(self, pending: dict[bytes, bytes | None]) -> None:
        """Write into LMDB's transaction; what goes wrong here leaves nothing behind, as it is never committed."""
        inner, environment = self._inner, self.environment
        if not self.plain:
            self._apply_one_by_one(pending)
        elif len(pending) == 1:
            inner.put(*next(iter(pending.items())))
        elif pending:
            with inner.cursor() as cursor:
                cursor.putmulti(pending.items())
        for entry in self.stale_ends:
            inner.delete(entry, db=environment.ends)
        if pending:
            note(inner, environment.changes, pending)

    def _apply_one_by_one(self, pending: dict[bytes, bytes | None]) -> None:
        inner, ends = self._inner, self.environment.ends
        for key, record in pending.items():
            end = None if record is None else end_of(record)
            if record is None or end is not None:
                self._forget_end(key)
            if record is None:
                inner.delete(key)
                continue
            inner.put(key, record)
            if end is not None:
                inner.put(index_key(end, key), b"", db=ends)

    def _forget_end(self, key: bytes) -> None:
        """Remove the index entry of a record that is to go. One that is only replaced by another that stays keeps it until then."""
        old = self._inner.get(key)
        end = None if old is None else end_of(old)
        if end is not None:
            self._inner.delete(index_key(end, key), db=self.environment.ends)

    def _stored(self, key: bytes) -> bytes | None:
        try:
            found: bytes | None = self.inner.get(key)
        except lmdb.Error as error:
            raise self.environment.explain(error) from error
        return found

    def _stored_from(self, first: bytes, end: bytes | None) -> Iterator[tuple[bytes, bytes]]:
        try:
            with self.inner.cursor() as cursor:
                if not (cursor.set_range(first) if first else cursor.first()):
                    return
                for key, record in cursor:
                    if end is not None and key >= end:
                        return
                    yield key, record
        except lmdb.Error as error:
            raise self.environment.explain(error) from error

    def batch(self, prefix: bytes, first: bytes, limit: int, size: int) -> list[tuple[bytes, bytes]]:
        """Return what a scan begins with; of a transaction that has written nothing. `cut_short` tells whether it is for its size.

        Args:
            prefix: What the keys begin with.
            first: Leave out keys before this one.
            limit: How many to return at most.
            size: Bytes of values after which it is enough.
        """
        found: list[tuple[bytes, bytes]] = []
        append, now, self.cut_short = found.append, self._clock(), False
        for key, record in self._stored_from(first, after(prefix)):
            if record[0]:
                value = visible(record, now)
                if value is None:
                    continue
            else:
                value = record[1:]
            append((key, value))
            size -= len(record)
            if len(found) == limit or size < 0:
                self.cut_short = size < 0
                break
        return found

    @property
    def inner(self) -> Any:
        """LMDB's transaction.

        Raises:
            StoreError: When it has ended.
        """
        if self._inner is None:
            raise StoreError(f"{self._name}: this transaction has ended: make another one with transaction()")
        return self._inner

    def ended(self, now: int) -> Iterator[tuple[bytes, bytes | None]]:
        """Return what the index says has ended: the entry, and the key of the record where it is right, or None.

        Args:
            now: The time, in microseconds since the epoch.
        """
        with self.inner.cursor(self.environment.ends) as cursor:
            for entry in cursor.iternext(keys=True, values=False):
                if int.from_bytes(entry[:8], "big") > now:
                    return
                record = self._stored(entry[8:])
                right = record is not None and end_of(record) == int.from_bytes(entry[:8], "big")
                yield entry, entry[8:] if right else None
