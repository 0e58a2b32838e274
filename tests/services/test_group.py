from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from anycore.access.groups.lookup import GroupLookup
from anycore.access.groups.store import Groups
from anycore.access.groups.tree import GroupSettings
from anycore.kernel.call import ANONYMOUS, Call, Identity
from anycore.kernel.kernel import Kernel
from anycore.kernel.registry import verify
from anycore.services.group import Group
from anycore.store import namespace, open_store
from anycore.wire.faults import ACCESS_DENIED, INVALID_PARAMS, OVERLOADED, Fault


def person(name: str) -> Identity:
    return Identity(name, "certificate", dn=f"/DC=org/CN={name}")


ROOT, ALICE, BOB = (person(name) for name in ("Root", "Alice", "Bob"))


class Caller:
    """Calls the methods as somebody."""

    def __init__(self, **bounds: Any) -> None:
        store = namespace(open_store("memory:"), "groups")
        groups = Groups(lambda: store, GroupSettings(admins=(ROOT.dn,), **bounds))
        self.lookup = GroupLookup(groups)
        self.kernel = Kernel()
        self.kernel.registry.commit([verify(Group(groups, self.lookup.look), "test")])

    def __call__(self, who: Identity, method: str, *args: Any, **kwargs: Any) -> Any:
        return self.kernel.handle(Call(f"group.{method}", args, kwargs or None, identity=who)).unwrap()

    def fails(self, code: int, who: Identity, method: str, *args: Any) -> str:
        with pytest.raises(Fault) as raised:
            self(who, method, *args)
        assert raised.value.code == code
        return raised.value.message


@pytest.fixture
def ask() -> Caller:
    return Caller()


def test_a_tree_is_made_and_changed(ask: Caller) -> None:
    assert ask(ROOT, "create", "A", "first") is True
    assert ask(ROOT, "add_admin", "A", ALICE.dn) is True
    assert ask(ROOT, "add_admin", "A", ALICE.dn) is False
    assert ask(ALICE, "create", "A.1", description="below") is True
    assert ask(ALICE, "add_member", "A.1", BOB.dn) is True
    assert ask(BOB, "mine") == ask(BOB, "list") == ["A.1"]
    assert ask(ALICE, "mine") == []
    assert ask(ALICE, "list") == ["A", "A.1"]
    assert ask(ALICE, "list", "A.1") == ["A.1"]
    assert ask(BOB, "is_member", "A.1") is True
    assert ask(BOB, "is_member", "A") is False
    assert ask(ALICE, "describe", "A.1", "changed") is True
    assert ask(ALICE, "remove_member", "A.1", BOB.dn) is True
    assert ask(ALICE, "remove_member", "A.1", BOB.dn) is False
    assert ask(ALICE, "delete", "A.1") == ["A.1"]
    assert ask(ROOT, "remove_admin", "A", ALICE.dn) is True
    assert ask(ROOT, "list") == ["A", "admins"]
    assert ask(ROOT, "members", "admins") == [f"dn:{ROOT.dn}"]
    assert ask(ROOT, "admins", "admins") == []
    assert ask(ROOT, "info", "admins")["members"] == 1


def test_what_there_is_to_know_goes_over_every_wire(ask: Caller) -> None:
    ask(ROOT, "create", "A", "first")
    ask(ROOT, "create", "A.1")
    ask(ROOT, "add_member", "A", BOB.dn)
    info = ask(BOB, "info", "A")
    created = info.pop("created")
    assert isinstance(created, datetime)
    assert abs((datetime.now(UTC) - created).total_seconds()) < 3600
    assert json.loads(json.dumps(info)) == {
        "name": "A", "description": "first", "members": 1, "admins": 0, "below": ["A.1"], "by": ROOT.dn,
    }  # fmt: skip
    assert ask(BOB, "members", "A") == [f"dn:{BOB.dn}"]
    assert ask(BOB, "admins", "A") == []


def test_a_group_that_does_not_concern_one_is_as_if_it_were_not(ask: Caller) -> None:
    ask(ROOT, "create", "A")
    for who in (ALICE, ANONYMOUS):
        for method in ("info", "members", "admins"):
            there, not_there = (ask.fails(INVALID_PARAMS, who, method, name) for name in ("A", "B"))
            assert there.replace("'A'", "'B'") == not_there
        assert ask(who, "list") == []
        assert ask(who, "is_member", "A") is False


def test_the_trail_is_for_administrators(ask: Caller) -> None:
    ask(ROOT, "create", "A")
    ask(ROOT, "create", "B")
    ask(ROOT, "add_admin", "A", ALICE.dn)
    ask(ROOT, "add_member", "A", BOB.dn)
    trail = ask(ALICE, "audit", "A")
    assert [(one["number"], one["action"]) for one in trail] == [(4, "add_member"), (3, "add_admin"), (1, "create")]
    assert trail[0]["who"] == ROOT.dn
    assert isinstance(trail[0]["time"], datetime)
    assert [one["number"] for one in ask(ROOT, "audit", limit=2)] == [4, 3]
    assert [one["number"] for one in ask(ROOT, "audit", before=3)] == [2, 1]
    for who, name in ((ALICE, ""), (ALICE, "B"), (BOB, "A"), (ANONYMOUS, "")):
        ask.fails(ACCESS_DENIED, who, "audit", name)
    ask.fails(INVALID_PARAMS, ROOT, "audit", "", 0)
    ask.fails(INVALID_PARAMS, ROOT, "audit", "", 1001)


def test_faults_say_whose_they_are() -> None:
    ask = Caller(groups=1, depth=2)
    assert "for who administers the whole tree" in ask.fails(ACCESS_DENIED, ALICE, "create", "A")
    assert "anonymous may not" in ask.fails(ACCESS_DENIED, ANONYMOUS, "create", "A")
    ask(ROOT, "create", "A")
    assert "raise `groups`" in ask.fails(OVERLOADED, ROOT, "create", "B")
    assert "cannot be the name of a group" in ask.fails(INVALID_PARAMS, ROOT, "create", "A..1")
    assert "cannot be a member" in ask.fails(INVALID_PARAMS, ROOT, "add_member", "A", "*")
    assert "there is no group" in ask.fails(INVALID_PARAMS, ROOT, "add_member", "C", "user:x")
    assert "parameter 'subject'" in ask.fails(INVALID_PARAMS, ROOT, "add_member", "A", 7)


def test_a_change_is_in_force_before_its_answer(ask: Caller) -> None:
    ask(ROOT, "create", "A")
    for _ in range(3):
        ask(ROOT, "add_member", "A", BOB.dn)
        assert ask.lookup(BOB) == {"A"}
        ask(ROOT, "remove_member", "A", BOB.dn)
        assert ask.lookup(BOB) == frozenset()
