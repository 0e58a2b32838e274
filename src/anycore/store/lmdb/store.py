"""The LMDB store as programs use it, and the options of its URL."""

from __future__ import annotations

import re
import time
from itertools import islice
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, unquote

import lmdb

from anycore.store.base import MAX_KEY, MAX_VALUE, NAMESPACE_ROOM, Store, check_key
from anycore.store.errors import StoreError
from anycore.store.lmdb.environment import Environment, Options
from anycore.store.lmdb.shared import ENVIRONMENTS
from anycore.store.lmdb.transaction import LmdbTransaction
from anycore.store.lmdb.watch import LmdbWatch
from anycore.store.records import visible
from anycore.store.usage import forget_removed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from anycore.store.base import Watch

DURABILITIES: Final = ("commit", "integrity", "process")
_BATCH: Final = 1000
_BATCH_BYTES: Final = 4 << 20
_LONGEST: Final = MAX_KEY + NAMESPACE_ROOM
_UNITS: Final = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}


class LmdbStore(Store):
    """A store in a directory, which other processes may use at the same time.

    Args:
        path: The directory; made if it is not there, for this user only.
        durability: What a write that has returned survives. `commit`: the machine losing power. `integrity`: the same, but the last
            transaction may be undone. `process`: the end of this process, however sudden, but not that of the machine, which
            may damage the store.
        max_size: Bytes that the file may have.
        max_value: Bytes that a value may have.
        first_size: Bytes of address space to begin with; more is taken as it is needed.
        clock: Tells the time, in seconds since the epoch.

    Raises:
        StoreError: When it cannot be opened.
    """

    def __init__(
        self,
        path: str,
        *,
        durability: str = "commit",
        max_size: int = Options().max_size,
        max_value: int = MAX_VALUE,
        first_size: int = Options().first_size,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if durability not in DURABILITIES:
            raise StoreError(f"lmdb:{path}: durability={durability!r}: expected one of {', '.join(DURABILITIES)}")
        self._environment = ENVIRONMENTS.take(path, Options(durability, max_size, first_size))
        self._closed = False
        self._clock = clock
        self.name = self._environment.name
        self.max_key = _LONGEST
        self.max_value = max_value

    @property
    def path(self) -> str:
        """The directory."""
        return self._environment.path

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key."""
        environment = self._environment
        active = environment.active
        active.append(None)  # see `environment` for what this and the next are about
        try:
            # Nobody else has the transaction, so it ends with the expression: half the cost of a `with` statement.
            record: bytes | None = environment.begin(environment.records).get(key)
            if record is not None:
                return visible(record, self._clock()) if record[0] else record[1:]
        except lmdb.Error as error:
            problem: lmdb.Error | None = error
        else:
            problem = None
        finally:
            active.pop()
        check_key(key, _LONGEST)  # only now: what cannot be a key is not found, either
        if problem is None:
            return None
        environment.mend(problem)
        return super().get(key)

    def transaction(self, *, write: bool = True) -> LmdbTransaction:
        """Return a transaction."""
        self._refuse_when_closed()
        return LmdbTransaction(self, self._environment, self._clock, write=write)

    def scan(
        self, prefix: bytes = b"", *, start: bytes = b"", limit: int | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        """Go through the keys that have a prefix, in batches of a thousand keys or 4 MiB."""
        left = limit
        while left is None or left > 0:
            wanted = _BATCH if left is None else min(left, _BATCH)
            with self.transaction(write=False) as transaction:
                batch = transaction.batch(prefix, max(prefix, start), wanted, _BATCH_BYTES)
            yield from batch
            if not batch or (len(batch) < wanted and not transaction.cut_short):
                return
            left = None if left is None else left - len(batch)
            start = batch[-1][0] + b"\0"

    def watch(self, prefix: bytes = b"") -> Watch:
        """Return what is told of all changes from now on, those of other processes included."""
        self._refuse_when_closed()
        return LmdbWatch(self._environment, prefix, lambda: self.transaction(write=False))

    def expire(self) -> int:
        """Remove the keys whose time to live has ended, a thousand in one transaction, and readers of processes that are gone."""
        self._environment.check_readers()
        count, more = 0, True
        while more:
            found, more = self._expire_some()
            count += found
        return count

    def _expire_some(self) -> tuple[int, bool]:
        now = int(self._clock() * 1_000_000)
        with self.transaction(write=False) as looking:
            if not any(True for _ in looking.ended(now)):
                return 0, False
        with self.transaction() as transaction:
            entries = list(islice(transaction.ended(now), _BATCH))
            keys = {key for _, key in entries if key is not None}
            sizes = {key: transaction.taken(key) or 0 for key in keys}
            transaction.pending.update(dict.fromkeys(keys))
            transaction.plain = False
            transaction.stale_ends.extend(entry for entry, key in entries if key is None)
            forget_removed(transaction, sizes)
        return len(keys), len(entries) == _BATCH

    def figures(self) -> dict[str, int]:
        """Return figures for operators.

        `keys`; `bytes` that they and their values take, whole pages; `ending`, keys with a time to live; `file_bytes`;
        `max_bytes`; `readers`, transactions that read at this moment or have; `transactions` so far.
        """
        environment = self._environment
        with self.transaction(write=False) as transaction:
            records, ends = (transaction.inner.stat(which) for which in (environment.records, environment.ends))
            about = environment.info()
        pages = records["branch_pages"] + records["leaf_pages"] + records["overflow_pages"]
        return {
            "keys": records["entries"],
            "bytes": pages * records["psize"],
            "ending": ends["entries"],
            "file_bytes": (about["last_pgno"] + 1) * records["psize"],
            "max_bytes": self._environment.options.max_size,
            "readers": about["num_readers"],
            "transactions": about["last_txnid"],
        }

    def close(self) -> None:
        """Close the store; the file is closed with the last store of this process that uses it."""
        if not self._closed:
            self._closed = True
            environment = self._environment
            self._environment = Environment(environment.path, environment.options)  # which is not open
            ENVIRONMENTS.give_back(environment)

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise StoreError(f"{self.name}: the store has been closed")


def open_url(rest: str) -> LmdbStore:
    """Open the store of an URL `lmdb:PATH`, with options: `?durability=process&max_size=10GiB&max_value=64MiB`.

    Args:
        rest: What comes after `lmdb:`; characters of the path that mean something in an URL are written as `%3F`.

    Raises:
        StoreError: When the URL is wrong, or the store cannot be opened.
    """
    path, _, query = rest.partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    durability = options.pop("durability", "commit")
    max_size = _size("max_size", options.pop("max_size", "1TiB"))
    max_value = _size("max_value", options.pop("max_value", "16MiB"))
    if options:
        raise StoreError(
            f"a store 'lmdb:{rest}': no option {next(iter(options))!r}: expected durability, max_size or max_value"
        )
    if not path:
        raise StoreError(f"a store 'lmdb:{rest}': expected the path of a directory, as in lmdb:/var/lib/anycore/store")
    return LmdbStore(unquote(path), durability=durability, max_size=max_size, max_value=max_value)


def _size(name: str, text: str) -> int:
    found = re.fullmatch(r"(\d{1,12})((?:[KMGT]iB)?)", text)
    if not found or not int(found[1]):
        raise StoreError(f"a store with {name}={text}: expected bytes, or a number with KiB, MiB, GiB or TiB")
    return int(found[1]) * _UNITS[found[2]]
