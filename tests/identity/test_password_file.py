from __future__ import annotations

import logging
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from anycore.identity.password_file import (
    PasswordFile,
    PasswordFileError,
    User,
    check_group,
    check_name,
    check_password,
    editing,
    read_users,
    write_users,
)

HASH = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$c29tZWhhc2g"


def test_users_are_written_and_read(tmp_path: Path) -> None:
    path = tmp_path / "passwords"
    users = {name: User(name, HASH, groups) for name, groups in (("zoë", ()), ("alice", ("ops", "night")))}
    write_users(path, users)
    assert read_users(path) == users
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "passwords"
    write_users(path, {})
    path.chmod(0o640)
    write_users(path, {"a": User("a", HASH)})
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("alice", "expected name:hash:group,group"),
        (f"alice:{HASH}:a:b", "expected name:hash:group,group"),
        ("alice:secret", "line 1: this is no argon2id hash"),
        (f"alice:{HASH}\nalice:{HASH}", "line 2: 'alice' is there already"),
        (f":{HASH}", "cannot be a user's name"),
        ("al\tice:" + HASH, "cannot be a user's name"),
        ("alice:" + HASH.replace("argon2id", "argon2i"), "no argon2id hash"),
    ],
)
def test_a_line_that_makes_no_sense_is_refused_with_its_place(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "passwords"
    path.write_text(text)
    with pytest.raises(PasswordFileError, match="passwords") as caught:
        read_users(path)
    assert reason in str(caught.value)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PasswordFileError, match="anycore passwd"):
        read_users(tmp_path / "missing")
    (tmp_path / "latin").write_bytes(b"\xff")
    with pytest.raises(PasswordFileError, match="UTF-8"):
        read_users(tmp_path / "latin")
    with pytest.raises(PasswordFileError, match="cannot be written"), editing(tmp_path / "none" / "passwords"):
        pass
    with pytest.raises(PasswordFileError, match="cannot be written"):
        write_users(tmp_path / "none" / "passwords", {})


@pytest.mark.parametrize("name", ["", "a:b", "a\nb", "a\0", "#a", "x" * 257])
def test_names_that_nobody_may_have(name: str) -> None:
    with pytest.raises(PasswordFileError):
        check_name(name)


@pytest.mark.parametrize("password", ["", "a\nb", "a\0", "x" * 4097])
def test_passwords_that_nobody_may_have(password: str) -> None:
    with pytest.raises(PasswordFileError):
        check_password(password)


@pytest.mark.parametrize("group", ["", "a,b", "a:b", "a b"])
def test_groups_that_there_cannot_be(group: str) -> None:
    with pytest.raises(PasswordFileError):
        check_group(group)


def test_a_file_that_changes_is_read_again(passwords: Path, file: PasswordFile) -> None:
    before = file.look()
    assert set(file.users()) == {"alice", "bob"}
    with editing(passwords) as users:
        del users["bob"]
    assert file.look() != before
    assert set(file.users()) == {"alice"}


def test_a_file_that_cannot_be_read_any_more_leaves_the_users_as_they_were(
    passwords: Path, file: PasswordFile, caplog: pytest.LogCaptureFixture
) -> None:
    passwords.write_text("nonsense\n")
    with caplog.at_level(logging.ERROR):
        assert set(file.users()) == {"alice", "bob"}
        assert set(file.users()) == {"alice", "bob"}
    assert [record.message for record in caplog.records if "stays in force" in record.message] == caplog.messages
    assert len(caplog.records) == 1
    passwords.unlink()
    assert set(file.users()) == {"alice", "bob"}


def test_two_that_edit_wait_for_each_other(tmp_path: Path) -> None:
    path = tmp_path / "passwords"

    def add(number: int) -> None:
        with editing(path) as users:
            users[f"user{number}"] = User(f"user{number}", HASH)

    threads = [threading.Thread(target=add, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read_users(path)) == 12


def test_an_edit_that_fails_changes_nothing(passwords: Path) -> None:
    before = passwords.read_text()

    def edit() -> Any:
        with editing(passwords) as users:
            users.clear()
            raise KeyError("x")

    with pytest.raises(KeyError):
        edit()
    assert passwords.read_text() == before
