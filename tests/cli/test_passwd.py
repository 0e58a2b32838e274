from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from anycore.identity import hashing
from anycore.identity.password_file import read_users

Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    from argon2 import PasswordHasher

    monkeypatch.setattr(hashing, "hash_password", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash)


@pytest.fixture
def secret(tmp_path: Path) -> str:
    (tmp_path / "secret").write_text("wonder:land\nmore\n")
    return "secret"


def test_a_user_is_added_changed_checked_listed_and_removed(run: Run, secret: str, tmp_path: Path) -> None:
    assert run("passwd", "pw", "alice", "--group", "ops", "--group", "night", "--password-file", secret).exit_code == 0
    assert run("passwd", "pw", "bob", "--password-file", secret).stdout == "bob is added in pw\n"
    assert run("passwd", "pw", "--list").stdout == "alice  ops, night\nbob\n"
    assert run("passwd", "pw", "alice", "--verify", "--password-file", secret).exit_code == 0
    (tmp_path / "other").write_text("other")
    before = read_users(tmp_path / "pw")["alice"]
    assert run("passwd", "pw", "alice", "--verify", "--password-file", "other").exit_code == 1
    assert run("passwd", "pw", "nobody", "--verify", "--password-file", "other").exit_code == 1
    assert run("passwd", "pw", "alice", "--password-file", "other").stdout == "alice is changed in pw\n"
    after = read_users(tmp_path / "pw")["alice"]
    assert after.hash != before.hash and after.groups == before.groups
    assert run("passwd", "pw", "alice", "--keep-password", "--group", "day").exit_code == 0
    assert read_users(tmp_path / "pw")["alice"].groups == ("day",)
    assert read_users(tmp_path / "pw")["alice"].hash == after.hash
    assert run("passwd", "pw", "alice", "--delete").stdout == "alice is removed from pw\n"
    assert set(read_users(tmp_path / "pw")) == {"bob"}


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["pw"], 2, "whose password?"),
        (["pw", "alice"], 2, "no terminal"),
        (["pw", "a:b", "--password-file", "secret"], 3, "cannot be a user's name"),
        (["pw", "alice", "--group", "a,b", "--password-file", "secret"], 3, "cannot be a group's name"),
        (["pw", "alice", "--password-file", "missing"], 3, "missing cannot be read"),
        (["pw", "alice", "--password-file", "empty"], 3, "empty is empty"),
        (["pw", "alice", "--delete"], 3, "has no user 'alice'"),
        (["pw", "alice", "--keep-password", "--group", "x"], 3, "has no user 'alice'"),
        (["pw", "--list"], 3, "pw cannot be read"),
        (["no/pw", "alice", "--password-file", "secret"], 3, "cannot be written"),
    ],
)
def test_what_makes_no_sense_is_refused(
    run: Run, secret: str, tmp_path: Path, args: list[str], code: int, message: str
) -> None:
    (tmp_path / "empty").touch()
    found = run("passwd", *args)
    assert found.exit_code == code
    assert message in found.stderr
