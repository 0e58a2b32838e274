"""Who is told of changes, those of other processes included, which a watch notices by looking, twenty times a second.

A look costs half a microsecond when nothing has changed. Between two, the log of the changes says which keys to look at; a watch for
whom the log is too short compares what it knows, a hash for each key, with what is there.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from anycore.store.base import Change, Watch
from anycore.store.errors import StoreError
from anycore.store.lmdb.changes import number, read

if TYPE_CHECKING:
    from collections.abc import Callable

    from anycore.store.lmdb.environment import Environment
    from anycore.store.lmdb.transaction import LmdbTransaction

_INTERVAL: Final = 0.05


class LmdbWatch(Watch):
    """A watch; made by `LmdbStore.watch`.

    Args:
        environment: The map of the store's file.
        prefix: What the keys in question begin with.
        reading: Makes a transaction that reads.
    """

    def __init__(self, environment: Environment, prefix: bytes, reading: Callable[[], LmdbTransaction]) -> None:
        self._environment = environment
        self._prefix = prefix
        self._reading = reading
        self._closed = False
        with reading() as transaction:
            self._looked = self._state()
            self._seen = number(transaction.inner, environment.changes)
            self._known = {key: hash(value) for key, value in transaction.scan(prefix)}

    def poll(self, timeout: float | None = None) -> list[Change]:
        """Return what has changed."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            if self._closed:
                raise StoreError(f"{self._environment.name}: the watch has been closed")
            state = self._state()
            changes = self._look() if state != self._looked else []
            self._looked = state
            left = _INTERVAL if deadline is None else min(_INTERVAL, deadline - time.monotonic())
            if changes or left <= 0:
                return changes
            with self._environment.changed:
                if self._state() == state and not self._closed:
                    self._environment.waiting += 1
                    try:
                        self._environment.changed.wait(left)
                    finally:
                        self._environment.waiting -= 1

    def _state(self) -> int:
        return self._environment.info()["last_txnid"]

    def _look(self) -> list[Change]:
        with self._reading() as transaction:
            self._seen, keys = read(transaction.inner, self._environment.changes, self._seen, self._prefix)
            if keys is None:
                return self._compare(dict(transaction.scan(self._prefix)))
            changes = [Change(key, transaction.get(key)) for key in keys]
        for key, value in changes:
            if value is None:
                self._known.pop(key, None)
            else:
                self._known[key] = hash(value)
        return changes

    def _compare(self, found: dict[bytes, bytes]) -> list[Change]:
        before, self._known = self._known, {key: hash(value) for key, value in found.items()}
        gone = [Change(key, None) for key in before if key not in found]
        return gone + [Change(key, found[key]) for key, known in self._known.items() if before.get(key) != known]

    def close(self) -> None:
        """End the watch."""
        self._closed = True
        self._known = {}
        with self._environment.changed:
            self._environment.changed.notify_all()
