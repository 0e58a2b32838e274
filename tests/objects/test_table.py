"""The table of what the peer holds: counts against a model, ids, names, the end."""

from __future__ import annotations

import collections
import gc
import sys
import threading
import weakref
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anycore.objects.table import ObjectTable, TableFullError


class Thing:
    """A thing."""


def test_instances_classes_and_modules_have_packs_of_their_kind() -> None:
    table = ObjectTable()
    first, second, cls = table.lend(Thing()), table.lend(Thing()), table.lend(Thing)
    assert first[0] == second[0] == cls[0] == f"{__name__}.Thing"
    assert first[1] == second[1] == cls[1]
    assert cls[2] == 0 and first[2] and second[2] and first[2] != second[2]
    assert table.lend([])[0] == "builtins.list"
    assert table.lend(len)[0] == "builtins.builtin_function_or_method"
    assert table.lend(collections)[0] == "collections"
    assert table.lend(ModuleType("made up"))[0] == "builtins.made up"
    assert all(isinstance(part, int) for part in first[1:])


def test_numbers_are_never_used_again() -> None:
    table = ObjectTable()
    seen = set()
    for _ in range(100):
        pack = table.lend(Thing())
        table.drop(pack)
        assert pack not in seen
        seen.add(pack)
        with pytest.raises(KeyError):
            table.find(pack)
        with pytest.raises(KeyError):
            table.drop(pack)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=60), st.randoms(use_true_random=False))
def test_the_table_holds_what_a_peer_with_a_late_tongue_holds(steps: list[tuple[int, bool]], chance: Any) -> None:
    """The peer's own arithmetic: a proxy counts what it was given while it lived, and says so when it goes, later."""
    table = ObjectTable()
    objects = [Thing() for _ in range(4)]
    inbox: list[Any] = []  # references on their way to the peer
    outbox: list[Any] = []  # drops on their way back
    proxies: dict[Any, int] = {}
    for number, goes in steps:
        if goes:
            if inbox:
                pack = inbox.pop(0)
                proxies[pack] = proxies.get(pack, 0) + 1
            elif proxies:
                pack = chance.choice(sorted(proxies))
                outbox.append((pack, proxies.pop(pack)))
        else:
            inbox.append(table.lend(objects[number]))
        if outbox and chance.random() < 0.5:
            table.drop(*outbox.pop(0))
        for pack in {*inbox, *proxies}:
            assert table.find(pack) in objects
    for pack in inbox:
        proxies[pack] = proxies.get(pack, 0) + 1
    outbox += proxies.items()
    for drop in outbox:
        table.drop(*drop)
    assert len(table) == 0


def test_many_threads_lend_and_drop_the_same_objects() -> None:
    table = ObjectTable()
    objects = [Thing() for _ in range(5)]

    def work() -> None:
        for number in range(2000):
            table.drop(table.lend(objects[number % 5]))

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    held = [table.lend(obj) for obj in objects]
    try:
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    for pack in held:
        table.drop(pack)
    assert len(table) == 0


def test_the_limit_is_kept_and_says_what_to_do() -> None:
    table = ObjectTable(2)
    one, two = Thing(), Thing()
    table.lend(one)
    pack = table.lend(two)
    table.lend(one)
    with pytest.raises(TableFullError, match="max_objects"):
        table.lend(Thing())
    table.drop(pack)
    table.lend(Thing())


def test_after_the_end_nothing_is_held_or_taken() -> None:
    table = ObjectTable()
    thing = Thing()
    gone = weakref.ref(thing)
    table.lend(thing)
    table.close()
    del thing
    gc.collect()
    assert gone() is None
    with pytest.raises(TableFullError, match="ended"):
        table.lend(Thing())


@pytest.mark.parametrize("pack", [None, 5, "x", (), (1, 2), [], {}, ("x", [], 1), ("x", 1, 2)])
def test_packs_of_any_shape_are_unknown(pack: Any) -> None:
    table = ObjectTable()
    for action in (table.find, table.drop):
        with pytest.raises(KeyError):
            action(pack)


@pytest.mark.parametrize("count", [0, -1, True, 1.5, "x", None, ()])
def test_counts_of_any_shape_are_refused(count: Any) -> None:
    table = ObjectTable()
    pack = table.lend(Thing())
    with pytest.raises(ValueError, match="1 or more"):
        table.drop(pack, count)
    assert len(table) == 1


def test_a_huge_count_drops_once() -> None:
    table = ObjectTable()
    table.drop(table.lend(Thing()), 10**30)
    assert len(table) == 0


def test_an_object_that_lies_or_fails_about_its_class() -> None:
    class Lying:
        @property  # type: ignore[misc]
        def __class__(self) -> Any:
            raise RuntimeError("no")

    class Odd(type):
        def __getattribute__(cls, name: str) -> Any:
            raise RuntimeError("no")

    class Strange(metaclass=Odd):
        pass

    table = ObjectTable()
    assert table.lend(Lying())[0].endswith("Lying")
    assert table.lend(Strange)[0].endswith("Strange")
    assert table.lend(ModuleType("\ud800"))[0].endswith("\\ud800")


def test_a_finaliser_may_come_back_while_the_table_is_at_work() -> None:
    table = ObjectTable()
    done: list[int] = []

    class Coming:
        def __del__(self) -> None:
            table.drop(table.lend(Thing()))
            done.append(1)

    thresholds = gc.get_threshold()
    gc.set_threshold(1, 1, 1)
    try:
        for _ in range(300):
            thing = Coming()
            thing.me = thing  # type: ignore[attr-defined]
            pack = table.lend(Thing())
            del thing
            table.drop(pack)
    finally:
        gc.set_threshold(*thresholds)
    gc.collect()
    assert len(done) == 300 and len(table) == 0
