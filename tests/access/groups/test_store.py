from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anycore.access.groups.records import Part
from anycore.access.groups.store import Groups
from anycore.access.groups.tree import ForbiddenError, GroupError, GroupSettings, NoGroupError, TooManyError
from anycore.kernel.call import ANONYMOUS, Identity
from anycore.store import namespace, open_store

ROOT = "/DC=org/CN=Root"
ROOTS = GroupSettings(admins=(ROOT,))


def person(name: str, above: str = "/DC=org") -> Identity:
    return Identity(name.lower(), "certificate", dn=f"{above}/CN={name}", names=(f"cn:{name}",))


root, alice, bob, carol = (person(name) for name in ("Root", "Alice", "Bob", "Carol"))


@pytest.fixture
def groups() -> Groups:
    return tree()


def tree(bounds: GroupSettings = ROOTS) -> Groups:
    store = namespace(open_store("memory:"), "groups")
    return Groups(lambda: store, bounds)


def made(*names: str, bounds: GroupSettings = ROOTS) -> Groups:
    groups = tree(bounds)
    for name in names:
        groups.create(name, actor=root)
    return groups


def test_a_member_of_a_group_is_in_all_below_it_and_in_none_above() -> None:
    groups = made("A", "A.1", "A.1.x", "A.2", "B", "AA")
    assert groups.add("member", "A.1", alice.dn, actor=root)
    assert groups.reached("member", alice) == {"A.1", "A.1.x"}
    assert groups.add("member", "A", "/DC=org", actor=root)
    assert groups.reached("member", alice) == {"A", "A.1", "A.1.x", "A.2"}
    assert groups.reached("member", person("Dora", "/DC=com")) == frozenset()
    assert groups.reached("member", ANONYMOUS) == frozenset()


def test_a_prefix_ends_where_a_component_does() -> None:
    groups = made("A")
    groups.add("member", "A", "/DC=org/CN=Al", actor=root)
    assert groups.reached("member", alice) == frozenset()
    assert groups.reached("member", person("Al")) == {"A"}


def test_groups_made_later_count_at_once() -> None:
    groups = made("A")
    groups.add("member", "A", alice.dn, actor=root)
    groups.create("A.1", actor=root)
    assert groups.reached("member", alice) == {"A", "A.1"}


def test_who_administers_the_whole_is_in_the_group_admins() -> None:
    groups = made("A")
    assert groups.reached("member", root) == {"admins"}
    assert groups.reached("admin", root) == {"A"}
    assert [entry.subject for entry in groups.entries("member", "admins")] == [f"dn:{ROOT}"]


@pytest.mark.parametrize(
    "change",
    [
        lambda groups, who: groups.create("B.new", actor=who),
        lambda groups, who: groups.create("new", actor=who),
        lambda groups, who: groups.delete("B.x", actor=who),
        lambda groups, who: groups.delete("A.1", actor=who),
        lambda groups, who: groups.delete("A", recursive=True, actor=who),
        lambda groups, who: groups.describe("A", "mine", actor=who),
        lambda groups, who: groups.add("member", "A", "user:x", actor=who),
        lambda groups, who: groups.add("admin", "A", who.dn, actor=who),
        lambda groups, who: groups.add("admin", "A.2", who.dn, actor=who),
        lambda groups, who: groups.add("member", "A.10", "user:x", actor=who),
        lambda groups, who: groups.remove("admin", "B", bob.dn, actor=who),
        lambda groups, who: groups.remove("member", "A", carol.dn, actor=who),
        lambda groups, who: groups.add("member", "nowhere", "user:x", actor=who),
    ],
)
def test_an_administrator_of_a_subtree_touches_neither_siblings_nor_parents(
    change: Callable[[Groups, Identity], Any],
) -> None:
    groups = made("A", "A.1", "A.1.x", "A.2", "A.10", "B", "B.x")
    groups.add("admin", "A.1", alice.dn, actor=root)
    groups.add("admin", "B", bob.dn, actor=root)
    groups.add("member", "A", carol.dn, actor=root)
    before = groups.generation()
    with pytest.raises(ForbiddenError, match="/DC=org/CN=Alice may not"):
        change(groups, alice)
    assert groups.generation() == before


def test_an_administrator_manages_its_group_and_all_below() -> None:
    groups = made("A", "A.1", "A.1.x")
    groups.add("admin", "A.1", alice.dn, actor=root)
    assert groups.reached("admin", alice) == {"A.1", "A.1.x"}
    groups.create("A.1.y", "of Alice", actor=alice)
    assert groups.add("member", "A.1.x", bob.dn, actor=alice)
    assert groups.add("admin", "A.1", bob.dn, actor=alice)
    assert groups.remove("admin", "A.1", alice.dn, actor=bob)
    with pytest.raises(ForbiddenError):
        groups.create("A.1.z", actor=alice)
    assert groups.delete("A.1.y", actor=bob) == ["A.1.y"]


def test_a_member_administers_nothing_and_an_administrator_is_no_member() -> None:
    groups = made("A")
    groups.add("member", "A", alice.dn, actor=root)
    groups.add("admin", "A", bob.dn, actor=root)
    with pytest.raises(ForbiddenError):
        groups.add("member", "A", "user:x", actor=alice)
    assert groups.reached("member", bob) == frozenset()


def test_somebody_anonymous_changes_nothing_whatever_the_settings_name() -> None:
    groups = made("A", bounds=GroupSettings(admins=("user:anonymous", ROOT)))
    with pytest.raises(ForbiddenError):
        groups.create("B", actor=ANONYMOUS)


def test_a_change_that_changes_nothing_leaves_no_trace() -> None:
    groups = made("A")
    assert groups.add("member", "A", "user:x", actor=root)
    before = groups.generation()
    assert not groups.add("member", "A", "user:x", actor=root)
    assert not groups.remove("member", "A", "user:y", actor=root)
    assert groups.generation() == before


def test_deleting_a_group_forgets_its_members() -> None:
    groups = made("A", "A.1")
    groups.add("member", "A.1", alice.dn, actor=root)
    groups.add("admin", "A", alice.dn, actor=root)
    with pytest.raises(GroupError, match=r"A has groups below it, such as A\.1"):
        groups.delete("A", actor=root)
    assert groups.delete("A", recursive=True, actor=root) == ["A", "A.1"]
    for name in ("A", "A.1"):
        groups.create(name, actor=root)
    assert groups.reached("member", alice) == groups.reached("admin", alice) == frozenset()
    assert groups.record("A").member == groups.record("A").admin == 0


def test_the_trail_says_who_did_what_when() -> None:
    groups = made("A", "A.1", "B")
    groups.add("admin", "A", alice.dn, actor=root)
    groups.add("member", "A.1", "user:x", actor=alice)
    groups.remove("member", "A.1", "user:x", actor="operator ada")
    told = [(one.number, one.who, one.action, one.group, one.detail) for one in groups.audit()]
    assert told == [
        (6, "operator ada", "remove_member", "A.1", "user:x"),
        (5, alice.dn, "add_member", "A.1", "user:x"),
        (4, ROOT, "add_admin", "A", f"dn:{alice.dn}"),
        (3, ROOT, "create", "B", ""),
        (2, ROOT, "create", "A.1", ""),
        (1, ROOT, "create", "A", ""),
    ]
    assert [one.number for one in groups.audit("A.1")] == [6, 5, 2]
    assert [one.number for one in groups.audit("A", limit=2, before=5)] == [4, 2]
    times = [one.time for one in groups.audit()]
    assert times == sorted(times, reverse=True)


def test_of_the_trail_only_so_much_is_kept() -> None:
    groups = made("A", bounds=GroupSettings(admins=(ROOT,), audit=3))
    for number in range(6):
        groups.add("member", "A", f"user:{number}", actor=root)
    assert [one.number for one in groups.audit()] == [7, 6, 5]


def test_bounds() -> None:
    groups = made("A", "B", bounds=GroupSettings(admins=(ROOT,), groups=2, members=2, depth=2))
    with pytest.raises(TooManyError, match="there are 2 groups; raise `groups`"):
        groups.create("C", actor=root)
    groups.add("member", "A", "user:x", actor=root)
    groups.add("member", "A", "user:y", actor=root)
    with pytest.raises(TooManyError, match="A has 2 members; raise `members`"):
        groups.add("member", "A", "user:z", actor=root)
    groups.add("admin", "A", "user:z", actor=root)
    groups.remove("member", "A", "user:x", actor=root)
    assert groups.add("member", "A", "user:z", actor=root)
    with pytest.raises(GroupError, match="3 levels deep"):
        groups.create("A.b.c", actor=root)
    with pytest.raises(GroupError, match="expected at most 1000"):
        groups.describe("A", "x" * 1001, actor=root)


def test_what_is_not_there() -> None:
    groups = made("A")
    for question in (lambda: groups.record("B"), lambda: groups.entries("member", "B")):
        with pytest.raises(NoGroupError, match="there is no group 'B'"):
            question()
    with pytest.raises(NoGroupError):
        groups.create("B.1", actor=root)
    with pytest.raises(GroupError, match="there is a group A already"):
        groups.create("A", actor=root)
    with pytest.raises(GroupError, match="made by the server"):
        groups.add("member", "admins", alice.dn, actor=root)


NAMES = ["A", "B", "A.1", "A.2", "A.1.x", "B.1", "A1"]
PEOPLE = [person(name, above) for above in ("/DC=org", "/DC=org/OU=x") for name in ("Al", "Alice")]
SUBJECTS = ["/DC=org", "/DC=org/OU=x", "/", "user:al", "cn:Alice", *(one.dn for one in PEOPLE)]
changes = st.one_of(
    st.tuples(st.just("create"), st.sampled_from(NAMES)),
    st.tuples(st.just("delete"), st.sampled_from(NAMES), st.booleans()),
    st.tuples(
        st.sampled_from(["add", "remove"]),
        st.sampled_from(["member", "admin"]),
        st.sampled_from(NAMES),
        st.sampled_from(SUBJECTS),
    ),
)


class Naive:
    """The tree as a person would explain it."""

    def __init__(self) -> None:
        self.member: dict[str, set[str]] = {}
        self.admin: dict[str, set[str]] = {}

    def is_one(self, who: Identity, subject: str) -> bool:
        if subject.startswith("/"):
            return subject in ("/", who.dn) or who.dn.startswith(f"{subject}/")
        return subject in (f"user:{who.name}", *who.names)

    def has(self, part: Part, name: str, who: Identity) -> bool:
        above = name
        while above:
            if any(self.is_one(who, one) for one in getattr(self, part).get(above, ())):
                return True
            above = above.rpartition(".")[0]
        return False

    def apply(self, change: tuple[Any, ...], who: Identity) -> bool:
        verb, name = change[0], change[2] if change[0] in ("add", "remove") else change[1]
        where = name.rpartition(".")[0] if verb in ("create", "delete") else name
        if who is not root and not (where and self.has("admin", where, who)):
            return False
        if verb == "create":
            if name in self.member or (where and where not in self.member):
                return False
            self.member[name], self.admin[name] = set(), set()
            return True
        if name not in self.member:
            return False
        if verb == "delete":
            below = [one for one in self.member if one.startswith(f"{name}.")]
            if below and not change[2]:
                return False
            for one in (name, *below):
                del self.member[one], self.admin[one]
            return True
        subjects = getattr(self, change[1])[name]
        (subjects.add if verb == "add" else subjects.discard)(change[3])
        return True


def apply(groups: Groups, change: tuple[Any, ...], who: Identity) -> bool:
    verb = change[0]
    try:
        if verb == "create":
            groups.create(change[1], actor=who)
        elif verb == "delete":
            groups.delete(change[1], recursive=change[2], actor=who)
        else:
            getattr(groups, verb)(change[1], change[2], change[3], actor=who)
    except GroupError:
        return False
    return True


@settings(max_examples=120, deadline=None)
@given(st.lists(st.tuples(changes, st.sampled_from([root, root, *PEOPLE])), max_size=30))
def test_the_tree_is_what_a_plain_model_says(history: list[tuple[tuple[Any, ...], Identity]]) -> None:
    groups, naive = tree(), Naive()
    for name in ("A", "B"):
        assert apply(groups, ("create", name), root)
        assert naive.apply(("create", name), root)
    for change, who in history:
        assert apply(groups, change, who) == naive.apply(change, who), (change, who.dn)
    assert groups.names() == sorted(naive.member)
    for who in PEOPLE:
        for part in ("member", "admin"):
            expected = {name for name in naive.member if naive.has(part, name, who)}
            assert groups.reached(part, who) == expected, (part, who.dn)
    for name in naive.member:
        record = groups.record(name)
        assert (record.member, record.admin) == (len(naive.member[name]), len(naive.admin[name]))
