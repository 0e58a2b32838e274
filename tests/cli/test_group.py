from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from anycore.cli.root import main

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("ANYCORE_STORE", f"lmdb:{tmp_path}/store")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("getpass.getuser", lambda: "ada")
    return lambda *words: CliRunner().invoke(main, ["group", *words])


def test_a_tree_is_made_and_changed(run: Run) -> None:
    for words in (
        ["create", "physics", "--description", "all of us"],
        ["create", "physics.muons"],
        ["add-member", "physics", "/DC=org/DC=example", "user:bob"],
        ["add-admin", "physics", "/DC=org/DC=example/CN=Alice"],
        ["describe", "physics.muons", "some of us"],
    ):
        result = run(*words)
        assert (result.exit_code, result.output) == (0, ""), words
    assert run("list").output == "physics\nphysics.muons\n"
    assert run("list", "physics.muons").output == "physics.muons\n"
    assert run("members", "physics").output == "dn:/DC=org/DC=example\nuser:bob\n"
    assert run("admins", "physics").output == "dn:/DC=org/DC=example/CN=Alice\n"
    info = run("info", "physics").output
    assert "for      all of us\n" in info
    assert re.search(r"created  2\d\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC by operator ada\n", info)
    assert "members  2\nadmins   1\nbelow    1\n" in info
    for who in ("/DC=org/DC=example/CN=Bob", "bob", "user:bob"):
        assert run("of", who).output == "physics\nphysics.muons\n"
    assert run("of", "/DC=org/CN=Bob").output == ""
    assert run("remove-member", "physics", "user:bob").exit_code == 0
    assert run("remove-admin", "physics", "/DC=org/DC=example/CN=Alice").exit_code == 0
    assert run("delete", "physics", "--recursive").output == "physics\nphysics.muons\n"
    trail = run("audit", "--limit", "3").output.splitlines()
    assert [line.split("  ", 1)[1] for line in trail] == [
        "operator ada  delete  physics  and 1 below it",
        "operator ada  remove_admin  physics  dn:/DC=org/DC=example/CN=Alice",
        "operator ada  remove_member  physics  user:bob",
    ]
    assert len(run("audit", "physics.muons").output.splitlines()) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["create", "a..b"], "cannot be the name of a group"),
        (["create", "a.b"], "there is no group 'a'"),
        (["info", "a"], "there is no group 'a'"),
        (["members", "a"], "there is no group 'a'"),
        (["add-member", "a", "everybody"], "cannot be a member"),
        (["delete", "a"], "there is no group 'a'"),
        (["create", "admins"], "the group admins is made by the server"),
    ],
)
def test_what_cannot_be_done(words: list[str], said: str, run: Run) -> None:
    result = run(*words)
    assert result.exit_code == 1
    assert said in result.output


def test_who_is_no_member_cannot_be_removed(run: Run) -> None:
    run("create", "a")
    result = run("remove-member", "a", "user:x", "user:y")
    assert result.exit_code == 1
    assert "a has none such of its own: user:x, user:y" in result.output


def test_the_bounds_of_the_configuration_hold_here_as_well(run: Run, tmp_path: Path) -> None:
    (tmp_path / "anycore.toml").write_text('[groups]\ngroups = 1\nadmins = ["/DC=org/CN=Root"]\n')
    assert run("create", "a").exit_code == 0
    result = run("create", "b")
    assert result.exit_code == 1
    assert "raise `groups`" in result.output
    assert run("members", "admins").output == "dn:/DC=org/CN=Root\n"
    (tmp_path / "anycore.toml").write_text('[groups]\nadmins = ["everybody"]\n')
    result = run("list")
    assert result.exit_code == 3
    assert "cannot be a member" in result.output
