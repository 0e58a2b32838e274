"""What an operator does to an LMDB store: check it, and give the room of removed keys back to the disk."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import lmdb

from anycore.store.errors import StoreError
from anycore.store.lmdb.environment import GUARD
from anycore.store.lmdb.problems import explain
from anycore.store.lmdb.shared import ENVIRONMENTS
from anycore.store.records import end_of, index_key, read_index_key
from anycore.store.usage import count, counted, read_usage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anycore.store.lmdb.store import LmdbStore
    from anycore.store.lmdb.transaction import LmdbTransaction


def check(store: LmdbStore) -> list[str]:
    """Read everything there is, as it is at this moment, and see whether it fits together. Others may go on using the store.

    Args:
        store: The store.

    Returns:
        What is wrong, one sentence each.
    """
    with store.transaction(write=False) as transaction:
        return [*_check_records(transaction), *_check_ends(transaction), *_check_counts(transaction)]


def _check_records(transaction: LmdbTransaction) -> Iterator[str]:
    ends = transaction.environment.ends
    for key, record in transaction.inner.cursor():
        try:
            end = end_of(record)
        except StoreError as error:
            yield f"{key!r}: {error}"
            continue
        if end is not None and transaction.inner.get(index_key(end, key), db=ends) is None:
            yield f"{key!r} ends, but nobody would remove it then: put it again"


def _check_ends(transaction: LmdbTransaction) -> Iterator[str]:
    for entry, value in transaction.inner.cursor(transaction.environment.ends):
        if not read_index_key(entry)[1] or value:
            yield f"the entry {entry!r} of what ends makes no sense; load a dump into a new store"


def _check_counts(transaction: LmdbTransaction) -> Iterator[str]:
    for prefix in counted(transaction):
        noted, there = read_usage(transaction, prefix), count(transaction, prefix)
        if noted != there:
            yield f"the namespace {prefix[:-1].decode()!r} has {there}, but {noted} is noted; load a dump into a new store"


def compact(path: str) -> tuple[int, int]:
    """Write a store anew, without the room of what was removed. Nobody may use it meanwhile; who opens it waits.

    Args:
        path: The directory of the store.

    Returns:
        The bytes of its file before and after.

    Raises:
        StoreError: When somebody uses it, or it cannot be written; it is as it was then.
    """
    directory = Path(path).absolute()
    data = directory / "data.mdb"
    if ENVIRONMENTS.holds(path):
        raise StoreError(f"lmdb:{path}: this process has it open: close it first")
    if not data.exists():
        raise StoreError(f"lmdb:{path}: there is no store: nothing has been written to it yet, or it is elsewhere")
    guard = os.open(directory / GUARD, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return _compact(directory, data)
    except BlockingIOError as error:
        raise StoreError(f"lmdb:{path}: another process uses it: stop the server first") from error
    except (OSError, lmdb.Error) as error:
        raise explain(error, path, 0) from error
    finally:
        os.close(guard)


def _compact(directory: Path, data: Path) -> tuple[int, int]:
    before, place = data.stat().st_size, directory / "compacted"
    shutil.rmtree(place, ignore_errors=True)  # of an attempt that was cut short
    place.mkdir(mode=0o700)
    try:
        with lmdb.open(str(directory), readonly=True, lock=False, create=False) as opened:
            opened.copy(str(place), compact=True)
        made = place / "data.mdb"
        made.chmod(data.stat().st_mode & 0o777)
        _sync(made)
        made.replace(data)
        _sync(directory)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return before, data.stat().st_size


def _sync(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
