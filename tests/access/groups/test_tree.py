from __future__ import annotations

import pytest

from anycore.access.groups.tree import GroupError, check_name, check_subject, label, lineage, parent_of, single
from anycore.kernel.call import ANONYMOUS, UNIDENTIFIED, Identity


@pytest.mark.parametrize("name", ["A", "A.1", "physics.muons.2026", "a-b_c", "x" * 63])
def test_names_of_groups(name: str) -> None:
    assert check_name(name, 16) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "A.",
        ".A",
        "A..1",
        "A/1",
        "A 1",
        "ä",
        "A\n",
        "A\0",
        "-a",
        "x" * 64,
        ".".join(["abcdefgh"] * 30),
        "admins",
        "admins.x",
    ],
)
def test_what_is_no_name_of_a_group(name: str) -> None:
    with pytest.raises(GroupError):
        check_name(name, 100)


def test_the_depth_is_bounded() -> None:
    assert check_name("a.b.c", 3) == "a.b.c"
    with pytest.raises(GroupError, match="4 levels deep: expected at most 3"):
        check_name("a.b.c.d", 3)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("/DC=org/CN=Alice", "dn:/DC=org/CN=Alice"),
        ("dn:/DC=org", "dn:/DC=org"),
        ("/", "dn:/"),
        ("user:bob", "user:bob"),
        ("cn:Alice Smith", "cn:Alice Smith"),
        ("dns:Host.Example.ORG", "dns:host.example.org"),
        ("/DC=org/CN=host/www.example.org", "dn:/DC=org/CN=host/www.example.org"),
    ],
)
def test_members(text: str, kept: str) -> None:
    assert check_subject(text) == kept


@pytest.mark.parametrize(
    "text",
    ["", "*", "anonymous", "authenticated", "local", "net:10.0.0.0/8", "group:ops", "kind:certificate", "bob", "/DC=org/",
     "//", "user:", "user:a\nb", "user:a\0", "/CN=" + "x" * 2000, "DC=org"],
)  # fmt: skip
def test_what_can_be_no_member(text: str) -> None:
    with pytest.raises(GroupError, match="cannot be a member"):
        check_subject(text)


def test_nobody_is_in_a_group_before_he_has_shown_who_he_is() -> None:
    assert single(ANONYMOUS) == []
    assert single(UNIDENTIFIED) == []


def test_an_identity_is_all_that_its_certificate_says() -> None:
    alice = Identity("alice", "certificate", dn="/DC=org/CN=Alice", names=("cn:Alice", "email:alice@example.org"))
    assert single(alice) == [
        "cn:Alice", "dn:/", "dn:/DC=org", "dn:/DC=org/CN=Alice", "email:alice@example.org", "user:alice",
    ]  # fmt: skip
    assert label(alice) == "/DC=org/CN=Alice"
    assert label(Identity("bob", "password")) == "user:bob"


def test_above_and_below() -> None:
    assert parent_of("a.b.c") == "a.b"
    assert parent_of("a") == ""
    assert lineage("a.b.c") == ["a", "a.b", "a.b.c"]
