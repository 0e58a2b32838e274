"""The rules of a running server: read, compiled, put in force, and read again when their files change. What rules mean is in `access`.

New rules take effect as a whole, between two calls, or not at all: a mistake in any of the files leaves the old rules in force.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Final

from anycore.access.matcher import Matcher
from anycore.access.model import AccessError
from anycore.kernel.authentication import Authenticator
from anycore.kernel.call import ANONYMOUS
from anycore.kernel.policy import anybody, by_default, nobody
from anycore.server.errors import StartupError
from anycore.settings.access import sources_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from anycore.kernel.authentication import Chain
    from anycore.kernel.call import Credentials, Identity, Peer
    from anycore.kernel.kernel import Kernel
    from anycore.kernel.policy import Decision
    from anycore.server.application import Server
    from anycore.settings.tables import Settings

_log = logging.getLogger("anycore.access")

DEFAULTS: Final[dict[str, Callable[[Peer], Decision]]] = {"local": by_default, "deny": nobody, "allow": anybody}
"""What the setting `access.default` means."""
_LOOK_SECONDS: Final = 1.0


class Access:
    """Who may call, read, write and reach what on one server. A part of it: see `parts_of`. Safe for threads.

    Args:
        kernel: The kernel whose door the rules guard.
        settings: All settings.
        look_seconds: How often is looked whether a file has changed.

    Attributes:
        matcher: The rules that are in force.

    Raises:
        StartupError: The rules are wrong.
    """

    def __init__(self, kernel: Kernel, settings: Settings, *, look_seconds: float = _LOOK_SECONDS) -> None:
        self._kernel = kernel
        self._lock = threading.Lock()
        self._look_seconds = look_seconds
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._groups_of: Callable[[Identity], frozenset[str]] | None = None
        self.matcher = Matcher(())
        self.prepare(settings)()

    def prepare(self, settings: Settings) -> Callable[[], None]:
        """Read the rules that settings lead to.

        Args:
            settings: All settings.

        Returns:
            Puts them in force.

        Raises:
            StartupError: They are wrong.
        """
        sources, default = sources_of(settings), DEFAULTS[settings.access.default]
        stamps = sources.stamps()  # before they are read: what changes meanwhile is seen at the next look
        try:
            matcher = Matcher(sources.read(), groups_of=self._groups_of, default=default)
        except AccessError as error:
            raise StartupError(str(error)) from error

        def commit() -> None:
            with self._lock:
                self._settings, self._sources, self._stamps = settings, sources, stamps
                matcher.groups_of = self._groups_of if matcher.by_group else None  # or every call would need the store
                self.matcher = matcher
                self._kernel.door.guard([matcher] if matcher.sets else [], default)

        return commit

    @property
    def configured(self) -> bool:
        """Whether there are files that have rules, or could get some."""
        return bool(self._stamps)

    def use_groups(self, groups_of: Callable[[Identity], frozenset[str]]) -> None:
        """Ask for groups besides those that identities bring along and those of the configuration.

        Args:
            groups_of: Returns the groups of an identity; asked for every call, so it must be quick.
        """
        with self._lock:
            self._groups_of = groups_of
            self.matcher.groups_of = groups_of if self.matcher.by_group else None

    def turns_away(self, peer: Peer) -> bool:
        """Tell whether nobody at an address may do anything. Plugins with policies of their own are not passed over."""
        return self.matcher.turns_away(peer) and self._kernel.door.alone

    def reload(self) -> bool:
        """Read the files again. Wrong ones leave the old rules in force; the log says why.

        Returns:
            Whether there are new rules now.
        """
        try:
            self.prepare(self._settings)()
        except StartupError as error:
            for problem in str(error).splitlines():
                _log.error("the rules are refused, the old ones stay in force: %s", problem)
            return False
        count = sum(len(section) for one in self.matcher.sets for section in one.sections)
        _log.info("the rules were read again; in force: %d", count)
        return True

    def look(self) -> bool:
        """Read the files again if one of them has changed since the last time.

        Returns:
            Whether one had.
        """
        stamps = self._sources.stamps()
        if stamps == self._stamps:
            return False
        self._stamps = stamps
        self.reload()
        return True

    def start(self) -> None:
        """Begin to look whether files change, and to turn callers away by their address before they are asked who they are."""
        self.lead(self._kernel.authentication)
        self._stopped.clear()
        self._thread = threading.Thread(target=self._watch, name="anycore-access", daemon=True)
        self._thread.start()

    def lead(self, chain: Chain | None) -> None:
        """Take the first place in a chain of authenticators.

        Args:
            chain: The chain; one that comes into force is given here before it does. None where nobody is asked who calls.
        """
        if chain is not None and not any(isinstance(one, _AddressFirst) for one in chain.authenticators):
            chain.authenticators = (_AddressFirst(self), *chain.authenticators)

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def _watch(self) -> None:
        while not self._stopped.wait(self._look_seconds):
            try:
                self.look()
            except Exception:  # noqa: BLE001 - the next look may go better; until then the rules stay
                _log.exception("the files with rules cannot be looked at; the old rules stay in force")


class _AddressFirst(Authenticator):
    """Finds out nothing about callers who may do nothing anyway, so that they cost no check of a password.

    Args:
        access: The rules.
    """

    name = ""
    of_nobody = (ANONYMOUS, None)

    def __init__(self, access: Access) -> None:
        self._access = access

    def authenticate(self, peer: Peer, credentials: Credentials) -> Identity | None:  # noqa: ARG002 - that is the point
        """Take those for anonymous whom the rules then turn away."""
        return ANONYMOUS if self._access.turns_away(peer) else None


def prepare_access(server: Server, new: Settings) -> Callable[[], None]:
    """Read the rules of settings that are to come into force; see `anycore.server.reconfigure`.

    Args:
        server: The server.
        new: The settings.

    Raises:
        StartupError: The rules are wrong.
    """
    return server.access.prepare(new)
