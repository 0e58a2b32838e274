from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from anycore.cli.root import main
from anycore.identity.sessions.kept import Sessions
from anycore.kernel.call import Identity
from anycore.store import namespace, open_store

Run = Callable[..., Result]
PEOPLE = {"first-session": Identity("alice", "certificate", dn="/DC=org/CN=Alice", names=("cn:Alice",)),
          "second-session": Identity("alice", "certificate", dn="/DC=org/CN=Alice"),
          "third-session": Identity("bob", "password")}  # fmt: skip


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("ANYCORE_STORE", f"lmdb:{tmp_path}/store")
    monkeypatch.chdir(tmp_path)
    with open_store(f"lmdb:{tmp_path}/store") as store:
        sessions = Sessions(lambda: namespace(store, "sessions"))
        for name, who in PEOPLE.items():
            made = sessions.new(name, b"s" * 20, who, address="192.0.2.1", tls=True, how="system.auth2")
            sessions.begin(made)
    return lambda *words: CliRunner().invoke(main, ["session", *words])


def test_sessions_are_listed(run: Run) -> None:
    lines = run("list").output.splitlines()
    assert [line.split()[0] for line in lines] == list(PEOPLE)
    assert re.fullmatch(
        r"first-session  /DC=org/CN=Alice  from 192\.0\.2\.1  by system\.auth2  used 2[\d-]{9} [\d:]{8} UTC", lines[0]
    )
    assert [line.split()[0] for line in run("list", "--of", "user:bob").output.splitlines()] == ["third-session"]


def test_a_session_is_shown_without_its_secret(run: Run) -> None:
    shown = run("show", "first-session").output
    assert "whose    /DC=org/CN=Alice\nuser     alice\nnames    cn:Alice\nfrom     192.0.2.1\n" in shown
    assert "by system.auth2 over TLS" in shown
    assert "s" * 20 not in shown
    assert run("show", "none").exit_code == 1


def test_sessions_are_ended(run: Run) -> None:
    assert run("end", "first-session").exit_code == 0
    result = run("end", "first-session", "third-session")
    assert result.exit_code == 1
    assert "there is no session first-session;" in result.output
    assert [line.split()[0] for line in run("list").output.splitlines()] == ["second-session"]
    assert run("end-all", "--of", "user:bob").output == "0\n"
    assert run("end-all").output == "1\n"
    assert run("list").output == ""


def test_a_store_that_cannot_be_opened(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = run("list", "--store", f"lmdb:{tmp_path}/file/store")
    assert result.exit_code == 3
