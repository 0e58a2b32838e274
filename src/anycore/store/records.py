"""What a store keeps for a value: the value, and when its time to live ends. Pure functions of bytes.

0                     value     a value that stays
1  end, 8 bytes       value     a value until its end: microseconds since the epoch, most significant byte first
"""

from __future__ import annotations

import struct
from typing import Final

from anycore.store.errors import StoreError

STAYS: Final = b"\0"
_END: Final = struct.Struct(">BQ")
_HEADER: Final = _END.size
_MICRO: Final = 1_000_000


def encode_until(value: bytes, end: float) -> bytes:
    """Return the record of a value that ends.

    Args:
        value: The value.
        end: When, in seconds since the epoch.
    """
    return _END.pack(1, max(0, int(end * _MICRO))) + value


def end_of(record: bytes) -> int | None:
    """Return when a record ends, in microseconds since the epoch, or None when it stays.

    Raises:
        StoreError: When it is no record.
    """
    if record[:1] == STAYS:
        return None
    if record[:1] != b"\1" or len(record) < _HEADER:
        raise StoreError(
            f"a record that begins with {record[:16]!r}: expected 0, or 1 and a time; the store is damaged"
        )
    found: int = _END.unpack_from(record)[1]
    return found


def visible(record: bytes, now: float) -> bytes | None:
    """Return the value of a record, or None when it has ended.

    Args:
        record: The record.
        now: The time, in seconds since the epoch.

    Raises:
        StoreError: When it is no record.
    """
    end = end_of(record)
    if end is None:
        return record[1:]
    return record[_HEADER:] if end > now * _MICRO else None


def size_of(record: bytes) -> int:
    """Return how many bytes the value of a record has."""
    return len(record) - (1 if record[:1] == STAYS else _HEADER)


def index_key(end: int, key: bytes) -> bytes:
    """Return the key under which an end is found: those that come first end first.

    Args:
        end: Microseconds since the epoch.
        key: The key of the record.
    """
    return end.to_bytes(8, "big") + key


def read_index_key(found: bytes) -> tuple[int, bytes]:
    """Return the end, in microseconds since the epoch, and the key of the record, from what `index_key` has returned."""
    return int.from_bytes(found[:8], "big"), found[8:]
