"""What an operator does: checking finds what is wrong, compacting loses nothing. Also see the tests of `anycore store`."""

from __future__ import annotations

from pathlib import Path

import pytest

from anycore.store import StoreError, namespace
from anycore.store.lmdb.maintenance import check, compact
from anycore.store.lmdb.store import LmdbStore
from anycore.store.usage import Usage, write_usage


def test_a_store_in_order_has_no_problems(store: LmdbStore) -> None:
    part = namespace(store, "n", quota_keys=10)
    part.put(b"a", b"1", ttl=1000)
    part.put(b"a", b"2")
    part.put(b"b", b"1", ttl=1e-6)
    part.put(b"c", b"1")
    assert check(store) == []


def test_what_does_not_fit_together_is_found(store: LmdbStore) -> None:
    part = namespace(store, "n", quota_keys=10)
    part.put(b"a", b"1", ttl=1000)
    environment = store._environment
    with store.transaction() as transaction:
        write_usage(transaction, b"n\0", Usage(7, 7))
        with transaction.inner.cursor(environment.ends) as cursor:
            cursor.first()
            cursor.delete()
        transaction.inner.put(b"\0" * 8, b"", db=environment.ends)
    first, second, third = check(store)
    assert first == r"b'n\x00a' ends, but nobody would remove it then: put it again"
    assert second.startswith(r"the entry b'\x00\x00\x00\x00\x00\x00\x00\x00' of what ends makes no sense")
    assert third.startswith("the namespace 'n' has Usage(keys=1, bytes=2), but Usage(keys=7, bytes=7) is noted")


def test_compacting_keeps_all_there_is(path: str) -> None:
    with LmdbStore(path) as store:
        with store.transaction() as transaction:
            for number in range(3000):
                transaction.put(b"%d" % number, b"x" * 500, ttl=None if number % 2 else 1e6)
        with store.transaction() as transaction:
            for number in range(100, 3000):
                transaction.delete(b"%d" % number)
        wanted = list(store.scan())
    before, after = compact(path)
    assert after < before / 5
    assert sorted(file.name for file in Path(path).iterdir()) == ["data.mdb", "guard", "lock.mdb"]
    with LmdbStore(path) as store, store.watch() as watch:
        assert list(store.scan()) == wanted
        assert check(store) == []
        store.put(b"new", b"1")
        assert watch.poll(0) == [(b"new", b"1")]


def test_what_is_not_there_is_not_compacted(path: str) -> None:
    with pytest.raises(StoreError, match="there is no store"):
        compact(path)
