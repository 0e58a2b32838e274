"""`.clarens_access` is read as a literal, never run, and understood as its module says."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from anycore.access.clarens import read_clarens
from anycore.access.matcher import Matcher
from anycore.access.model import AccessError
from anycore.kernel.call import ANONYMOUS, Identity, Peer
from anycore.kernel.policy import NO_OPINION

FAR = Peer.of_address(("192.0.2.1", 7))
HEAD = "ORDER_ALLOW_DENY=0\nORDER_DENY_ALLOW=1\n"


def grid(dn: str, *groups: str) -> Identity:
    return Identity(dn, "certificate", frozenset(groups), dn)


ALICE, EVE, BOB = grid("/DC=org/OU=good/CN=alice"), grid("/DC=org/OU=bad/CN=eve"), grid("/DC=com/CN=bob", "staff")


def matcher(tmp_path: Path, access: str, now: float = 1000.0) -> Matcher:
    path = tmp_path / "echo" / ".clarens_access"
    path.parent.mkdir(exist_ok=True)
    path.write_text(HEAD + textwrap.dedent(access))
    return Matcher([read_clarens(path, "echo")], clock=lambda: now)


def may(rules: Matcher, identity: Identity, method: str) -> bool | None:
    decision = rules.decide(identity, FAR, method)
    return None if decision is NO_OPINION else decision.allowed


def test_everybody_who_can_log_in_may_use_the_service(tmp_path: Path) -> None:
    rules = matcher(tmp_path, "access = [('', [ORDER_ALLOW_DENY, ['/'], [], [], [], [None, None, None]])]")
    for who in (ALICE, EVE, BOB, Identity("pat", "password")):
        assert may(rules, who, "echo.echo") is True
    assert may(rules, ANONYMOUS, "echo.echo") is False
    assert may(rules, ALICE, "other.echo") is None


def test_allow_deny_denies_who_is_in_both_lists(tmp_path: Path) -> None:
    rules = matcher(tmp_path, "access = [('', [0, ['/DC=org'], ['staff'], ['/DC=org/OU=bad'], []])]")
    assert [may(rules, who, "echo.echo") for who in (ALICE, EVE, BOB, grid("/DC=net"))] == [True, False, True, False]


def test_deny_allow_allows_who_is_in_both_lists(tmp_path: Path) -> None:
    rules = matcher(tmp_path, "access = [('', [ORDER_DENY_ALLOW, ['/DC=org/OU=good'], [], ['/DC=org'], []])]")
    # Not listed at all: allowed, because there is a list of those who are not.
    assert [may(rules, who, "echo.echo") for who in (ALICE, EVE, BOB)] == [True, False, True]
    assert may(rules, ANONYMOUS, "echo.echo") is False
    rules = matcher(tmp_path, "access = [('', [ORDER_DENY_ALLOW, ['/DC=org/OU=good'], [], [], []])]")
    assert [may(rules, who, "echo.echo") for who in (ALICE, EVE, BOB)] == [True, False, False]


def test_the_most_specific_entry_decides_alone(tmp_path: Path) -> None:
    rules = matcher(
        tmp_path,
        """
        access = [
            ('', [ORDER_ALLOW_DENY, ['/'], [], [], []]),
            ('reset', [ORDER_ALLOW_DENY, [], ['staff'], [], []]),
            ('echo.deep.er', [ORDER_ALLOW_DENY, ['/DC=org/OU=bad'], [], [], []]),
        ]
        """,
    )
    assert [may(rules, who, "echo.reset") for who in (ALICE, BOB)] == [False, True]
    assert [may(rules, who, "echo.say") for who in (ALICE, BOB)] == [True, True]
    assert [may(rules, who, "echo.deep.er") for who in (ALICE, EVE)] == [False, True]
    assert may(rules, ALICE, "echo.deep") is True


@pytest.mark.parametrize(("now", "wanted"), [(99.0, False), (100.0, True), (199.0, True), (200.0, False)])
def test_outside_of_its_times_an_entry_allows_nobody(tmp_path: Path, now: float, wanted: bool) -> None:
    text = "access = [('', [0, ['/'], [], [], []]), ('say', [0, ['/'], [], [], [], [None, 100, 200.0]])]"
    rules = matcher(tmp_path, text, now)
    assert may(rules, ALICE, "echo.say") is wanted
    assert may(rules, ALICE, "echo.other") is True


def test_a_prefix_ends_where_a_component_ends(tmp_path: Path) -> None:
    rules = matcher(tmp_path, "access = [('', [0, ['/DC=org/OU=goo', '/DC=com/'], [], [], []])]")
    assert may(rules, ALICE, "echo.echo") is False
    assert may(rules, BOB, "echo.echo") is True


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import os", r":3: only ORDER_ALLOW_DENY.*nothing is run"),
        ("access = [('', [0, [__import__('os').system('touch OWNED')], [], [], []])]", ":3: expected a literal"),
        ("access = [x for x in ()]", ":3: expected a list of entries"),
        ("access = [('', [0, ['/'] + ['/DC=org'], [], [], []])]", ":3: expected a literal"),
        ("access = [('', [0, [f'{open}'], [], [], []])]", ":3: expected a literal"),
        ("access = [*[]]", ":3: expected a literal"),
        ("access: list = []", ":3: only ORDER"),
        ("ORDER_ALLOW_DENY = 1\naccess = []", ":3: only ORDER"),
        ("def access(): pass", ":3: only ORDER"),
        ("x = access = []", ":3: only ORDER"),
        ("", r":1: there is no list of entries"),
        ("access = [('', 5)]", ":3: the entry for '': expected"),
        ("access = [('', [2, [], [], [], []])]", ":3: the entry for '': expected"),
        ("access = [('', [0.0, [], [], [], []])]", ":3: the entry for '': expected"),
        ("access = [('', [0, '/', [], [], []])]", ":3: the entry for '': expected a list of names, got '/'"),
        (
            "access = [('', [0, ['DC=org'], [], [], []])]",
            ":3: the entry for '': expected the beginning of a distinguished",
        ),
        (
            "access = [('', [0, [], [], [], [], [None, 'now', None]])]",
            r":3: the entry for '': expected \[time of change",
        ),
        ("access = [('', [0, [], [], [], [], [None, 1e300, None]])]", ":3: the entry for '': a time is out of range"),
        ("access = [('a*', [0, [], [], [], []])]", r":3: the entry for 'a\*': expected the name of a method"),
        ("access = [('', [0, [], [], [], []], 1)]", ":3: expected a pair"),
        ("access = [('', [0, [], [], [], [])]", ":3: .*correct the Python literal"),
        ("access = [('', [True, [], [], [], []])]", ":3: expected a literal"),
    ],
)
def test_what_is_no_such_literal_is_refused_and_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AccessError, match=said):
        matcher(tmp_path, text)
    assert not (tmp_path / "OWNED").exists()


def test_documentation_and_sets_of_one_element_are_fine(tmp_path: Path) -> None:
    path = tmp_path / ".clarens_access"
    path.write_text('"""Who may."""\n' + HEAD + "access = (('', (ORDER_ALLOW_DENY, ('/',))),)\n")
    assert may(Matcher([read_clarens(path, "echo")]), ALICE, "echo.x") is True


def test_files_that_are_too_large_or_no_text(tmp_path: Path) -> None:
    path = tmp_path / ".clarens_access"
    path.write_bytes(b"#" * 2_000_000)
    with pytest.raises(AccessError, match="2000000 bytes"):
        read_clarens(path, "echo")
    path.write_bytes(b"access = '\xff'")
    with pytest.raises(AccessError, match="expected assignments of literals in UTF-8"):
        read_clarens(path, "echo")
    path.write_bytes(b"access = \0")
    with pytest.raises(AccessError, match="access"):
        read_clarens(path, "echo")
    path.write_text("access = " + "[" * 5000)
    with pytest.raises(AccessError, match="access"):
        read_clarens(path, "echo")
    with pytest.raises(AccessError, match="cannot be read"):
        read_clarens(tmp_path / "missing", "echo")
    path.write_text("access = []")
    with pytest.raises(AccessError, match="no name of a service"):
        read_clarens(path, "ec*o")
