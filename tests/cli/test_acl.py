"""`anycore acl`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from anycore.cli.exits import Exit

Run = Callable[..., Result]

RULES = """\
[server]
core = "not looked at"
[access]
default = "deny"
[access.groups]
lab = ["net:10.0.0.0/8"]
[[access.rule]]
deny = ["thermostat.reset"]
to = ["anonymous"]
[[access.rule]]
allow = ["thermostat.*"]
allow_read = ["/pub"]
to = ["group:lab", "user:bob"]
[[access.rule]]
allow = ["*"]
to = ["group:ops"]
valid_until = 2030-01-01T00:00:00Z
[[access.rule]]
allow_attributes = ["thermostat.Sensor.colour"]
to = ["*"]
"""


@pytest.fixture(autouse=True)
def _rules() -> None:
    Path("anycore.toml").write_text(RULES)


def test_the_rule_that_decides_is_named_with_its_line(run: Run) -> None:
    result = run("acl", "explain", "anonymous", "thermostat.reset", "--from", "10.1.2.3")
    assert result.exit_code == Exit.FAULT
    assert result.stdout.splitlines() == [
        "anonymous (anonymous) from 10.1.2.3: call thermostat.reset",
        "is: *, anonymous, kind:anonymous, net:10.0.0.0/8",
        "anycore.toml:",
        "  anycore.toml:7: deny thermostat.reset to anonymous: applies: denied",
        "denied: anycore.toml:7: deny thermostat.reset to anonymous",
    ]


def test_rules_that_were_passed_over_are_explained(run: Run) -> None:
    result = run("acl", "explain", "eve,group:ops", "thermostat.set", "--at", "2031-01-01T00:00:00Z")
    assert result.exit_code == Exit.FAULT
    assert result.stdout.splitlines()[2:] == [
        "anycore.toml:",
        "  anycore.toml:10: allow thermostat.* to group:lab, user:bob: not for this caller",
        "  anycore.toml:14: allow * to group:ops until 2030-01-01T00:00:00+00:00: no longer in force",
        "  1 rule is about something else",
        "denied: the default: what no rule allows is denied",
    ]
    assert run("acl", "explain", "eve,group:ops", "thermostat.set", "--at", "2029-01-01T00:00:00Z").exit_code == Exit.OK


def test_what_the_address_alone_decides(run: Run) -> None:
    Path("anycore.toml").write_text('[[access.rule]]\ndeny = ["*"]\nto = ["net:192.0.2.0/24"]\n')
    result = run("acl", "explain", "bob", "a.b", "--from", "192.0.2.1")
    assert "the address alone decides: nobody there is asked who he is" in result.stdout


def test_paths_and_attributes(run: Run) -> None:
    assert run("acl", "explain", "bob", "read:/pub//x/").exit_code == Exit.OK
    assert run("acl", "explain", "bob", "write:/pub/x").exit_code == Exit.FAULT
    assert run("acl", "explain", "bob", "attribute:thermostat.Sensor.colour").exit_code == Exit.OK
    result = run("acl", "explain", "bob", "attribute:thermostat.Sensor.other")
    assert "RPyC's own rules hold" in result.stdout
    assert run("acl", "explain", "bob", "read:/pub/../x").exit_code == Exit.USAGE
    assert "write read:/pub or write:/pub" in run("acl", "explain", "bob", "/pub").stderr
    assert "'x' is no address" in run("acl", "explain", "bob", "a", "--from", "x").stderr
    assert "is no time with a zone" in run("acl", "explain", "bob", "a", "--at", "2030-01-01").stderr
    assert "is no identity" in run("acl", "explain", "rank:x", "a").stderr


def test_rules_of_other_sources(run: Run) -> None:
    Path("services/echo").mkdir(parents=True)
    Path("services/echo/.clarens_access").write_text("access = [('', [0, ['/DC=org'], [], [], []])]\n")
    Path("ACL").mkdir()
    Path("ACL/metadata.xml").write_text("<ACL>\n<Allow method='*.*'/></ACL>\n")
    options = ("--access-clarens", "services", "--access-bcfg2", "ACL", "--access-default", "deny")
    result = run("acl", "explain", "dn:/DC=org/CN=bob", "echo.say", "--from", "192.0.2.1", *options)
    assert result.exit_code == Exit.OK, result.output
    assert (
        "services/echo/.clarens_access:1: allow echo to dn:/DC=org (ORDER_ALLOW_DENY): applies: allowed"
        in result.stdout
    )
    assert "ACL/metadata.xml:2: allow *.* to *: applies: allowed" in result.stdout
    result = run("acl", "explain", "dn:/DC=com/CN=bob", "echo.say", "--from", "192.0.2.1", *options)
    assert "denied: services/echo/.clarens_access:1: deny echo to * (others)" in result.stdout


def test_expectations(run: Run) -> None:
    Path("expected.acl").write_text(
        "# who what\n"
        "allow bob thermostat.set from 192.0.2.1\n"
        "deny anonymous thermostat.reset from 10.0.0.1\n"
        "allow anonymous thermostat.set from 10.0.0.1   # the laboratory\n\n"
        "allow 'x y,group:ops' anything at 2029-12-31T23:59:59Z\n"
        "deny x,group:ops anything at 2030-01-01T00:00:00Z\n"
        "allow bob read:/pub/x\ndeny bob write:/pub/x\nallow bob attribute:thermostat.Sensor.colour\n"
    )
    result = run("acl", "test", "expected.acl")
    assert (result.exit_code, result.stdout) == (Exit.OK, "8 of 8 expectations are met\n")


def test_an_expectation_that_is_not_met(run: Run) -> None:
    Path("expected.acl").write_text("allow bob thermostat.set\n\ndeny bob thermostat.get\nallow eve x.y\n")
    result = run("acl", "test", "expected.acl")
    assert result.exit_code == Exit.FAULT
    assert result.stdout.splitlines() == [
        (
            "expected.acl:3: bob (password) from this machine: call thermostat.get: allowed, by anycore.toml:10: allow thermostat.* to"
            " group:lab, user:bob"
        ),
        "expected.acl:4: eve (password) from this machine: call x.y: denied, by the default: what no rule allows is denied",
        "1 of 3 expectations are met",
    ]


def test_a_table_that_makes_no_sense(run: Run) -> None:
    Path("expected.acl").write_text(
        "permit bob a\nallow bob\nallow bob a from\nallow bob a to x\nallow bob a from x\nallow 'bob a\n"
    )
    result = run("acl", "test", "expected.acl")
    assert result.exit_code == Exit.CONFIGURATION
    lines = result.stderr.splitlines()
    assert len(lines) == 6
    assert lines[0] == "Error: expected.acl:1: expected allow|deny IDENTITY METHOD [from ADDRESS] [at TIME]"
    Path("expected.acl").write_text("# nothing\n")
    assert "there is no expectation in it" in run("acl", "test", "expected.acl").stderr
    assert "cannot be read" in run("acl", "test", "missing.acl").stderr


@pytest.mark.parametrize("command", [("acl", "explain", "bob", "a.b"), ("acl", "test", "e.acl"), ("check",)])
def test_wrong_rules_are_told(run: Run, command: tuple[str, ...]) -> None:
    Path("anycore.toml").write_text('[[access.rule]]\nallow = ["a b"]\nto = ["*"]\n')
    Path("e.acl").write_text("allow bob a.b\n")
    result = run(*command)
    assert result.exit_code == Exit.CONFIGURATION
    assert result.stderr.startswith("Error: anycore.toml:1: access.rule[0].allow: 'a b': expected letters")


def test_groups_of_the_store_count(run: Run) -> None:
    Path("anycore.toml").write_text(
        '[server]\nstore = "lmdb:./var/store"\n[access]\ndefault = "deny"\n[[access.rule]]\nallow = ["a.*"]\nto = ["group:ops"]\n'
    )
    assert run("acl", "explain", "user:bob", "a.b").exit_code == Exit.FAULT
    assert not Path("var").exists()
    assert run("group", "create", "ops").exit_code == Exit.OK
    assert run("group", "add-member", "ops", "user:bob").exit_code == Exit.OK
    result = run("acl", "explain", "user:bob", "a.b")
    assert result.exit_code == Exit.OK, result.output
    assert "group:ops" in result.stdout
    assert run("acl", "explain", "user:eve", "a.b").exit_code == Exit.FAULT
    Path("expected").write_text("allow user:bob a.b\ndeny user:eve a.b\n")
    assert run("acl", "test", "expected").exit_code == Exit.OK
    assert run("acl", "test", "expected", "--store", "lmdb:./elsewhere").exit_code == Exit.FAULT
