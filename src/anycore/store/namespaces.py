"""A part of a store that is a store itself, with keys of its own and, where wanted, a quota.

The keys of the namespace `name` begin, in the store it is a part of, with the name and a NUL byte.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

from anycore.store.base import MAX_KEY, NAMESPACE_ROOM, Change, Store, Transaction, Watch, check_key
from anycore.store.errors import QuotaError, StoreError
from anycore.store.usage import Usage, count, read_usage, write_usage

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAME: Final = re.compile(r"[A-Za-z0-9._/:@+-]+")


class _Meter(NamedTuple):
    """A namespace whose usage may be counted: the one that is written to, and those it is in."""

    name: str
    prefix: bytes
    quota_bytes: int | None
    quota_keys: int | None

    @property
    def bounded(self) -> bool:
        return self.quota_bytes is not None or self.quota_keys is not None


def namespace(store: Store, name: str, *, quota_bytes: int | None = None, quota_keys: int | None = None) -> Store:
    """Return a part of a store that has keys of its own.

    Args:
        store: The store; it may be a namespace.
        name: The namespace's name: letters, digits and `._/:@+-`.
        quota_bytes: Bytes that its keys and values may take together; None for no bound.
        quota_keys: Keys that it may have; None for no bound. Keys whose time to live has ended count until `Store.expire` removes
            them.

    Returns:
        The namespace. Closing it does nothing: the store it is a part of stays open.

    Raises:
        StoreError: When the name cannot be one.
    """
    if not _NAME.fullmatch(name):
        raise StoreError(f"a namespace {name!r}: expected letters, digits and ._/:@+- only")
    root, meters = (store.root, store.meters) if isinstance(store, Namespace) else (store, ())
    prefix = (meters[-1].prefix if meters else b"") + name.encode() + b"\0"
    if len(prefix) > NAMESPACE_ROOM:
        raise StoreError(f"a namespace {name!r}: with those it is in, it takes {len(prefix)} bytes of {NAMESPACE_ROOM}")
    return Namespace(root, (*meters, _Meter(name, prefix, quota_bytes, quota_keys)))


class Namespace(Store):
    """A part of a store; made by `namespace`.

    Args:
        root: The store it is a part of.
        meters: Itself, last, and before it the namespaces it is in.
    """

    def __init__(self, root: Store, meters: tuple[_Meter, ...]) -> None:
        self.root = root
        self.meters = meters
        self.name = "/".join(meter.name for meter in meters)
        self.max_key = MAX_KEY
        self.max_value = root.max_value
        self.prefix = meters[-1].prefix

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key."""
        if not 0 < len(key) <= MAX_KEY:
            check_key(key, MAX_KEY)
        return self.root.get(self.prefix + key)

    def scan(
        self, prefix: bytes = b"", *, start: bytes = b"", limit: int | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        """Go through the keys that have a prefix."""
        own = self.prefix
        length = len(own)
        for key, value in self.root.scan(own + prefix, start=own + start, limit=limit):
            yield key[length:], value

    @contextmanager
    def transaction(self, *, write: bool = True) -> Iterator[Transaction]:
        """Return a transaction."""
        with self.root.transaction(write=write) as inner:
            made = _NamespaceTransaction(inner, self)
            yield made
            made.finish()

    def watch(self, prefix: bytes = b"") -> Watch:
        """Return what is told of all changes in the namespace from now on."""
        return _NamespaceWatch(self.root.watch(self.prefix + prefix), len(self.prefix))

    def expire(self) -> int:
        """Remove the keys of the whole store whose time to live has ended."""
        return self.root.expire()

    def figures(self) -> dict[str, int]:
        """Return `keys` and `bytes` of the namespace, and `quota_keys` and `quota_bytes` where there is a quota."""
        with self.root.transaction(write=False) as transaction:
            usage = read_usage(transaction, self.prefix) or count(transaction, self.prefix)
        quotas = {"quota_keys": self.meters[-1].quota_keys, "quota_bytes": self.meters[-1].quota_bytes}
        return {**usage._asdict(), **{name: quota for name, quota in quotas.items() if quota is not None}}

    def close(self) -> None:
        """Do nothing: the store it is a part of stays open."""


class _NamespaceTransaction(Transaction):
    def __init__(self, inner: Transaction, store: Namespace) -> None:
        self._inner = inner
        self._store = store
        self._prefix = store.prefix
        self._usage: dict[_Meter, Usage] | None = None

    def _full(self, key: bytes) -> bytes:
        check_key(key, MAX_KEY)
        return self._prefix + key

    def get(self, key: bytes) -> bytes | None:
        return self._inner.get(self._full(key))

    def taken(self, key: bytes) -> int | None:
        return self._inner.taken(self._full(key))

    def ttl(self, key: bytes) -> float | None:
        return self._inner.ttl(self._full(key))

    def put(self, key: bytes, value: bytes, *, ttl: float | None = None) -> None:
        full = self._full(key)
        usage = self._usage if self._usage is not None else self._metered()
        if not usage:
            self._inner.put(full, value, ttl=ttl)
            return
        old = self._inner.taken(full)
        new = {meter: _with(meter, before, full, old, len(value)) for meter, before in usage.items()}
        self._inner.put(full, value, ttl=ttl)
        self._usage = new

    def delete(self, key: bytes) -> bool:
        full = self._full(key)
        usage = self._usage if self._usage is not None else self._metered()
        old = self._inner.taken(full) if usage else None
        if old is not None:
            for meter, before in usage.items():
                usage[meter] = Usage(before.keys - 1, before.bytes - old - len(full) + len(meter.prefix))
        return self._inner.delete(full)

    def scan(
        self, prefix: bytes = b"", *, start: bytes = b"", limit: int | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        length = len(self._prefix)
        for key, value in self._inner.scan(self._prefix + prefix, start=self._prefix + start, limit=limit):
            yield key[length:], value

    def sizes(self, prefix: bytes = b"") -> Iterator[tuple[bytes, int]]:
        length = len(self._prefix)
        for key, size in self._inner.sizes(self._prefix + prefix):
            yield key[length:], size

    def _metered(self) -> dict[_Meter, Usage]:
        """Return the usages to be kept: those of namespaces with a quota, and those that a quota elsewhere has begun."""
        self._usage = {}
        for meter in self._store.meters:
            found = read_usage(self._inner, meter.prefix)
            if found is None and meter.bounded:
                found = count(self._inner, meter.prefix)
            if found is not None:
                self._usage[meter] = found
        return self._usage

    def finish(self) -> None:
        for meter, usage in (self._usage or {}).items():
            write_usage(self._inner, meter.prefix, usage)


def _with(meter: _Meter, before: Usage, key: bytes, old: int | None, new: int) -> Usage:
    """Return what a namespace takes when a key gets a value, or refuse it."""
    added = 0 if old is not None else len(key) - len(meter.prefix)
    grown = Usage(before.keys + (old is None), before.bytes + added + new - (old or 0))
    if meter.quota_keys is not None and grown.keys > meter.quota_keys and old is None:
        raise QuotaError(
            f"the namespace {meter.name!r} has {before.keys:,} of {meter.quota_keys:,} keys: "
            "delete some, or give it a higher quota"
        )
    if meter.quota_bytes is not None and grown.bytes > max(meter.quota_bytes, before.bytes):
        raise QuotaError(
            f"the namespace {meter.name!r} takes {before.bytes:,} of {meter.quota_bytes:,} bytes, and the new value "
            f"{grown.bytes - before.bytes:,} more: delete something, or give it a higher quota"
        )
    return grown


class _NamespaceWatch(Watch):
    def __init__(self, inner: Watch, length: int) -> None:
        self._inner = inner
        self._length = length

    def poll(self, timeout: float | None = None) -> list[Change]:
        return [Change(key[self._length :], value) for key, value in self._inner.poll(timeout)]

    def close(self) -> None:
        self._inner.close()
