"""A store of values of one type: they are checked and encoded as MessagePack by msgspec, never pickled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec

from anycore.store.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from anycore.store.base import Store, Transaction

T = TypeVar("T")


class Typed(Generic[T]):
    """A store, or a namespace of one, that has values of one type.

    Args:
        store: Where they are kept. Give it a namespace of its own.
        type: A type that msgspec knows: a `msgspec.Struct`, a dataclass, or a type built in, such as `dict[str, int]`.
    """

    def __init__(self, store: Store, type: type[T]) -> None:  # noqa: A002 - reads Typed(store, type=Session)
        self._store = store
        self._encode = msgspec.msgpack.Encoder(order="deterministic").encode  # equal values are equal bytes
        self._decoder = msgspec.msgpack.Decoder(type)

    def _decode(self, key: bytes, found: bytes) -> T:
        try:
            return self._decoder.decode(found)
        except msgspec.DecodeError as error:
            raise StoreError(
                f"{self._store.name}: the value of {key!r} is no {self._decoder.type!r}: {error}; another version of the program, "
                "or another program, has written it"
            ) from error

    def get(self, key: bytes, *, within: Transaction | None = None) -> T | None:
        """Return the value of a key, or None when there is none.

        Args:
            key: The key.
            within: A transaction of the same store; None to read what is there now.

        Raises:
            StoreError: When the store cannot be read, or the value is not of this type.
        """
        found = (within or self._store).get(key)
        return None if found is None else self._decode(key, found)

    def put(self, key: bytes, value: T, *, ttl: float | None = None, within: Transaction | None = None) -> None:
        """Give a key a value; see `Store.put`.

        Args:
            key: The key.
            value: The value.
            ttl: Seconds after which the key is gone; None for never.
            within: A transaction of the same store; None to write at once.
        """
        (within or self._store).put(key, self._encode(value), ttl=ttl)

    def delete(self, key: bytes, *, within: Transaction | None = None) -> bool:
        """Remove a key and return whether it was there; see `Store.delete`."""
        return (within or self._store).delete(key)

    def compare_and_set(self, key: bytes, expected: T | None, value: T | None, *, ttl: float | None = None) -> bool:
        """Give a key a value if it has the one that is expected, None meaning none; see `Store.compare_and_set`."""
        old = None if expected is None else self._encode(expected)
        new = None if value is None else self._encode(value)
        return self._store.compare_and_set(key, old, new, ttl=ttl)

    def update(self, key: bytes, change: Callable[[T | None], T | None], *, ttl: float | None = None) -> T | None:
        """Change a value, with nobody else writing in between.

        Args:
            key: The key.
            change: Is given the value, or None when there is none, and returns the new one, or None to remove the key. It holds up
                everybody else who writes, and must not write to the store itself.
            ttl: Seconds after which the key is gone; None for never.

        Returns:
            The new value.
        """
        with self._store.transaction() as transaction:
            value = change(self.get(key, within=transaction))
            if value is None:
                transaction.delete(key)
            else:
                self.put(key, value, ttl=ttl, within=transaction)
            return value

    def scan(
        self, prefix: bytes = b"", *, start: bytes = b"", limit: int | None = None, within: Transaction | None = None
    ) -> Iterator[tuple[bytes, T]]:
        """Go through the keys that have a prefix, with their values; see `Store.scan`."""
        for key, found in (within or self._store).scan(prefix, start=start, limit=limit):
            yield key, self._decode(key, found)
