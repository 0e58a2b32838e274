"""Rules in TOML: read whole, or refused whole with the place and the cure of everything that is wrong."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from anycore.access.matcher import Matcher
from anycore.access.model import AccessError, Effect, Kind
from anycore.access.toml_rules import read_file
from anycore.kernel.call import Identity, Peer

FULL = """\
[access.groups]
ops = ["cn:alice", "group:admins"]
everybody-here = ["group:ops", "net:10.0.0.0/8"]

# a comment with [[access.rule]] in it
[[access.rule]]
deny = ["thermostat.reset"]
to = ["anonymous"]

[[access.rule]]
allow = ["thermostat.*", "system"]
allow_read = ["/pub", "/home/*/out"]
to = ["group:everybody-here", "user:bob"]
valid_from = 2026-01-01T00:00:00Z
valid_until = 2027-01-01T00:00:00+01:00

  [[ access . rule ]]
allow_attributes = ["thermostat.Sensor.*"]
to = ["*"]
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "access.toml"
    path.write_text(text, encoding="utf-8")
    return path


def problems(tmp_path: Path, text: str) -> list[str]:
    path = write(tmp_path, text)
    with pytest.raises(AccessError) as caught:
        read_file(path)
    return [problem.replace(f"{path}", "FILE") for problem in caught.value.problems]


def test_rules_are_read_with_their_lines(tmp_path: Path) -> None:
    path = write(tmp_path, FULL)
    found = read_file(path)
    (rules,) = found.sections
    assert [(rule.where.removeprefix(f"{path}:"), rule.effect, rule.kind) for rule in rules] == [
        ("6", Effect.DENY, Kind.CALL),
        ("10", Effect.ALLOW, Kind.CALL),
        ("10", Effect.ALLOW, Kind.READ),
        ("17", Effect.ALLOW, Kind.ATTRIBUTE),
    ]
    assert rules[1].start == datetime(2026, 1, 1, tzinfo=UTC)
    assert rules[1].end == datetime(2026, 12, 31, 23, tzinfo=UTC)
    assert str(rules[0]) == f"{path}:6: deny thermostat.reset to anonymous"
    assert found.groups["ops"] == ("cn:alice", "group:admins")
    matcher = Matcher([found], clock=lambda: datetime(2026, 6, 1, tzinfo=UTC).timestamp())
    admin = Identity("x", "token", frozenset({"admins"}))
    assert matcher.decide(admin, Peer.of_address(("192.0.2.1", 1)), "thermostat.set").allowed


def test_rules_within_a_line_have_no_line_but_a_place(tmp_path: Path) -> None:
    text = 'access.rule = [{allow = ["a"], to = ["*"]}, {deny = ["b."], to = ["*"]}]\n'
    assert problems(tmp_path, text)[0].startswith("FILE: access.rule[1].deny: 'b.': it has an empty part")


def test_a_header_within_a_text_does_not_shift_lines(tmp_path: Path) -> None:
    text = '[access.groups]\na = ["""user:\n[[access.rule]]\n"""]\n[[access.rule]]\nallow = ["a"]\nto = ["*"]\n'
    path = write(tmp_path, text)
    assert read_file(path).sections[0][0].where == str(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[access]\nrules = []", "FILE: access.rules: there is no such key here; did you mean rule?"),
        ("[access]\ndefault = 'deny'", "FILE: access.default: there is no such key here"),
        ("[server]\ncore = 'x'", "FILE: server: only [[access.rule]] and [access.groups] belong here"),
        ("access = 1", "FILE: access: expected a table"),
        ("[access.rule]\nallow = ['a']", "FILE: access.rule: expected tables; write [[access.rule]]"),
        ("[[access.rule]]\nto = ['*']", "FILE:1: access.rule[0]: it neither allows nor denies anything"),
        (
            "[[access.rule]]\nallow = ['a']\ndeny = ['b']\nto = ['*']",
            "FILE:1: access.rule[0]: it allows and denies; write two rules",
        ),
        ("[[access.rule]]\nallow = ['a']", "FILE:1: access.rule[0].to: it does not say whom it concerns"),
        ("[[access.rule]]\nallow = []\nto = ['*']", "FILE:1: access.rule[0].allow: expected a list of strings, got []"),
        (
            "[[access.rule]]\nallow = 'a'\nto = ['*']",
            "FILE:1: access.rule[0].allow: expected a list of strings, got 'a'",
        ),
        ("[[access.rule]]\nallow = ['a']\nto = []", "FILE:1: access.rule[0].to: expected a list of strings, got []"),
        ("[[access.rule]]\nallow = ['a']\nto = ['bob']", "FILE:1: access.rule[0].to: 'bob': expected"),
        (
            "[[access.rule]]\nalow = ['a']\nto = ['*']",
            "FILE:1: access.rule[0].alow: there is no such key; did you mean allow?",
        ),
        (
            "[[access.rule]]\nallow_read = ['pub']\nto = ['*']",
            "FILE:1: access.rule[0].allow_read: 'pub': expected a path",
        ),
        (
            "[[access.rule]]\nallow_attributes = ['a.B.__class__']\nto = ['*']",
            "FILE:1: access.rule[0].allow_attributes: 'a.B.__class__': names that begin with an underscore are never opened",
        ),
        (
            "[[access.rule]]\nallow = ['a']\nto = ['*']\nvalid_from = 2026-01-01",
            "FILE:1: access.rule[0].valid_from: expected a time with its zone, got 2026-01-01",
        ),
        (
            "[[access.rule]]\nallow = ['a']\nto = ['*']\nvalid_from = 2026-01-02T00:00:00",
            "FILE:1: access.rule[0].valid_from: expected a time with its zone",
        ),
        (
            "[[access.rule]]\nallow = ['a']\nto = ['*']\nvalid_from = 2026-01-02T00:00:00Z\nvalid_until = 2026-01-02T00:00:00Z",
            "FILE:1: access.rule[0].valid_until: it is not after valid_from",
        ),
        ("[access.groups]\n'a b' = ['*']", "FILE: access.groups.a b: expected a name of letters"),
        ("[access.groups]\na = ['b']", "FILE: access.groups.a: 'b': expected"),
        (
            "[access.groups]\na = ['group:b']\nb = ['group:a']",
            "FILE: access.groups.a: it is a member of itself, by a > b > a",
        ),
        ("[access.groups]\na = ['group:a']", "FILE: access.groups.a: it is a member of itself, by a > a"),
        ("access.groups = 1", "FILE: access.groups: expected a table"),
        ("x = [", "FILE: Invalid value"),
    ],
)
def test_what_is_wrong_is_said_with_its_place_and_cure(tmp_path: Path, text: str, said: str) -> None:
    assert problems(tmp_path, text)[0].startswith(said), problems(tmp_path, text)


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    text = "[[access.rule]]\nallow = ['a b', 'c']\nto = ['bob', 'user:x']\n[[access.rule]]\nto = ['x']\n[access]\nfoo = 1\n"
    assert len(problems(tmp_path, text.replace("[access]\nfoo = 1\n", ""))) == 4


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(AccessError, match=r"cannot be read: No such file.*check the path"):
        read_file(tmp_path / "missing")
    (tmp_path / "latin").write_bytes(b"# \xe9")
    with pytest.raises(AccessError, match="byte 2 is not UTF-8"):
        read_file(tmp_path / "latin")
