"""What is measured: each target does the same four things, in the way its own documentation suggests."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import lmdb

from anycore.store import Store, namespace
from anycore.store.lmdb.store import LmdbStore

Items = Sequence[tuple[bytes, bytes]]
MAP_SIZE = 1 << 32


class Target(Protocol):
    """Something that keeps values."""

    def get(self, keys: Sequence[bytes]) -> None:
        """Read values, each by itself."""

    def put(self, items: Items) -> None:
        """Write values, each by itself."""

    def put_together(self, items: Items) -> None:
        """Write values in one transaction."""

    def scan(self) -> int:
        """Read all, in the order of the keys where there is one, and return how many there were."""

    def close(self) -> None:
        """Be done."""


class OurStore:
    """Anycore's store, or a namespace of it."""

    def __init__(self, folder: Path, *, durability: str, name: str = "", quota: int | None = None) -> None:
        self._whole = LmdbStore(str(folder), durability=durability)
        self._store: Store = namespace(self._whole, name, quota_keys=quota) if name else self._whole

    def get(self, keys: Sequence[bytes]) -> None:
        get = self._store.get
        for key in keys:
            if get(key) is None:
                raise KeyError(key)

    def put(self, items: Items) -> None:
        put = self._store.put
        for key, value in items:
            put(key, value)

    def put_together(self, items: Items) -> None:
        with self._store.transaction() as transaction:
            put = transaction.put
            for key, value in items:
                put(key, value)

    def scan(self) -> int:
        return sum(1 for _ in self._store.scan())

    def close(self) -> None:
        self._whole.close()


class RawLmdb:
    """lmdb as its documentation shows it: a transaction in a `with` statement, one named database."""

    def __init__(self, folder: Path, *, sync: bool) -> None:
        self._environment = lmdb.open(str(folder), map_size=MAP_SIZE, max_dbs=2, sync=sync)
        self._database = self._environment.open_db(b"records")

    def get(self, keys: Sequence[bytes]) -> None:
        begin, database = self._environment.begin, self._database
        for key in keys:
            with begin(db=database) as transaction:
                if transaction.get(key) is None:
                    raise KeyError(key)

    def put(self, items: Items) -> None:
        begin, database = self._environment.begin, self._database
        for key, value in items:
            with begin(db=database, write=True) as transaction:
                transaction.put(key, value)

    def put_together(self, items: Items) -> None:
        with self._environment.begin(db=self._database, write=True) as transaction:
            put = transaction.put
            for key, value in items:
                put(key, value)

    def scan(self) -> int:
        with self._environment.begin(db=self._database) as transaction:
            return sum(1 for _ in transaction.cursor())

    def close(self) -> None:
        self._environment.close()


class Sqlite:
    """sqlite3 with a write-ahead log: NORMAL survives the end of the process, FULL that of the machine."""

    def __init__(self, folder: Path, *, synchronous: str) -> None:
        self._connection = sqlite3.connect(folder / "sqlite3", isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute(f"PRAGMA synchronous={synchronous}")
        self._connection.execute("CREATE TABLE records (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID")

    def get(self, keys: Sequence[bytes]) -> None:
        execute = self._connection.execute
        for key in keys:
            if execute("SELECT value FROM records WHERE key = ?", (key,)).fetchone() is None:
                raise KeyError(key)

    def put(self, items: Items) -> None:
        execute = self._connection.execute
        for item in items:
            execute("INSERT OR REPLACE INTO records VALUES (?, ?)", item)

    def put_together(self, items: Items) -> None:
        self._connection.execute("BEGIN")
        self._connection.executemany("INSERT OR REPLACE INTO records VALUES (?, ?)", items)
        self._connection.execute("COMMIT")

    def scan(self) -> int:
        return sum(1 for _ in self._connection.execute("SELECT key, value FROM records ORDER BY key"))

    def close(self) -> None:
        self._connection.close()


class DbmGnu:
    """dbm.gnu, for one process, without transactions and without order. It says nothing of machines that lose power."""

    def __init__(self, folder: Path) -> None:
        import dbm.gnu

        self._file: Any = dbm.gnu.open(str(folder / "gdbm"), "cf")  # noqa: SIM115 - closed by close()

    def get(self, keys: Sequence[bytes]) -> None:
        file = self._file
        for key in keys:
            file[key]

    def put(self, items: Items) -> None:
        file = self._file
        for key, value in items:
            file[key] = value

    def put_together(self, items: Items) -> None:
        self.put(items)

    def scan(self) -> int:
        count, key = 0, self._file.firstkey()
        while key is not None:
            self._file[key]
            count, key = count + 1, self._file.nextkey(key)
        return count

    def close(self) -> None:
        self._file.close()


Factory = Callable[[Path], Target]
RAW = "raw lmdb"
PROCESS: dict[str, Factory] = {
    RAW: lambda folder: RawLmdb(folder, sync=False),
    "anycore": lambda folder: OurStore(folder, durability="process"),
    "anycore, a namespace": lambda folder: OurStore(folder, durability="process", name="plugin/bench"),
    "anycore, with a quota": lambda folder: OurStore(folder, durability="process", name="plugin/bench", quota=10**9),
    "sqlite3": lambda folder: Sqlite(folder, synchronous="NORMAL"),
    "dbm.gnu": DbmGnu,
}
"""What survives the end of the process."""
COMMIT: dict[str, Factory] = {
    RAW: lambda folder: RawLmdb(folder, sync=True),
    "anycore": lambda folder: OurStore(folder, durability="commit"),
    "anycore, a namespace": lambda folder: OurStore(folder, durability="commit", name="plugin/bench"),
    "sqlite3": lambda folder: Sqlite(folder, synchronous="FULL"),
}
"""What survives the machine losing power."""
