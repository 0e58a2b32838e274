"""What tests of authenticators share: a clock that is told the time, users whose passwords cost little, credentials as they are sent."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import pytest

from anycore.identity import hashing
from anycore.identity.password_file import PasswordFile, User, write_users
from anycore.kernel.call import Credentials, Peer

PEER = Peer("tcp", "192.0.2.1", 7, local=False)
OTHER = Peer("tcp", "198.51.100.9", 7, local=False)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def cheap(password: str) -> str:
    from argon2 import PasswordHasher

    return PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(password)


def basic(user: str, password: str, encoding: str = "utf-8") -> Credentials:
    return Credentials("Basic " + base64.b64encode(f"{user}:{password}".encode(encoding)).decode())


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def passwords(tmp_path: Path) -> Path:
    path = tmp_path / "passwords"
    write_users(
        path, {user.name: user for user in (User("alice", cheap("wonder:land"), ("ops",)), User("bob", cheap("ü")))}
    )
    return path


@pytest.fixture
def file(passwords: Path) -> PasswordFile:
    return PasswordFile(passwords, interval=0.0)


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The hashes that passwords were checked against, one for each time that argon2 ran."""
    seen: list[str] = []
    verify: Callable[[str, str], bool] = hashing.verify_password

    def counting(hashed: str, password: str) -> bool:
        seen.append(hashed)
        return verify(hashed, password)

    monkeypatch.setattr(hashing, "verify_password", counting)
    return seen
