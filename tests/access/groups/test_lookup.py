from __future__ import annotations

import time
from pathlib import Path

import pytest

from anycore.access.groups.lookup import GroupLookup
from anycore.access.groups.store import Groups
from anycore.access.groups.tree import GroupSettings
from anycore.kernel.call import ANONYMOUS, Identity
from anycore.store import namespace, open_store

alice = Identity("alice", "certificate", dn="/DC=org/CN=Alice")


def test_a_change_is_seen_at_once_by_who_made_it_and_soon_by_others(tmp_path: Path) -> None:
    with open_store(f"lmdb:{tmp_path}/store") as store:
        groups = Groups(lambda: namespace(store, "groups"))
        here, there = GroupLookup(groups), GroupLookup(groups)
        assert here(alice) == there(alice) == frozenset()
        groups.create("A", actor="test")
        groups.add("member", "A", "/DC=org", actor="test")
        here.look()
        assert here(alice) == {"A"}
        deadline = time.monotonic() + 30
        while there(alice) != {"A"}:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        groups.remove("member", "A", "/DC=org", actor="test")
        here.look()
        assert here(alice) == frozenset()


def test_the_same_answer_is_the_same_object() -> None:
    store = namespace(open_store("memory:"), "groups")
    lookup = GroupLookup(Groups(lambda: store, GroupSettings(admins=(alice.dn,))))
    assert lookup(alice) == {"admins"}
    assert lookup(alice) is lookup(Identity("alice", "certificate", dn="/DC=org/CN=Alice"))


def test_nobody_opens_a_store_for_the_anonymous() -> None:
    def refuse() -> None:
        pytest.fail("the store was opened")

    assert GroupLookup(Groups(refuse))(ANONYMOUS) == frozenset()  # type: ignore[arg-type]
