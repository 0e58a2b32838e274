"""`check_store`: a store that breaks a promise fails the check of that promise, and is told which."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from anycore.store import Change, Store, Transaction
from anycore.store.memory import MemoryStore
from anycore.testing import STORE_CHECKS, check_store


class Forgets(MemoryStore):
    def get(self, key: bytes) -> bytes | None:
        return None if key == b"\xff" else super().get(key)


class SaysItWasThere(MemoryStore):
    def delete(self, key: bytes) -> bool:
        super().delete(key)
        return True


class TakesAnyKey(MemoryStore):
    def get(self, key: bytes) -> bytes | None:
        return super().get(key[:500]) if key else None


class SetsWithoutComparing(MemoryStore):
    def compare_and_set(self, key: bytes, expected: bytes | None, value: bytes | None, **_: Any) -> bool:
        found = self.get(key) == expected
        if value is not None:
            self.put(key, value)
        return found


class ScansBackwards(MemoryStore):
    def scan(self, prefix: bytes = b"", **options: Any) -> Iterator[tuple[bytes, bytes]]:
        return iter(sorted(super().scan(prefix, **options), reverse=True))


class IgnoresLimits(MemoryStore):
    def scan(
        self, prefix: bytes = b"", *, start: bytes = b"", limit: int | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        return super().scan(prefix, start=start)


class DoesHalf(MemoryStore):
    @contextmanager
    def transaction(self, *, write: bool = True) -> Iterator[Transaction]:
        failed = None
        with super().transaction(write=write) as transaction:
            try:
                yield transaction
            except Exception as error:  # noqa: BLE001 - the fault that is to be found
                failed = error
        if failed is not None:
            raise failed


class NeverExpires(MemoryStore):
    def expire(self) -> int:
        return 0


class ShowsWhatHasEnded(MemoryStore):
    def __init__(self) -> None:
        super().__init__(clock=lambda: 1e9)


class TellsNothing(MemoryStore):
    def watch(self, prefix: bytes = b"") -> Any:
        watch = super().watch(prefix)
        watch.poll = lambda timeout=None: list[Change]()  # type: ignore[method-assign]
        return watch


class StaysOpen(MemoryStore):
    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("factory", "check"),
    [
        (Forgets, "keeps_what_it_is_given"),
        (SaysItWasThere, "removes_what_it_is_told_to"),
        (TakesAnyKey, "refuses_what_cannot_be_a_key"),
        (SetsWithoutComparing, "compares_and_sets"),
        (ScansBackwards, "scans_in_order"),
        (IgnoresLimits, "scans_in_order"),
        (DoesHalf, "does_nothing_of_a_transaction_that_fails"),
        (NeverExpires, "removes_what_has_ended"),
        (ShowsWhatHasEnded, "hides_what_has_ended_at_once"),
        (TellsNothing, "tells_of_all_changes"),
        (StaysOpen, "ends_for_good"),
    ],
)
def test_a_broken_promise_is_named(factory: Callable[[], Store], check: str) -> None:
    with pytest.raises(AssertionError, match=f"^the store breaks the promise '{check}': "):
        check_store(factory, only=[check], patience=0.5)


def test_a_store_that_loses_all_when_it_is_closed_is_found() -> None:
    with pytest.raises(AssertionError, match="it must all be there"):
        check_store(MemoryStore, again=lambda _: MemoryStore(), only=["keeps_it_when_it_is_closed"], patience=0.5)
    with pytest.raises(AssertionError, match="what one has written the other must read"):
        check_store(MemoryStore, again=lambda _: MemoryStore(), only=["is_shared"], patience=0.5)


def test_checks_can_be_left_out_and_must_exist() -> None:
    check_store(StaysOpen, only=["ends_for_good", "compares_and_sets"], skip=["ends_for_good"])
    with pytest.raises(ValueError, match="there is no check 'is_fast' of stores; there are: keeps_what_it_is_given"):
        check_store(MemoryStore, only=["is_fast"])
    assert len(set(STORE_CHECKS)) == len(STORE_CHECKS)
