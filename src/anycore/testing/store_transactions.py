"""Checks of `check_store`: transactions, alone and beside others."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from anycore.store import StoreError
from anycore.testing.served import expect
from anycore.testing.store_bench import refused

if TYPE_CHECKING:
    from anycore.store import Transaction
    from anycore.testing.store_bench import StoreBench


class _OnPurposeError(Exception):
    pass


def _list(transaction: Transaction) -> object:
    return list(transaction.scan())


def does_all_of_a_transaction(bench: StoreBench) -> None:
    """What a transaction writes and removes is there when it ends."""
    store = bench.store
    store.put(b"gone", b"1")
    with store.transaction() as transaction:
        transaction.put(b"a", b"1")
        transaction.put(b"a", b"2")
        transaction.put(b"never", b"1")
        expect(transaction.delete(b"never") is True, "a key that the transaction has put must be there for it")
        expect(transaction.delete(b"gone") is True, "a key that is there must be there in the transaction")
        expect(transaction.delete(b"gone") is False, "a key that the transaction has removed must be gone for it")
    expect(list(store.scan()) == [(b"a", b"2")], "all of a transaction must be done")


def does_nothing_of_a_transaction_that_fails(bench: StoreBench) -> None:
    """When an exception leaves a transaction, nothing of it has been done, and the exception goes on."""
    store = bench.store
    store.put(b"a", b"old")

    def fail() -> None:
        with store.transaction() as transaction:
            transaction.put(b"a", b"new")
            transaction.put(b"b", b"new")
            raise _OnPurposeError

    refused(_OnPurposeError, "a transaction in which that is raised", fail)
    expect(list(store.scan()) == [(b"a", b"old")], "nothing of a transaction that failed must be done")
    store.put(b"c", b"1")


def shows_a_transaction_what_it_writes(bench: StoreBench) -> None:
    """Inside a transaction, get and scan see what it has written and removed, in order, and how much room values take."""
    store = bench.store
    for key in (b"p1", b"p3", b"p5", b"q"):
        store.put(key, b"old")
    with store.transaction() as transaction:
        transaction.put(b"p0", b"new")
        transaction.put(b"p3", b"newer")
        transaction.put(b"p4", b"new")
        transaction.delete(b"p5")
        transaction.put(b"p6", b"new")
        wanted = [(b"p0", b"new"), (b"p1", b"old"), (b"p3", b"newer"), (b"p4", b"new"), (b"p6", b"new")]
        found = list(transaction.scan(b"p"))
        expect(found == wanted, f"a scan in the transaction must be {wanted}, and is {found}")
        found = list(transaction.scan(b"p", start=b"p3", limit=2))
        expect(found == wanted[2:4], f"with start and limit it must be {wanted[2:4]}, and is {found}")
        expect(transaction.get(b"p5") is None and transaction.get(b"p3") == b"newer", "get must see what was written")
        taken = [transaction.taken(key) for key in (b"p1", b"p3", b"p5")]
        expect(taken == [3, 5, None], f"the values take 3, 5 and no bytes, and `taken` says {taken}")
        sizes = list(transaction.sizes(b"p"))
        expect(sizes == [(key, len(value)) for key, value in wanted], f"`sizes` must say the same, and says {sizes}")


def shows_others_nothing_before_the_end(bench: StoreBench) -> None:
    """While a transaction writes, others read at once, and read what was there before."""
    store = bench.store
    store.put(b"a", b"old")
    found = []

    def read() -> None:
        found.append((store.get(b"a"), list(store.scan())))

    with store.transaction() as transaction:
        transaction.put(b"a", b"new")
        transaction.put(b"b", b"new")
        bench.in_threads(read)
        found.append((store.get(b"a"), list(store.scan())))
    expect(found == [(b"old", [(b"a", b"old")])] * 2, f"others must read what was there before, and read {found}")
    expect(store.get(b"a") == b"new", "when the transaction has ended, all must read what it wrote")


def shows_a_reading_transaction_one_state(bench: StoreBench) -> None:
    """A transaction that reads sees the store as it was when it began, and holds up no writer."""
    store = bench.store
    store.put(b"a", b"1")

    def write() -> None:
        store.put(b"a", b"2")
        store.put(b"b", b"2")

    with store.transaction(write=False) as transaction:
        before = transaction.get(b"a")
        bench.in_threads(write)
        found = (before, transaction.get(b"a"), list(transaction.scan()))
    expect(found == (b"1", b"1", [(b"a", b"1")]), f"it must see one state, and saw {found}")


def lets_transactions_follow_one_another(bench: StoreBench) -> None:
    """Nothing is lost when many threads change one value by transactions, or by comparing and setting."""
    store = bench.store
    store.put(b"n", b"0")

    def add() -> None:
        for _ in range(10):
            with store.transaction() as transaction:
                transaction.put(b"n", b"%d" % (int(transaction.get(b"n") or b"") + 1))

    def try_to_add() -> None:
        for _ in range(10):
            found = store.get(b"n") or b""
            while not store.compare_and_set(b"n", found, b"%d" % (int(found) + 1)):
                found = store.get(b"n") or b""

    bench.in_threads(add, add, try_to_add, try_to_add)
    expect(store.get(b"n") == b"40", f"four threads that add 10 each must make 40, and made {store.get(b'n')!r}")


def refuses_to_wait_for_itself(bench: StoreBench) -> None:
    """In a transaction that writes, another write by the same thread raises StoreError; reading works."""
    store = bench.store
    with store.transaction() as transaction:
        transaction.put(b"a", b"1")
        refused(StoreError, "put while the thread is in a transaction", store.put, b"b", b"1")
        refused(StoreError, "delete while the thread is in a transaction", store.delete, b"b")
        expect(store.get(b"a") is None, "reading past the transaction must work")
    expect(list(store.scan()) == [(b"a", b"1")], "the transaction itself must go on")


def refuses_what_a_transaction_may_not(bench: StoreBench) -> None:
    """A transaction that reads refuses to write; one that has ended refuses everything."""
    store = bench.store
    store.put(b"a", b"1")
    with store.transaction(write=False) as reading:
        refused(StoreError, "put in a transaction that reads", reading.put, b"a", b"2")
        refused(StoreError, "delete in a transaction that reads", reading.delete, b"a")
        expect(reading.get(b"a") == b"1", "reading must go on")
    with store.transaction() as writing:
        writing.put(b"a", b"2")
    for ended in (reading, writing):
        refused(StoreError, "get after the end", ended.get, b"a")
        refused(StoreError, "put after the end", ended.put, b"a", b"3")
        refused(StoreError, "scan after the end", _list, ended)


def waits_for_the_other_writer(bench: StoreBench) -> None:
    """A transaction that writes waits until another thread's has ended, and sees what that wrote."""
    store = bench.store
    inside, seen = threading.Event(), []

    def second() -> None:
        inside.wait(bench.patience)
        with store.transaction() as transaction:
            seen.append(transaction.get(b"a"))

    def first() -> None:
        with store.transaction() as transaction:
            inside.set()
            transaction.put(b"a", b"1")

    bench.in_threads(first, second)
    expect(seen == [b"1"], f"the second must see what the first wrote, and saw {seen}")


CHECKS: Final = (
    does_all_of_a_transaction,
    does_nothing_of_a_transaction_that_fails,
    shows_a_transaction_what_it_writes,
    shows_others_nothing_before_the_end,
    shows_a_reading_transaction_one_state,
    lets_transactions_follow_one_another,
    refuses_to_wait_for_itself,
    refuses_what_a_transaction_may_not,
    waits_for_the_other_writer,
)
