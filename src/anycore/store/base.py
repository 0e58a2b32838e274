"""What a store is: the interface that all stores have, what may be a key and a value. No store lives here.

A store maps keys to values, both bytes, in the order of the keys. Whatever is written in one transaction is there as a whole
or not at all, and what a call that writes has returned from is kept: how far, the store's documentation says.

A key is 1 to 400 bytes long. A value is up to 16 MiB long, unless the store is opened with another bound.
"""

from __future__ import annotations

import abc
import math
from typing import TYPE_CHECKING, Final, NamedTuple

from anycore.store.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from types import TracebackType
    from typing import Self

MAX_KEY: Final = 400
"""Bytes that a key may have in every store and in every namespace."""
NAMESPACE_ROOM: Final = 100
"""Bytes before a key that namespaces have for their names: with them a key has 500, of the 511 that LMDB allows."""
MAX_VALUE: Final = 16 * 1024 * 1024
"""Bytes that a value may have, unless a store is opened with another bound."""


class Change(NamedTuple):
    """What became of a key.

    Args:
        key: The key.
        value: Its value now; None when it is no longer there.
    """

    key: bytes
    value: bytes | None


class Transaction(abc.ABC):
    """Reads that see one state of the store, and writes that happen together. Made by `Store.transaction`, for one thread."""

    @abc.abstractmethod
    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key, as this transaction has left it, or None when there is none."""

    @abc.abstractmethod
    def put(self, key: bytes, value: bytes, *, ttl: float | None = None) -> None:
        """Give a key a value, and a new time to live; see `Store.put`."""

    @abc.abstractmethod
    def delete(self, key: bytes) -> bool:
        """Remove a key; see `Store.delete`."""

    @abc.abstractmethod
    def scan(
        self, prefix: bytes = b"", *, start: bytes = b"", limit: int | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        """Go through the keys that have a prefix; see `Store.scan`.

        The transaction may write meanwhile; whether the scan still meets what was written is not said.
        """

    @abc.abstractmethod
    def taken(self, key: bytes) -> int | None:
        """Return how many bytes of room the value of a key takes, or None when there is none.

        Unlike `get`, this counts what nobody can see any more and `Store.expire` has not removed yet. Quotas are kept by it.
        """

    @abc.abstractmethod
    def ttl(self, key: bytes) -> float | None:
        """Return how many seconds a key has left to live, or None when it stays, or is not there."""

    @abc.abstractmethod
    def sizes(self, prefix: bytes = b"") -> Iterator[tuple[bytes, int]]:
        """Go through the keys that have a prefix, in their order, with what `taken` says of them."""


class Watch(abc.ABC):
    """What is told of changes. Made by `Store.watch`; close it, or use it in a `with` statement."""

    @abc.abstractmethod
    def poll(self, timeout: float | None = None) -> list[Change]:
        """Return what has changed since the last call, or since the watch was made.

        No change is lost, however long one waits between two calls; of several changes to one key, the last one is told.
        A key whose time to live has ended is told when `Store.expire` removes it.

        Args:
            timeout: Seconds to wait when nothing has changed; 0 not to wait, None to wait for as long as it takes.

        Returns:
            The changes, one for each key; none when the time is up.

        Raises:
            StoreError: When the store or the watch has been closed.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """End the watch."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Store(abc.ABC):
    """Keys and values. May be used by several threads; close it, or use it in a `with` statement.

    Attributes:
        name: What messages call it.
        max_key: Bytes that a key may have; at least `MAX_KEY`.
        max_value: Bytes that a value may have.
    """

    name: str
    max_key: int
    max_value: int

    @abc.abstractmethod
    def transaction(self, *, write: bool = True) -> AbstractContextManager[Transaction]:
        """Return a transaction, to be used in a `with` statement: it is done when that ends, undone when that raises.

        Transactions that write come one after the other, those of other processes included: keep them short, and do not
        write to the store by other means in between, which is refused. One that only reads holds nobody up.

        Args:
            write: Whether it may write.

        Raises:
            StoreFullError: When there is no room, from the transaction's methods and from the end of the `with` statement.
            StoreError: When it cannot be done.
        """

    @abc.abstractmethod
    def watch(self, prefix: bytes = b"") -> Watch:
        """Return what is told of all changes from now on, those of other processes included.

        Args:
            prefix: What the keys in question begin with.
        """

    @abc.abstractmethod
    def expire(self) -> int:
        """Remove the keys whose time to live has ended, which nobody can see any more, to have their room again.

        Returns:
            How many there were.
        """

    @abc.abstractmethod
    def figures(self) -> dict[str, int]:
        """Return figures for operators: `keys`, `bytes` (the room they take), and others that the store has."""

    @abc.abstractmethod
    def close(self) -> None:
        """Close the store. What is still used of it raises StoreError."""

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key, or None when there is none.

        Args:
            key: The key.

        Raises:
            StoreError: When the key cannot be one, or the store cannot be read.
        """
        with self.transaction(write=False) as transaction:
            return transaction.get(key)

    def put(self, key: bytes, value: bytes, *, ttl: float | None = None) -> None:
        """Give a key a value.

        Args:
            key: The key.
            value: The value.
            ttl: Seconds after which the key is gone, for readers at once; None for never. It replaces the one before.

        Raises:
            StoreFullError: When there is no room.
            StoreError: When the key or the value cannot be one, or the store cannot be written.
        """
        with self.transaction() as transaction:
            transaction.put(key, value, ttl=ttl)

    def delete(self, key: bytes) -> bool:
        """Remove a key.

        Args:
            key: The key.

        Returns:
            Whether it was there.

        Raises:
            StoreError: When the key cannot be one, or the store cannot be written.
        """
        with self.transaction() as transaction:
            return transaction.delete(key)

    def compare_and_set(
        self, key: bytes, expected: bytes | None, value: bytes | None, *, ttl: float | None = None
    ) -> bool:
        """Give a key a value, or remove it, if it has the value that is expected.

        Args:
            key: The key.
            expected: The value it must have; None when it must not be there.
            value: The value it gets; None to remove it.
            ttl: Seconds after which the key is gone; None for never.

        Returns:
            Whether it had the value that is expected, and so whether it has the new one.

        Raises:
            StoreFullError: When there is no room.
            StoreError: When the key or the value cannot be one, or the store cannot be written.
        """
        with self.transaction() as transaction:
            if transaction.get(key) != expected:
                return False
            if value is not None:
                transaction.put(key, value, ttl=ttl)
            elif expected is not None:
                transaction.delete(key)
            return True

    def scan(
        self, prefix: bytes = b"", *, start: bytes = b"", limit: int | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        """Go through the keys that have a prefix, in their order.

        They are read in batches, each of which shows one state of the store; writing meanwhile is allowed. Use a transaction
        to see one state from the first to the last.

        Args:
            prefix: What the keys begin with.
            start: Leave out keys that come before this one.
            limit: How many to return at most; None for all.

        Yields:
            Keys and values.
        """
        with self.transaction(write=False) as transaction:
            found = list(transaction.scan(prefix, start=start, limit=limit))
        yield from found

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def after(prefix: bytes) -> bytes | None:
    """Return the least key that comes after all that have a prefix, or None when there is no such key.

    Args:
        prefix: The prefix.
    """
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes([stem[-1] + 1]) if stem else None


def check_key(key: bytes, longest: int) -> None:
    """Refuse what cannot be a key.

    Args:
        key: The key.
        longest: Bytes that it may have.

    Raises:
        TypeError: When it is not bytes.
        StoreError: When it is empty or too long.
    """
    if not isinstance(key, bytes):
        raise TypeError(f"a key of a store must be bytes, not {type(key).__name__}: encode it first")
    if not 0 < len(key) <= longest:
        raise StoreError(f"a key of {len(key)} bytes, {key[:20]!r}...: expected 1 to {longest} bytes; use a hash of it")


def check_value(key: bytes, value: bytes, longest: int) -> None:
    """Refuse what cannot be a value.

    Args:
        key: The key it is meant for.
        value: The value.
        longest: Bytes that it may have.

    Raises:
        TypeError: When it is not bytes.
        StoreError: When it is too long.
    """
    if not isinstance(value, bytes):
        raise TypeError(f"the value of {key!r} must be bytes, not {type(value).__name__}: encode it, or use Typed")
    if len(value) > longest:
        raise StoreError(
            f"the value of {key!r} has {len(value):,} bytes: expected at most {longest:,}; "
            "keep it in a file, or open the store with a higher max_value"
        )


def check_ttl(key: bytes, ttl: float) -> None:
    """Refuse what cannot be a time to live.

    Args:
        key: The key it is meant for.
        ttl: Seconds.

    Raises:
        StoreError: When it is not a finite number of seconds above zero, or longer than a thousand years.
    """
    if not (math.isfinite(ttl) and 0 < ttl < 32e9):
        raise StoreError(f"a time to live of {ttl!r} seconds for {key!r}: expected a number above 0, or None for ever")
