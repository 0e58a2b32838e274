"""The one door of authentication: who is calling? Authenticators live in `identity` and in plugins; here is their role, and their chain."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any

from anycore.kernel.call import NO_CREDENTIALS
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
        presented_only: Whether it need not be asked about callers that present nothing: no field, no certificate, no Unix socket. Those are
            most, and it costs them nothing then.
        of_nobody: All that this authenticator ever answers about callers that present nothing; None where that cannot be said.
    """

    name: str = ""
    challenge: str = ""
    presented_only: bool = False
    of_nobody: tuple[Identity | None, ...] | None = None

    def offers(self) -> tuple[str, ...]:
        """Return what `WWW-Authenticate` offers of it: its challenge, unless it has several."""
        return (self.challenge,) if self.challenge else ()

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
        nobody: Who those are that present nothing, where they are always the same, and need not be asked about; else None.
        welcome: Asked, once it is known who sent an HTTP request, for header fields that go back with the answer; None for none ever.
            It raises nothing, and takes no time where `quick` said so.
    """

    def __init__(self, authenticators: Sequence[Authenticator]) -> None:
        self.authenticators = tuple(authenticators)
        self.welcome: Callable[[Peer, Credentials, Identity], tuple[tuple[str, str], ...]] | None = None

    @property
    def authenticators(self) -> tuple[Authenticator, ...]:
        """The authenticators, in their order."""
        return self._all

    @authenticators.setter
    def authenticators(self, authenticators: tuple[Authenticator, ...]) -> None:
        self._slow = tuple(one for one in authenticators if type(one).quick is not Authenticator.quick)
        # Most callers present nothing, and most authenticators have nothing to say of those.
        self._of_all = tuple(one for one in authenticators if not one.presented_only)
        self._slow_of_all = tuple(one for one in self._slow if not one.presented_only)
        self.nobody = _answer_about_nobody(self._of_all)
        self._all = authenticators

    @property
    def challenges(self) -> tuple[str, ...]:
        """What may be presented, each as a value of `WWW-Authenticate`."""
        return tuple(offer for one in self._all for offer in one.offers())

    def quick(self, peer: Peer, credentials: Credentials) -> bool:
        """Tell whether `authenticate` would answer at once."""
        for one in self._slow_of_all if presents_nothing(peer, credentials) else self._slow:
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
        try:
            for one in self._of_all if presents_nothing(peer, credentials) else self._all:
                identity = one.authenticate(peer, credentials)
                if identity is not None:
                    return identity
        except AuthenticationFault as fault:
            raise self.refused(peer, fault) from fault.__cause__
        raise self.refused(peer, self._missing())

    def refused(self, peer: Peer, fault: AuthenticationFault) -> AuthenticationFault:  # noqa: ARG002 - for chains that take note
        """Take note of somebody who is refused.

        Args:
            peer: Who it is.
            fault: Why.

        Returns:
            The fault to raise.
        """
        return fault

    def _missing(self) -> AuthenticationFault:
        known = ", ".join(one.name for one in self._all if one.name) or "nothing"
        message = f"this server wants to know who calls; present one of: {known}"
        return AuthenticationFault(message, kind="authentication-missing")


def _answer_about_nobody(authenticators: Sequence[Authenticator]) -> Identity | None:
    """Return the one answer that these can give about callers that present nothing, if there is only one."""
    answers: set[Identity] = set()
    for one in authenticators:
        if one.of_nobody is None:
            return None
        answers.update(answer for answer in one.of_nobody if answer is not None)
        if None not in one.of_nobody:
            return answers.pop() if len(answers) == 1 else None
    return None


def presents_nothing(peer: Peer, credentials: Credentials) -> bool:
    """Tell whether neither a caller's connection nor its message shows who it is.

    Args:
        peer: Who calls.
        credentials: What its message presented.
    """
    return credentials is NO_CREDENTIALS and peer.certificate is None and peer.uid is None and peer.identity is None
