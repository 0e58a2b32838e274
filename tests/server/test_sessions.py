from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import msgspec
import pytest

from anycore.access.groups.tree import GroupSettings
from anycore.identity.authority import Wanted
from anycore.identity.sessions.settings import SessionSettings
from anycore.identity.settings import AuthenticationSettings
from anycore.identity.throttle import Throttle
from anycore.kernel.kernel import Kernel
from anycore.kernel.registry import verify
from anycore.server.errors import StartupError
from anycore.server.sessions import Accounts, login_of, session_authenticator
from anycore.settings.tables import ListenSettings, Settings
from anycore.testing.certificate import CERTIFICATE, Certifier


def closed() -> NoReturn:
    pytest.fail("the store was opened")


def names(accounts: Accounts) -> set[str]:
    return {method.name for method in verify(accounts.system(Kernel(), lambda coroutine: coroutine), "test").methods}


@pytest.fixture
def challenge(tmp_path: Path) -> Settings:
    certifier = Certifier(tmp_path)
    issued = certifier.authority.issue(Wanted("localhost", dns=("localhost",), usages=("server",)), days=1, kind="rsa")
    file = tmp_path / "server.pem"
    file.write_bytes(issued.chain + issued.key)
    return Settings(sessions=SessionSettings(challenge=True, certificate=str(file), client_ca=str(certifier.ca)))


def test_the_challenge_is_there_only_where_it_is_enabled(challenge: Settings) -> None:
    assert {"system.auth2", "system.logout", "system.listMethods"} <= names(Accounts(Settings(), closed))
    assert "system.auth" not in names(Accounts(Settings(), closed))
    assert "system.auth" in names(Accounts(challenge, closed))


def test_settings_that_are_of_no_use_keep_the_server_from_starting(challenge: Settings, tmp_path: Path) -> None:
    without = msgspec.structs.replace(challenge, authentication=AuthenticationSettings(chain=("anonymous",)))
    with pytest.raises(StartupError, match=r"challenge in \[sessions\] needs sessions"):
        Accounts(without, closed)
    (tmp_path / "elliptic.pem").write_text(CERTIFICATE)
    elliptic: Any = msgspec.structs.replace(challenge.sessions, certificate=str(tmp_path / "elliptic.pem"))
    with pytest.raises(StartupError, match=r"system\.auth needs an RSA key"):
        Accounts(msgspec.structs.replace(challenge, sessions=elliptic), closed)
    with pytest.raises(StartupError, match=r"admins in \[groups\]"):
        Accounts(Settings(groups=GroupSettings(admins=("nobody",))), closed)


def test_old_clients_are_told_the_certificate_of_the_first_listener_that_has_one(tmp_path: Path) -> None:
    file = tmp_path / "server.pem"
    file.write_text(CERTIFICATE)
    listeners = (ListenSettings(), ListenSettings(url="https://127.0.0.1:0", certificate=str(file)))
    login = login_of(Settings(listen=listeners), closed)
    assert login._certificate() == CERTIFICATE[CERTIFICATE.index("-----BEGIN CERTIFICATE") :]
    assert login_of(Settings(), closed)._certificate() == ""


@pytest.mark.parametrize(
    ("chain", "first"), [(("certificate", "session"), True), (("session", "certificate"), False), (("session",), False)]
)
def test_who_is_known_by_a_certificate_first(chain: tuple[str, ...], first: bool) -> None:
    settings = Settings(authentication=AuthenticationSettings(chain=chain))
    assert session_authenticator(settings, Throttle(), closed)._certificate_first is first
