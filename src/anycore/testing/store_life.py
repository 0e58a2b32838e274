"""Checks of `check_store`: times to live, watches, the end of a store, and what is left after it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from anycore.store import StoreError
from anycore.testing.served import expect
from anycore.testing.store_bench import refused

if TYPE_CHECKING:
    from anycore.store import Store
    from anycore.testing.store_bench import StoreBench


def hides_what_has_ended_at_once(bench: StoreBench) -> None:
    """A key is there until its time to live has ended, and for nobody after that, whether it has been removed or not."""
    store = bench.store
    earliest = time.time() + 0.5
    store.put(b"short", b"1", ttl=0.5)
    latest = time.time() + 0.5
    store.put(b"long", b"1", ttl=1e6)
    store.put(b"forever", b"1")
    with store.transaction(write=False) as transaction:
        left = [transaction.ttl(key) for key in (b"long", b"forever", b"nowhere")]
        expect(
            left[0] is not None and 0 < left[0] <= 1e6,
            f"`ttl` must say what is left of 1,000,000 seconds, not {left[0]}",
        )
        expect(left[1:] == [None, None], f"`ttl` must be None for what stays and for what is not there, not {left[1:]}")
    store.delete(b"forever")
    while True:
        before, found, after = time.time(), store.get(b"short"), time.time()
        if found is None:
            break
        expect(found == b"1" and before < latest, "a key must not be seen after its time to live has ended")
    expect(after >= earliest, "a key must be seen until its time to live has ended")
    expect(list(store.scan()) == [(b"long", b"1")], "a scan must not meet what has ended")
    with store.transaction() as transaction:
        expect(transaction.get(b"short") is None, "a transaction must not see what has ended")
        expect(transaction.taken(b"short") == 1, "`taken` must count what has ended and is not removed")
        expect(transaction.delete(b"short") is False, "what has ended is not there when it is removed")
    store.put(b"again", b"1", ttl=1e-6)
    bench.until(lambda: store.get(b"again") is None, "a microsecond must pass")
    expect(store.compare_and_set(b"again", None, b"2"), "what has ended must compare as None")
    expect(store.get(b"again") == b"2", "what is put where something has ended must stay")


def removes_what_has_ended(bench: StoreBench) -> None:
    """`expire` removes what has ended and nothing else, and says how much; a value that is put again has the new time only."""
    store = bench.store
    for number in range(20):
        store.put(b"bulk-%d" % number, b"1", ttl=1e-6)
    with store.transaction() as transaction:
        for number in range(1500):
            transaction.put(b"bulk%d" % number, b"1", ttl=1e-6)
    store.put(b"kept", b"1", ttl=1e-6)
    store.put(b"kept", b"2")
    store.put(b"longer", b"1", ttl=1e-6)
    store.put(b"longer", b"2", ttl=1e6)
    store.put(b"removed", b"1", ttl=1e-6)
    store.delete(b"removed")
    bench.until(lambda: not list(store.scan(b"bulk")), "a microsecond must pass")
    expect(store.figures()["keys"] == 1522, f"until then the keys are there, {store.figures()['keys']} of 1522")
    removed = store.expire()
    expect(removed == 1520, f"1520 keys have ended, and `expire` says {removed}")
    expect(store.expire() == 0, "there must be nothing left to remove")
    expect(list(store.scan()) == [(b"kept", b"2"), (b"longer", b"2")], "what has not ended must stay")
    expect(store.figures()["keys"] == 2, "figures must count what is left")


def _put(store: Store, ttl: float) -> None:
    store.put(b"a", b"new", ttl=ttl)


def refuses_what_is_no_time_to_live(bench: StoreBench) -> None:
    """A time to live of zero, below, or of no number raises StoreError; the old value stays."""
    store = bench.store
    store.put(b"a", b"old")
    for ttl in (0, -1, float("nan"), float("inf"), 1e300):
        refused(StoreError, f"a time to live of {ttl}", _put, store, ttl)
    expect(store.get(b"a") == b"old", "the old value must stay")


def tells_of_all_changes(bench: StoreBench) -> None:
    """A watch tells each key that has changed since the last call once, with its value now, None when it is gone."""
    store = bench.store
    store.put(b"before", b"1")
    with store.watch() as watch, store.watch(b"a") as narrow:
        expect(watch.poll(0) == [], "there must be nothing to tell before something changes")
        for value in (b"1", b"2", b"3"):
            store.put(b"a", value)
        store.delete(b"before")
        store.delete(b"not there")
        store.put(b"b", b"1")
        expect(dict(bench.told(watch, 3)) == {b"a": b"3", b"before": None, b"b": b"1"}, "each change must be told once")
        expect(narrow.poll(0) == [(b"a", b"3")], "a watch with a prefix must tell of keys with the prefix")
        with store.transaction() as transaction:
            for number in range(3000):
                transaction.put(b"many%d" % number, b"1")
        expect(len(dict(watch.poll(0))) >= 3000, "a large transaction must be told whole")
        expect(narrow.poll(0) == [], "and to nobody who did not ask")
        store.put(b"a", b"4", ttl=1e-6)
        bench.until(lambda: store.get(b"a") is None, "a microsecond must pass")
        store.expire()
        expect(narrow.poll(0)[-1:] == [(b"a", None)], "what `expire` removes must be told")


def loses_no_change(bench: StoreBench) -> None:
    """However much has happened since the last call, a watch tells of it, of what was removed, too."""
    store = bench.store
    for number in range(20):
        store.put(b"a%02d" % number, b"old")
    state = dict(store.scan(b"a"))
    with store.watch(b"a") as watch:
        store.delete(b"a05")
        store.put(b"a06", b"new")
        for number in range(1500):
            store.put(b"other", b"%d" % number)
        store.delete(b"a07")
        for key, value in watch.poll(0):
            state.pop(key, None) if value is None else state.update({key: value})
        expect(state == dict(store.scan(b"a")), f"who follows a watch must know what is there, and knows {state}")


def wakes_who_waits_for_changes(bench: StoreBench) -> None:
    """A watch that waits returns when something changes, and when its time is up."""
    store = bench.store
    with store.watch() as watch:
        expect(watch.poll(0.01) == [], "when the time is up, nothing is told")
        bench.in_threads(
            lambda: expect(bench.told(watch, 1) == [(b"a", b"1")], "the change must be told"),
            lambda: store.put(b"a", b"1"),
        )


def ends_for_good(bench: StoreBench) -> None:
    """A store that is closed raises StoreError for everything, and so do its watches; closing it again does nothing."""
    store = bench.store
    store.put(b"a", b"1")
    watch, other = store.watch(), store.watch()
    other.close()
    refused(StoreError, "poll of a watch that is closed", other.poll, 0)
    store.close()
    store.close()
    refused(StoreError, "get", store.get, b"a")
    refused(StoreError, "put", store.put, b"a", b"2")
    refused(StoreError, "delete", store.delete, b"a")
    refused(StoreError, "scan", lambda: list(store.scan()))
    refused(StoreError, "watch", store.watch)
    refused(StoreError, "expire", store.expire)
    refused(StoreError, "figures", store.figures)
    refused(StoreError, "poll", watch.poll, 0)
    watch.close()


def keeps_it_when_it_is_closed(bench: StoreBench) -> None:
    """What was written is there when the store is opened again, times to live included."""
    if bench.again is None:
        return
    bench.store.put(b"a", b"1")
    bench.store.put(b"ends", b"1", ttl=1e-6)
    bench.store.put(b"stays", b"1", ttl=1e6)
    bench.store.close()
    with bench.again(bench.store) as store:
        bench.until(lambda: store.get(b"ends") is None, "a microsecond must pass")
        found = list(store.scan())
        expect(found == [(b"a", b"1"), (b"stays", b"1")], f"it must all be there, and is {found}")
        expect(store.expire() == 1, "what has ended must still be known to have")


def is_shared(bench: StoreBench) -> None:
    """Two stores of the same contents see what the other one writes; closing one leaves the other open."""
    if bench.again is None:
        return
    with bench.again(bench.store) as other:
        with other.watch() as watch:
            bench.store.put(b"a", b"1")
            expect(other.get(b"a") == b"1", "what one has written the other must read")
            expect(bench.told(watch, 1) == [(b"a", b"1")], "and be told of")
        other.put(b"a", b"2")
    expect(bench.store.get(b"a") == b"2", "when one is closed, the other must go on")


CHECKS: Final = (
    hides_what_has_ended_at_once,
    removes_what_has_ended,
    refuses_what_is_no_time_to_live,
    tells_of_all_changes,
    loses_no_change,
    wakes_who_waits_for_changes,
    ends_for_good,
    keeps_it_when_it_is_closed,
    is_shared,
)
