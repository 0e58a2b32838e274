"""The one door of authentication: who is calling? Authenticators live in `identity` and in plugins; here is their role, and their chain."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any

from anycore.kernel.plugin import Role
from anycore.wire.faults import AUTHENTICATION_FAILED, Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from anycore.kernel.call import Credentials, Identity, Peer


class AuthenticationFault(Fault):
    """Nobody knows who calls: nothing was presented where something must be, or what was presented is wrong.

    Args:
        message: One sentence for the caller. It does not say which part of the credentials is wrong.
        retry_after: Seconds for which further attempts are refused unseen, because there were too many; 0 when they are not.
        kind: What incidents are counted by, as in `authentication-password`.
        user: The user name that was presented, if one was.
    """

    def __init__(self, message: str, *, retry_after: float = 0.0, kind: str = "authentication", user: str = "") -> None:
        data: dict[str, Any] | None = {"retry_after": retry_after} if retry_after else None
        super().__init__(AUTHENTICATION_FAILED, message, data)
        self.retry_after = retry_after
        self.kind = kind
        self.user = user


class Authenticator(Role):
    """One way to find out who calls. Its methods are called from several threads at once.

    Attributes:
        name: What the setting `authentication.chain` calls it.
        challenge: What `WWW-Authenticate` offers of it (RFC 9110 section 11.6.1), as in `Basic realm="..."`; empty for nothing.
    """

    name: str = ""
    challenge: str = ""

    def quick(self, peer: Peer, credentials: Credentials) -> bool:  # noqa: ARG002 - for those that can be slow
        """Tell whether `authenticate` would answer at once. What is slow is asked in a worker thread, and not on an event loop.

        Args:
            peer: Who calls.
            credentials: What its message presented.
        """
        return True

    @abc.abstractmethod
    def authenticate(self, peer: Peer, credentials: Credentials) -> Identity | None:
        """Say who calls. Asked on every call: remember what was slow to find out, and only for as long as it holds.

        Args:
            peer: Who calls.
            credentials: What its message presented.

        Returns:
            Who it is; None when nothing was presented that this authenticator would judge.

        Raises:
            AuthenticationFault: What was presented is wrong. Nobody else is asked.
        """


class Chain:
    """Authenticators in their order. The first that knows the caller wins; the first that refuses it ends the call.

    Whoever presents something wrong is refused, and never treated as if nothing had been presented.

    Args:
        authenticators: The authenticators.

    Attributes:
        welcome: Asked, once it is known who sent an HTTP request, for header fields that go back with the answer; None for none ever.
            It raises nothing, and takes no time where `quick` said so.
    """

    def __init__(self, authenticators: Sequence[Authenticator]) -> None:
        self.authenticators = tuple(authenticators)
        self.welcome: Callable[[Peer, Credentials, Identity], tuple[tuple[str, str], ...]] | None = None
        self._slow = tuple(one for one in self.authenticators if type(one).quick is not Authenticator.quick)

    @property
    def challenges(self) -> tuple[str, ...]:
        """What may be presented, each as a value of `WWW-Authenticate`."""
        return tuple(one.challenge for one in self.authenticators if one.challenge)

    def quick(self, peer: Peer, credentials: Credentials) -> bool:
        """Tell whether `authenticate` would answer at once."""
        for one in self._slow:  # noqa: SIM110 - all() with a generator costs twice as much, on every call
            if not one.quick(peer, credentials):
                return False
        return True

    def authenticate(self, peer: Peer, credentials: Credentials) -> Identity:
        """Say who calls.

        Args:
            peer: Who calls.
            credentials: What its message presented.

        Raises:
            AuthenticationFault: What was presented is wrong, or nothing was, and nobody is let in without.
        """
        for one in self.authenticators:
            identity = one.authenticate(peer, credentials)
            if identity is not None:
                return identity
        known = ", ".join(one.name for one in self.authenticators if one.name) or "nothing"
        message = f"this server wants to know who calls; present one of: {known}"
        raise AuthenticationFault(message, kind="authentication-missing")
