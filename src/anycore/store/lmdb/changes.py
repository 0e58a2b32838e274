"""The log of what the last transactions have changed, by which watches see the changes of all processes. Part of the file.

One entry for each transaction, under numbers that count up: the keys it has written or removed, each after its length (two bytes),
or MANY when they would make the log large. The oldest entries are removed. Who comes too late for an entry, or finds MANY, looks at
all keys instead: see `watch`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Collection

MANY: Final = b"\xff\xff"
_ENTRIES: Final = 1024
_LARGEST: Final = 16 * 1024
_MOST: Final = 200


def number(transaction: Any, log: Any) -> int:
    """Return the number of the last entry, 0 when there is none.

    Args:
        transaction: LMDB's transaction.
        log: The database of the log.
    """
    with transaction.cursor(log) as cursor:
        return int.from_bytes(cursor.key(), "big") if cursor.last() else 0


def note(transaction: Any, log: Any, keys: Collection[bytes]) -> None:
    """Add an entry.

    Args:
        transaction: LMDB's transaction.
        log: The database of the log.
        keys: What the transaction has written or removed.
    """
    entry = MANY
    if len(keys) <= _MOST:
        entry = b"".join([len(key).to_bytes(2, "big") + key for key in keys])
    with transaction.cursor(log) as cursor:
        last = int.from_bytes(cursor.key(), "big") if cursor.last() else 0
        cursor.put((last + 1).to_bytes(8, "big"), entry if len(entry) <= _LARGEST else MANY, append=True)
        for _ in range(4):  # more than one, to get there when there were more
            if not cursor.first() or int.from_bytes(cursor.key(), "big") > last + 1 - _ENTRIES:
                break
            cursor.delete()


def read(transaction: Any, log: Any, seen: int, prefix: bytes) -> tuple[int, dict[bytes, None] | None]:
    """Return what has changed since an entry.

    Args:
        transaction: LMDB's transaction.
        log: The database of the log.
        seen: The number of the last entry that was seen.
        prefix: What the keys in question begin with.

    Returns:
        The number of the last entry; the keys in the order of their first change, or None when the log does not say.
    """
    last, keys = number(transaction, log), dict[bytes, None]()
    if last == seen:
        return last, keys
    with transaction.cursor(log) as cursor:
        if last < seen or not cursor.set_key((seen + 1).to_bytes(8, "big")):
            return last, None
        for entry in cursor.iternext(keys=False, values=True):
            if entry == MANY:
                return last, None
            keys.update(dict.fromkeys(key for key in _keys_of(entry) if key.startswith(prefix)))
    return last, keys


def _keys_of(entry: bytes) -> list[bytes]:
    position, found = 0, []
    while position < len(entry):
        end = position + 2 + int.from_bytes(entry[position : position + 2], "big")
        found.append(entry[position + 2 : end])
        position = end
    return found
