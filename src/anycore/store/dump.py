"""A store as lines of text, to be kept elsewhere and loaded into any other store. JSON (RFC 8259) with base64 (RFC 4648), never pickle.

The first line is `{"anycore-store": 1}`: the version of the format. Each of the others is one key:

    {"namespace": "plugin/echo", "key": "Z3JlZXRpbmc=", "value": "aGVsbG8=", "end": 1767225600.0}

`end`, where there is one, is when the key's time to live ends, in seconds since the epoch. Keys that are in no namespace have an empty
one. What the store keeps for itself, such as how much of a quota is used, is not in it.
"""

from __future__ import annotations

import base64
import binascii
import re
import time
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from anycore.store.errors import StoreError
from anycore.store.usage import OWN, forget_counts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from anycore.store.base import Store

VERSION: Final = 1
_BATCH: Final = 1000
_NAMED: Final = re.compile(rb"([A-Za-z0-9._/:@+-]{1,99})\0(?=.)", re.DOTALL)


class Header(msgspec.Struct, frozen=True, rename={"version": "anycore-store"}, forbid_unknown_fields=True):
    """The first line of a dump.

    Args:
        version: The version of the format.
    """

    version: int


class Line(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Every other line of a dump.

    Args:
        namespace: Which part of the store the key is in.
        key: The key, in base64.
        value: The value, in base64.
        end: When it ends, in seconds since the epoch.
    """

    namespace: str
    key: str
    value: str
    end: Annotated[float, msgspec.Meta(gt=0)] | None = None


def split(key: bytes) -> tuple[str, bytes]:
    """Return the namespace of a key of a whole store, empty when it has none, and the key in that."""
    found = _NAMED.match(key)
    return (found[1].decode(), key[found.end() :]) if found else ("", key)


def dump(store: Store) -> Iterator[bytes]:
    """Write a store as it is at this moment.

    Args:
        store: A whole store; no namespace.

    Yields:
        Lines, with their ends.
    """
    encode = msgspec.json.Encoder().encode
    yield encode(Header(VERSION)) + b"\n"
    with store.transaction(write=False) as transaction:
        for key, value in transaction.scan():
            if key.startswith(OWN):
                continue
            left = transaction.ttl(key)
            name, rest = split(key)
            end = None if left is None else time.time() + left
            yield encode(Line(name, base64.b64encode(rest).decode(), base64.b64encode(value).decode(), end)) + b"\n"


def load(store: Store, lines: Iterable[bytes]) -> int:
    """Read a store that `dump` has written into another. Keys that are there already get the new value, others stay.

    Args:
        store: A whole store; no namespace.
        lines: The lines.

    Returns:
        How many keys were read; those whose time to live has ended are left out.

    Raises:
        StoreError: When a line makes no sense; the message says which, and how many keys were read before it.
    """
    numbered = enumerate(lines, 1)
    _, first = next(numbered, (1, b""))
    _check_header(first)
    count = 0
    while True:
        batch = list(islice(numbered, _BATCH))
        if not batch:
            return count
        try:
            items = [_read(number, line) for number, line in batch]
        except StoreError as error:
            raise StoreError(f"{error}; {count} keys before it have been loaded") from error
        now = time.time()
        with store.transaction() as transaction:
            for key, value, end in items:
                if end is None or end > now:
                    transaction.put(key, value, ttl=None if end is None else end - now)
                    count += 1
            forget_counts(transaction)  # they are made again when they are needed


def _check_header(line: bytes) -> None:
    try:
        version = msgspec.json.decode(line, type=Header).version
    except msgspec.DecodeError as error:
        raise StoreError(f'line 1 is no dump of a store: expected {{"anycore-store": {VERSION}}}') from error
    if version != VERSION:
        raise StoreError(f"line 1: the dump has version {version}, this program knows {VERSION}: use a newer one")


def _read(number: int, line: bytes) -> tuple[bytes, bytes, float | None]:
    try:
        found = msgspec.json.decode(line, type=Line)
        key, value = (base64.b64decode(text, validate=True) for text in (found.key, found.value))
    except (msgspec.DecodeError, binascii.Error) as error:
        raise StoreError(f"line {number} is no key of a dump: {error}") from error
    full = found.namespace.encode() + b"\0" + key if found.namespace else key
    if split(full) != (found.namespace, key) or not key:
        raise StoreError(f"line {number}: the namespace {found.namespace!r} or the key {key!r} cannot be one")
    return full, value, found.end
