"""The chain of authenticators of a server, made from its settings. What each of them does is in `identity`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from anycore.identity.chain import GuardedChain
from anycore.identity.forwarding import Rules
from anycore.identity.greeted import GreetedAuthenticator
from anycore.identity.throttle import Throttle
from anycore.kernel.authentication import Authenticator
from anycore.server.errors import StartupError
from anycore.server.sessions import login_of, session_authenticator

if TYPE_CHECKING:
    from collections.abc import Callable

    from anycore.kernel.call import Credentials, Identity, Peer
    from anycore.kernel.incidents import Incidents
    from anycore.kernel.registry import Registry
    from anycore.server.application import Server
    from anycore.settings.tables import Settings
    from anycore.store.base import Store


class Parts:
    """What authenticators are made of.

    Args:
        settings: All settings.
        registry: The plugins.
        open_store: Returns the store; asked when something is looked up in it for the first time, in the process that does so.
        throttle: What is known of those who failed before.
    """

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        open_store: Callable[[], Store],
        throttle: Throttle | None = None,
    ) -> None:
        self.settings = settings
        self.registry = registry
        self.open_store = open_store
        table = settings.authentication
        self.throttle = throttle if throttle is not None else Throttle(table.attempts, table.longest_wait)


def build_chain(
    settings: Settings,
    registry: Registry,
    incidents: Incidents,
    open_store: Callable[[], Store],
    throttle: Throttle | None = None,
) -> GuardedChain | None:
    """Return the chain that the settings describe; None where it would let in everybody without a look.

    Args:
        settings: All settings.
        registry: The plugins.
        incidents: Where failures are counted.
        open_store: Returns the store.
        throttle: What is known of those who failed before.

    Raises:
        StartupError: An authenticator cannot be made.
    """
    parts = Parts(settings, registry, open_store, throttle)
    made = [BUILDERS[name](parts) for name in settings.authentication.chain if name in BUILDERS]
    found = [one for one in made if one is not None]
    if any(listener.authenticator for listener in settings.listen):
        found.insert(0, GreetedAuthenticator())
    if [one.name for one in found] == ["anonymous"]:
        return None
    chain = GuardedChain(found, parts.throttle, incidents)
    if "session" in settings.authentication.chain:
        chain.welcome = login_of(settings, open_store).welcome
    return chain


def identify_callers(server: Server) -> None:
    """Let a server find out who calls.

    Args:
        server: The server, before it serves.

    Raises:
        StartupError: An authenticator cannot be made.
    """
    prepare_identity(server, server.settings)()


def prepare_identity(server: Server, new: Settings) -> Callable[[], None]:
    """Make the chain of settings that are to come into force; see `anycore.server.reconfigure`.

    Args:
        server: The server.
        new: The settings.

    Raises:
        StartupError: An authenticator cannot be made.
    """
    kernel, old = server.kernel, server.kernel.authentication
    if old is not None and new.authentication == server.settings.authentication:
        return lambda: None
    rules = forwarding_rules(new)
    throttle = None
    if isinstance(old, GuardedChain) and _guesses(new) == _guesses(server.settings):
        throttle = old.throttle  # whoever has to wait goes on waiting
    chain = build_chain(new, kernel.registry, server.incidents, server.storage.open, throttle)
    server.access.lead(chain)

    def commit() -> None:
        kernel.authentication = chain
        server.forwarding.rules = rules

    return commit


def _guesses(settings: Settings) -> tuple[int, float]:
    return settings.authentication.attempts, settings.authentication.longest_wait


def forwarding_rules(settings: Settings) -> Rules:
    """Return which proxies are believed, and what they say in which fields."""
    table = settings.authentication
    names = _proxy_headers(settings).names() if "proxy" in table.chain else ()
    return Rules(table.proxies, table.proxy_address, names)


def _certificate(parts: Parts) -> Authenticator:
    from anycore.identity.certificate import CertificateAuthenticator

    return CertificateAuthenticator(parts.settings.authentication.certificate_name)


def _session(parts: Parts) -> Authenticator:
    return session_authenticator(parts.settings, parts.throttle, parts.open_store)


def _token(parts: Parts) -> Authenticator:
    from anycore.identity.token import TokenAuthenticator
    from anycore.identity.tokens import Tokens

    open_store = parts.open_store
    return TokenAuthenticator(lambda: Tokens(open_store()), realm=parts.settings.authentication.realm)


def _password(parts: Parts) -> Authenticator | None:
    table = parts.settings.authentication
    if not table.password_file:
        return None
    from anycore.identity.hashing import Checker
    from anycore.identity.password import PasswordAuthenticator
    from anycore.identity.password_file import PasswordFile, PasswordFileError

    try:
        file = PasswordFile(Path(table.password_file))
    except PasswordFileError as error:
        raise StartupError(str(error)) from error
    return PasswordAuthenticator(
        file, parts.throttle, realm=table.realm, cache_time=table.cache_time, checker=Checker(table.checks)
    )


def _unix(parts: Parts) -> Authenticator:
    from anycore.identity.proxy import UNIX
    from anycore.identity.unix import UnixAuthenticator

    return UnixAuthenticator(proxied=UNIX in parts.settings.authentication.proxies)


def _proxy(parts: Parts) -> Authenticator:
    from anycore.identity.proxy import Proxies, ProxyAuthenticator

    return ProxyAuthenticator(Proxies(parts.settings.authentication.proxies), _proxy_headers(parts.settings))


def _proxy_headers(settings: Settings) -> Any:
    from anycore.identity.proxy import ProxyHeaders

    table = settings.authentication
    return ProxyHeaders(table.proxy_user, table.proxy_groups, table.proxy_dn)


def _anonymous(parts: Parts) -> Authenticator:  # noqa: ARG001 - as the others
    from anycore.identity.anonymous import AnonymousAuthenticator

    return AnonymousAuthenticator()


def _machine(parts: Parts) -> Authenticator:
    from anycore.identity.hashing import Checker
    from anycore.identity.machine import MachineAuthenticator
    from anycore.identity.machines import KeptMachines

    table = parts.settings.authentication
    kept = KeptMachines(parts.open_store)
    return MachineAuthenticator(
        kept,
        kept.completed,
        parts.throttle,
        password=table.machine_password,
        checker=Checker(table.checks),
        cache_time=table.cache_time,
    )


def _plugin(parts: Parts) -> Authenticator:
    return PluginAuthenticators(parts.registry)


class PluginAuthenticators(Authenticator):
    """The plugins that take on the role `Authenticator`, by their `order`, then by name.

    Args:
        registry: The plugins.
    """

    name = "plugin"

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._found: tuple[object, tuple[Authenticator, ...]] = (None, ())

    def _all(self) -> tuple[Authenticator, ...]:
        known, found = self._found
        entries = self._registry.entries
        if known is not entries:
            found = self._registry.plugins_with(Authenticator)  # type: ignore[type-abstract]
            self._found = (entries, found)
        return found

    def offers(self) -> tuple[str, ...]:
        """Return what they offer together."""
        return tuple(offer for one in self._all() for offer in one.offers())

    def quick(self, peer: Peer, credentials: Credentials) -> bool:
        """Tell whether none of them would take time."""
        return all(one.quick(peer, credentials) for one in self._all())

    def authenticate(self, peer: Peer, credentials: Credentials) -> Identity | None:
        """Ask them in their order; see `Authenticator.authenticate`."""
        for one in self._all():
            identity = one.authenticate(peer, credentials)
            if identity is not None:
                return identity
        return None


BUILDERS: Final[dict[str, Callable[[Parts], Authenticator | None]]] = {
    "certificate": _certificate,
    "session": _session,
    "token": _token,
    "password": _password,
    "unix": _unix,
    "proxy": _proxy,
    "machine": _machine,
    "plugin": _plugin,
    "anonymous": _anonymous,
}
"""What makes each authenticator, by its name in `chain`; what returns None is left out."""
