from __future__ import annotations

import base64
import threading
from pathlib import Path
from typing import Any

import pytest

from anycore.identity import hashing
from anycore.identity.password import PasswordAuthenticator
from anycore.identity.password_file import PasswordFile, User, editing, write_users
from anycore.identity.throttle import Throttle
from anycore.kernel.authentication import AuthenticationFault
from anycore.kernel.call import NO_CREDENTIALS, Credentials, Identity, Peer

PEER = Peer("tcp", "192.0.2.1", 7, local=False)


def basic(user: str, password: str) -> Credentials:
    return Credentials("Basic " + base64.b64encode(f"{user}:{password}".encode()).decode())


@pytest.fixture
def throttle(clock: Any) -> Throttle:
    return Throttle(attempts=3, clock=clock)


@pytest.fixture
def door(file: PasswordFile, throttle: Throttle) -> PasswordAuthenticator:
    return PasswordAuthenticator(file, throttle, realm="house")


def test_a_user_is_known_by_its_password(door: PasswordAuthenticator) -> None:
    assert door.authenticate(PEER, basic("alice", "wonder:land")) == Identity("alice", "password", frozenset({"ops"}))
    assert door.authenticate(PEER, basic("bob", "ü")) == Identity("bob", "password")
    assert door.challenge == 'Basic realm="house", charset="UTF-8"'


def test_nothing_is_said_of_other_credentials(door: PasswordAuthenticator) -> None:
    for credentials in (NO_CREDENTIALS, Credentials("Bearer x"), Credentials("Negotiate x"), Credentials(cookie="a=b")):
        assert door.quick(PEER, credentials)
        assert door.authenticate(PEER, credentials) is None


@pytest.mark.parametrize(
    ("user", "password"), [("alice", "wrong"), ("mallory", "wonder:land"), ("alice", ""), ("ALICE", "wonder:land")]
)
def test_a_wrong_password_and_an_unknown_user_are_told_the_same(
    door: PasswordAuthenticator, checked: list[str], user: str, password: str
) -> None:
    with pytest.raises(AuthenticationFault) as caught:
        door.authenticate(PEER, basic(user, password))
    assert caught.value.message.startswith("the user name or the password is wrong")
    assert caught.value.user == user
    assert len(checked) == 1  # an unknown user costs the same time


def test_a_password_is_checked_once_and_remembered_by_a_digest(door: PasswordAuthenticator, checked: list[str]) -> None:
    credentials = basic("alice", "wonder:land")
    assert not door.quick(PEER, credentials)
    first = door.authenticate(PEER, credentials)
    assert door.quick(PEER, credentials)
    assert door.authenticate(PEER, basic("alice", "wonder:land")) is first
    assert len(checked) == 1
    kept = door._right._memory[:]
    assert b"wonder" not in kept and credentials.authorization[6:].encode() not in kept


def test_a_change_of_the_file_counts_at_once(door: PasswordAuthenticator, passwords: Path, checked: list[str]) -> None:
    credentials = basic("alice", "wonder:land")
    door.authenticate(PEER, credentials)
    with editing(passwords) as users:
        users["alice"] = User("alice", users["alice"].hash, ("night",))
    assert not door.quick(PEER, credentials)
    found = door.authenticate(PEER, credentials)
    assert found is not None and found.groups == {"night"}
    with editing(passwords) as users:
        users["alice"] = User("alice", users["bob"].hash)
    with pytest.raises(AuthenticationFault):
        door.authenticate(PEER, credentials)
    with editing(passwords) as users:
        del users["alice"]
    with pytest.raises(AuthenticationFault):
        door.authenticate(PEER, credentials)
    assert len(checked) == 4


def test_a_wrong_password_is_not_remembered(door: PasswordAuthenticator, checked: list[str]) -> None:
    for _ in range(2):
        with pytest.raises(AuthenticationFault):
            door.authenticate(PEER, basic("alice", "wrong"))
    assert len(checked) == 2


def test_guesses_are_not_looked_at_while_a_caller_has_to_wait(
    door: PasswordAuthenticator, throttle: Throttle, checked: list[str]
) -> None:
    door.authenticate(PEER, basic("alice", "wonder:land"))
    for _ in range(5):
        throttle.failed(PEER)
    with pytest.raises(AuthenticationFault) as caught:
        door.authenticate(PEER, basic("bob", "ü"))
    assert caught.value.retry_after
    assert len(checked) == 1
    # Whoever is known goes on: somebody who guesses from the same address, or at the same name, does not lock it out.
    assert door.authenticate(PEER, basic("alice", "wonder:land")) is not None


def test_calls_that_present_the_same_at_the_same_time_are_checked_once(
    door: PasswordAuthenticator, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, ran = threading.Event(), []

    def slow(hashed: str, password: str) -> bool:
        ran.append(password)
        assert go.wait(30)
        return True

    monkeypatch.setattr(hashing, "verify_password", slow)
    found: list[Any] = []
    threads = [
        threading.Thread(target=lambda: found.append(door.authenticate(PEER, basic("alice", "x")))) for _ in range(40)
    ]
    for thread in threads:
        thread.start()
    go.set()
    for thread in threads:
        thread.join(30)
    assert len(found) == 40 and len(ran) == 1


def test_an_empty_file_lets_nobody_in(tmp_path: Path, throttle: Throttle, checked: list[str]) -> None:
    write_users(tmp_path / "none", {})
    door = PasswordAuthenticator(PasswordFile(tmp_path / "none"), throttle)
    with pytest.raises(AuthenticationFault):
        door.authenticate(PEER, basic("alice", "wonder:land"))
    assert checked[0].startswith("$argon2id$v=19$m=65536,t=3,p=4$")  # what anycore passwd would make


def test_nothing_is_remembered_where_that_is_not_wanted(
    file: PasswordFile, throttle: Throttle, checked: list[str]
) -> None:
    door = PasswordAuthenticator(file, throttle, cache_time=0.0)
    for _ in range(2):
        door.authenticate(PEER, basic("bob", "ü"))
    assert len(checked) == 2
