from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from anycore.access.groups.tree import GroupSettings
from anycore.identity.sessions.settings import SessionSettings
from anycore.identity.settings import AuthenticationSettings
from anycore.settings.problems import ConfigurationError
from anycore.settings.sources import load_settings
from anycore.settings.tables import Settings
from anycore.settings.verify import verify


@pytest.fixture
def file(tmp_path: Path) -> str:
    made = tmp_path / "c.pem"
    made.write_text("")
    return str(made)


def test_the_defaults_are_right() -> None:
    assert verify(Settings()) == []


def test_challenges_need_a_certificate_and_authorities(file: str, tmp_path: Path) -> None:
    problems = verify(Settings(sessions=SessionSettings(challenge=True)))
    assert ['write e.g. certificate = "rsa.pem"' in problems[0], 'client_ca = "ca.pem"' in problems[1]] == [True, True]
    assert len(problems) == 2
    with pytest.raises(ConfigurationError, match=r"write e\.g\. --sessions-client-ca ca\.pem"):
        load_settings(options={"sessions.challenge": True}, environment={})
    whole = SessionSettings(challenge=True, certificate=file, client_ca=str(tmp_path))
    assert verify(Settings(sessions=whole)) == []
    without = AuthenticationSettings(chain=("certificate", "anonymous"))
    (problem,) = verify(Settings(sessions=whole, authentication=without))
    assert 'add "session" to chain' in problem


def test_files_must_be_there(file: str) -> None:
    for name in ("certificate", "key", "client_ca"):
        missing: dict[str, Any] = {name: f"{file}.missing"}
        (problem,) = verify(Settings(sessions=SessionSettings(**missing)))
        assert "there is no file" in problem


def test_administrators_must_be_somebody() -> None:
    assert verify(Settings(groups=GroupSettings(admins=("/DC=org/CN=Ada", "user:bob")))) == []
    (problem,) = verify(Settings(groups=GroupSettings(admins=("user:bob", "everybody"))))
    assert "'everybody' cannot be a member" in problem
