"""Sessions and virtual organisations of a server, put together from its settings. What they do is in `identity`, `access` and `services`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anycore.access.groups.lookup import GroupLookup
from anycore.access.groups.store import Groups
from anycore.access.groups.tree import GroupError
from anycore.identity.sessions.kept import Sessions
from anycore.identity.sessions.login import Login
from anycore.kernel.call import NO_CREDENTIALS, Identity, Peer
from anycore.server.errors import StartupError
from anycore.services.group import Group
from anycore.services.login import SystemWithChallenge, SystemWithLogin
from anycore.store import namespace

if TYPE_CHECKING:
    from anycore.identity.sessions.authenticator import SessionAuthenticator
    from anycore.identity.sessions.challenge import Challenger
    from anycore.identity.throttle import Throttle
    from anycore.services.system import System
    from anycore.settings.tables import Settings
    from anycore.store import Store

OpenStore = Callable[[], "Store"]


def sessions_of(settings: Settings, open_store: OpenStore) -> Sessions:
    """Return the sessions of a server.

    Args:
        settings: All settings.
        open_store: Returns the store, in the process that asks.
    """
    return Sessions(lambda: namespace(open_store(), "sessions"), settings.sessions)


def groups_of(settings: Settings, open_store: OpenStore) -> Groups:
    """Return the tree of groups of a server.

    Args:
        settings: All settings.
        open_store: Returns the store, in the process that asks.

    Raises:
        StartupError: When an administrator of the settings cannot be one.
    """
    try:
        return Groups(lambda: namespace(open_store(), "groups"), settings.groups)
    except GroupError as error:
        raise StartupError(f"admins in [groups]: {error}") from error


def login_of(settings: Settings, open_store: OpenStore) -> Login:
    """Return what begins and ends sessions.

    Args:
        settings: All settings.
        open_store: Returns the store.
    """
    return Login(sessions_of(settings, open_store), lambda: _certificate(settings))


def session_authenticator(settings: Settings, throttle: Throttle, open_store: OpenStore) -> SessionAuthenticator:
    """Return the authenticator of sessions.

    Args:
        settings: All settings.
        throttle: Says who has failed too often to be heard.
        open_store: Returns the store.
    """
    from anycore.identity.sessions.authenticator import SessionAuthenticator

    chain = settings.authentication.chain
    first = "certificate" in chain and chain.index("certificate") < chain.index("session")
    return SessionAuthenticator(sessions_of(settings, open_store), throttle, certificate_first=first)


class Accounts:
    """What a server has for callers that log in, and for their groups.

    Args:
        settings: All settings.
        open_store: Returns the store, in the process that asks.

    Attributes:
        groups: The tree of groups.
        lookup: Who is in which of them.

    Raises:
        StartupError: When a setting is of no use.
    """

    def __init__(self, settings: Settings, open_store: OpenStore) -> None:
        self.groups = groups_of(settings, open_store)
        self.lookup = GroupLookup(self.groups)
        self._login = login_of(settings, open_store)
        self._challenger = _challenger(settings, self._login.sessions) if settings.sessions.challenge else None

    def system(self, *arguments: Any) -> System:
        """Return the plugin `system`, with the methods that begin and end sessions.

        Args:
            *arguments: What `System` takes.
        """
        if self._challenger is not None:
            return SystemWithChallenge(*arguments, login=self._login, challenger=self._challenger)
        return SystemWithLogin(*arguments, login=self._login)

    def group(self) -> Group:
        """Return the plugin `group`."""
        return Group(self.groups, self.lookup.look)


def _challenger(settings: Settings, sessions: Sessions) -> Challenger:
    from anycore.identity.certificate import CertificateAuthenticator
    from anycore.identity.sessions.challenge import ChallengeError, Challenger

    if "session" not in settings.authentication.chain:
        raise StartupError('challenge in [sessions] needs sessions; add "session" to chain in [authentication]')
    judge = CertificateAuthenticator(settings.authentication.certificate_name)

    def identify(der: bytes) -> Identity:
        found = judge.authenticate(Peer("tcp", certificate=der, local=False), NO_CREDENTIALS)
        assert found is not None, "a certificate is presented"
        return found

    try:
        return Challenger(sessions, identify)
    except ChallengeError as error:
        raise StartupError(f"challenge in [sessions]: {error}") from error


def _certificate(settings: Settings) -> str:
    """Return the certificate that callers over TLS see, in PEM form; an empty string where there is none."""
    found = settings.sessions.certificate or next((one.certificate for one in settings.listen if one.certificate), "")
    if not found:
        return ""
    from cryptography.hazmat.primitives.serialization import Encoding

    from anycore.identity.authority.reading import certificates

    read = certificates(Path(found).read_bytes())
    return read[0].public_bytes(Encoding.PEM).decode() if read else ""
