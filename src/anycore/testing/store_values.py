"""Checks of `check_store`: keys and values, one by one and in their order; namespaces and types."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Final

import msgspec

from anycore.store import QuotaError, StoreError, Typed, namespace
from anycore.store.base import MAX_KEY
from anycore.testing.served import expect
from anycore.testing.store_bench import refused

if TYPE_CHECKING:
    from anycore.testing.store_bench import StoreBench

_ODD: Final = (
    b"\0",
    b"\xff",
    b"\xff\xff",
    b"a",
    b"a\0",
    b"a\0b",
    b"a\xff",
    b"aa",
    b"b",
    bytes(range(1, 256)),
    b"k" * MAX_KEY,
)


def keeps_what_it_is_given(bench: StoreBench) -> None:
    """A value is returned as it was put, whatever bytes it and its key have; the last one put counts."""
    store = bench.store
    for number, key in enumerate(_ODD):
        store.put(key, b"old")
        store.put(key, bytes([number]) * number)
    for number, key in enumerate(_ODD):
        expect(store.get(key) == bytes([number]) * number, f"{key[:20]!r} must have the value it was given last")
    expect(store.get(b"another") is None, "a key that was not put must have no value")
    large = b"x" * min(store.max_value, 1 << 20)
    store.put(b"large", large)
    expect(store.get(b"large") == large, "a large value must be kept whole")


def removes_what_it_is_told_to(bench: StoreBench) -> None:
    """A key that is removed is gone; removing tells whether it was there."""
    store = bench.store
    store.put(b"a", b"1")
    expect(store.delete(b"a") is True, "removing a key that is there must return True")
    expect(store.get(b"a") is None, "a key that was removed must be gone")
    expect(store.delete(b"a") is False, "removing a key that is not there must return False")


def refuses_what_cannot_be_a_key(bench: StoreBench) -> None:
    """A key that is empty or too long raises StoreError, one that is not bytes TypeError."""
    store = bench.store
    expect(store.max_key >= MAX_KEY, f"max_key must be at least {MAX_KEY}")
    store.put(b"k" * store.max_key, b"1")
    for key in (b"", b"k" * (store.max_key + 1)):
        refused(StoreError, f"get of a key of {len(key)} bytes", store.get, key)
        refused(StoreError, f"put of a key of {len(key)} bytes", store.put, key, b"1")
        refused(StoreError, f"delete of a key of {len(key)} bytes", store.delete, key)
    refused(TypeError, "get of a str", store.get, "text")
    refused(TypeError, "put of a str", store.put, "text", b"1")


def refuses_what_cannot_be_a_value(bench: StoreBench) -> None:
    """A value that is too long raises StoreError, one that is not bytes TypeError; the old one stays."""
    store = bench.store
    store.put(b"a", b"old")
    refused(StoreError, "a value that is too long", store.put, b"a", bytes(store.max_value + 1))
    for value in ("text", None, 1):
        refused(TypeError, f"the value {value!r}", store.put, b"a", value)
    expect(store.get(b"a") == b"old", "a value that was refused must leave the old one")


def compares_and_sets(bench: StoreBench) -> None:
    """A value is set, or removed, only where there is the value that is expected."""
    store = bench.store
    expect(not store.compare_and_set(b"a", b"1", b"2"), "a key that is not there must not match a value")
    expect(store.compare_and_set(b"a", None, b"1"), "a key that is not there must match None")
    expect(not store.compare_and_set(b"a", None, b"2"), "a key that is there must not match None")
    expect(not store.compare_and_set(b"a", b"", b"2"), "another value must not match")
    expect(store.get(b"a") == b"1", "nothing must be set where nothing matches")
    expect(store.compare_and_set(b"a", b"1", b""), "the value that is there must match")
    expect(store.compare_and_set(b"a", b"", None), "an empty value is a value")
    expect(store.get(b"a") is None, "None for a value must remove the key")
    expect(store.compare_and_set(b"a", None, None), "nothing is what is there")


def scans_in_order(bench: StoreBench) -> None:
    """A scan yields each key that has the prefix once, in the order of their bytes, from `start` on, up to `limit`."""
    store = bench.store
    for key in reversed(_ODD):
        store.put(key, key[::-1])
    prefixes = (b"", b"a", b"a\0", b"\xff", b"\xff\xff", b"zz", b"k" * MAX_KEY)
    for prefix, start, limit in itertools.product(prefixes, (b"", b"a\0", b"b", b"\xff"), (None, 0, 1, 3)):
        wanted = [(key, key[::-1]) for key in sorted(_ODD) if key.startswith(prefix) and key >= start][:limit]
        found = list(store.scan(prefix, start=start, limit=limit))
        expect(
            found == wanted, f"scan({prefix[:9]!r}, start={start!r}, limit={limit}) must be {wanted}, and is {found}"
        )


def scans_while_others_write(bench: StoreBench) -> None:
    """A scan of many keys may be left half way, and holds nobody up; what is there all the time is met once."""
    store = bench.store
    keys = [b"k%05d" % number for number in range(3000)]
    with store.transaction() as transaction:
        for key in keys:
            transaction.put(key, b"v")
    met = []
    for key, _ in store.scan(b"k"):
        met.append(key)
        if len(met) % 1000 == 1:
            store.put(b"other", b"%d" % len(met))
            store.delete(key)
    expect(met == keys, "a scan must meet each key once, in order")
    scan = store.scan(b"k")
    next(scan)
    store.put(b"after", b"1")
    expect(len(list(store.scan(b"k", limit=1500))) == 1500, "a limit above the size of a batch must hold")


def keeps_namespaces_apart(bench: StoreBench) -> None:
    """Namespaces have keys of their own, also when one's name begins another's, and when one is in another."""
    whole = bench.store
    names = ("a", "a/b", "ab", "plugin/echo")
    stores = {name: namespace(whole, name) for name in names}
    stores["inner"] = namespace(stores["a"], "inner")
    for name, store in stores.items():
        for key in (b"k", b"\0", b"\xff" * MAX_KEY):
            store.put(key, name.encode())
    wanted = {
        name: [(b"\0", name.encode()), (b"k", name.encode()), (b"\xff" * MAX_KEY, name.encode())] for name in stores
    }
    found = {name: list(store.scan()) for name, store in stores.items()}
    found["a"] = [item for item in found["a"] if not item[0].startswith(b"inner\0")]
    expect(found == wanted, f"each must have its own keys {wanted}, and has {found}")
    with stores["ab"].watch() as watch:
        stores["a"].put(b"k", b"new")
        stores["ab"].delete(b"k")
        expect(bench.told(watch, 1) == [(b"k", None)], "a watch must tell of changes in its namespace only")
    refused(StoreError, "a name with a NUL byte", namespace, whole, "a\0b")
    refused(StoreError, "a name that is too long", namespace, whole, "n" * 100)


def keeps_to_quotas(bench: StoreBench) -> None:
    """A namespace takes no more than its quota, counts what is replaced, removed and ended, and what is there already."""
    whole = bench.store
    before = namespace(whole, "n")
    before.put(b"b", b"12345", ttl=1e-6)
    before.put(b"a", b"12345")
    bench.until(lambda: before.get(b"b") is None, "a microsecond must pass")
    store = namespace(whole, "n", quota_keys=3, quota_bytes=30)
    store.put(b"b", b"12345", ttl=0.01)
    store.put(b"c", b"12345")
    refused(QuotaError, "a key above the quota", store.put, b"d", b"")
    refused(QuotaError, "bytes above the quota", store.put, b"a", b"x" * 30)
    store.put(b"a", b"x" * 10)
    found = {name: store.figures()[name] for name in ("keys", "bytes")}
    expect(found == {"keys": 3, "bytes": 23}, f"three keys and 23 bytes are there, and it counts {found}")
    bench.until(lambda: store.get(b"b") is None, "a key with a time to live of 10 ms must end")
    whole.expire()
    store.put(b"d", b"1")
    namespace(whole, "n").delete(b"a")  # by one who knows of no quota
    store.put(b"a", b"1" * 20)
    found = {name: store.figures()[name] for name in ("keys", "bytes")}
    expect(found == {"keys": 3, "bytes": 29}, f"three keys and 29 bytes are there, and it counts {found}")


class _Session(msgspec.Struct):
    user: str
    groups: set[str]


def keeps_values_of_a_type(bench: StoreBench) -> None:
    """Typed values come back as they were, can be compared and changed, and bytes that are of another type raise StoreError."""
    store = namespace(bench.store, "typed")
    sessions = Typed(store, _Session)
    first, second = _Session("alice", {"a", "b", "c"}), _Session("alice", set())
    sessions.put(b"1", first)
    expect(sessions.get(b"1") == first, "a typed value must come back as it was")
    expect(
        sessions.compare_and_set(b"1", _Session("alice", {"c", "b", "a"}), second), "equal values must compare equal"
    )
    changed = sessions.update(b"1", lambda value: _Session("bob", {value.user} if value else set()))
    expect(
        changed == _Session("bob", {"alice"}) == sessions.get(b"1"), "a value must be changed to what `change` returns"
    )
    expect(list(sessions.scan()) == [(b"1", changed)], "a typed scan must return values")
    store.put(b"2", b"\xc1 no message pack")
    refused(StoreError, "a value of no such type", sessions.get, b"2")


CHECKS: Final = (
    keeps_what_it_is_given,
    removes_what_it_is_told_to,
    refuses_what_cannot_be_a_key,
    refuses_what_cannot_be_a_value,
    compares_and_sets,
    scans_in_order,
    scans_while_others_write,
    keeps_namespaces_apart,
    keeps_to_quotas,
    keeps_values_of_a_type,
)
