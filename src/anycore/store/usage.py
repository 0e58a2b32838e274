"""How much of a store each namespace with a quota takes: counted once, then kept up to date by every transaction that writes.

The counts are records of the store itself, under keys that begin with a NUL byte, and change in the same transaction as what
they count. So they hold for all processes, and after a crash.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from anycore.store.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anycore.store.base import Transaction

OWN: Final = b"\0"
"""What keys begin with that are the store's own."""
_USAGE: Final = b"\0usage\0"
_COUNTS: Final = struct.Struct(">QQ")


class Usage(NamedTuple):
    """What a namespace takes.

    Args:
        keys: How many keys.
        bytes: How many bytes, keys (without the namespace's name) and values together.
    """

    keys: int
    bytes: int


def read_usage(transaction: Transaction, prefix: bytes) -> Usage | None:
    """Return what a namespace takes, or None when that is not counted.

    Args:
        transaction: A transaction of the store.
        prefix: What the namespace's keys begin with.

    Raises:
        StoreError: When the count is damaged.
    """
    found = transaction.get(_USAGE + prefix)
    if found is None:
        return None
    try:
        return Usage(*_COUNTS.unpack(found))
    except struct.error as error:
        raise StoreError(
            f"the usage of the namespace {prefix!r} is damaged: {found!r}; delete the key {_USAGE + prefix!r}"
        ) from error


def write_usage(transaction: Transaction, prefix: bytes, usage: Usage) -> None:
    """Keep what a namespace takes; arguments as in `read_usage`."""
    transaction.put(_USAGE + prefix, _COUNTS.pack(max(0, usage.keys), max(0, usage.bytes)))


def count(transaction: Transaction, prefix: bytes) -> Usage:
    """Count what a namespace takes; arguments as in `read_usage`."""
    keys = size = 0
    for key, taken in transaction.sizes(prefix):
        keys += 1
        size += len(key) - len(prefix) + taken
    return Usage(keys, size)


def counted(transaction: Transaction) -> list[bytes]:
    """Return what the keys of each namespace begin with whose usage is counted."""
    return [key[len(_USAGE) :] for key, _ in transaction.scan(_USAGE)]


def forget_counts(transaction: Transaction) -> None:
    """Have all namespaces counted again when that is next needed."""
    for prefix in counted(transaction):
        transaction.delete(_USAGE + prefix)


def forget_removed(transaction: Transaction, removed: Mapping[bytes, int]) -> None:
    """Subtract keys that a store has removed because their time to live has ended.

    Args:
        transaction: The transaction that removes them.
        removed: The bytes of their values, by key.
    """
    if not removed:
        return
    for prefix in counted(transaction):
        sizes = [len(key) - len(prefix) + size for key, size in removed.items() if key.startswith(prefix)]
        usage = read_usage(transaction, prefix)
        if sizes and usage is not None:
            write_usage(transaction, prefix, Usage(usage.keys - len(sizes), usage.bytes - sum(sizes)))
