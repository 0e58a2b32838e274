"""The one door of authorisation: may this caller call this method? Rules live in plugins; here is the door and its default."""

from __future__ import annotations

import abc
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import msgspec

from anycore.kernel.plugin import Role

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anycore.kernel.call import Identity, Peer


class Decision(msgspec.Struct, frozen=True):
    """An answer of the policy.

    Args:
        allowed: Whether the call may go on.
        reason: Which rule decided and why, for the log and for people who ask.
    """

    allowed: bool
    reason: str


class AccessPolicy(Role):
    """The role of plugins that decide who may call what. As soon as one is loaded, the default no longer applies."""

    @abc.abstractmethod
    def decide(self, identity: Identity, peer: Peer, method: str) -> Decision:
        """Decide whether a caller may call a method. Called before the method is looked up, on every call: be quick.

        Args:
            identity: Who calls.
            peer: Where from.
            method: The method's full name, never an alias; what the caller wrote when there is no such method.
        """


_LOCAL = Decision(allowed=True, reason="the default: callers on this machine may call everything")
_REMOTE = Decision(
    allowed=False,
    reason="the default: callers on other machines may call nothing until a plugin with the AccessPolicy role is loaded",
)


def by_default(peer: Peer) -> Decision:
    """Decide where no policy is loaded: callers on this machine may call, others may not."""
    return _LOCAL if peer.local else _REMOTE


def decide(policies: Sequence[AccessPolicy], identity: Identity, peer: Peer, method: str) -> Decision:
    """Ask every policy. Any denial denies, and an error in a policy is a denial.

    Args:
        policies: The loaded policies; the default decides when there are none.
        identity: Who calls.
        peer: Where from.
        method: The full method name.
    """
    if not policies:
        return by_default(peer)
    decision = _REMOTE
    for policy in policies:
        try:
            decision = policy.decide(identity, peer, method)
        except Exception as error:  # noqa: BLE001 - whatever a rule raises, the answer is no
            reason = f"the access policy {type(policy).__name__} raised {type(error).__name__}: {error}"
            return Decision(allowed=False, reason=reason)
        if not decision.allowed:
            return decision
    return decision


_SCOPES_REMEMBERED: Final = 1024


def beyond(scopes: tuple[str, ...], method: str) -> bool:
    """Tell whether a method is outside of all scopes of an identity.

    Args:
        scopes: Patterns: a method's full name, or the beginning of one with `*` for what follows, as in `room.*`.
        method: The full method name.
    """
    return _compiled(scopes).fullmatch(method) is None


@lru_cache(maxsize=_SCOPES_REMEMBERED)
def _compiled(scopes: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(".*".join(map(re.escape, scope.split("*"))) for scope in scopes), re.DOTALL)
