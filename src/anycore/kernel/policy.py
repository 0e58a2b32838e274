"""The questions of authorisation and how answers are combined. Rules live in `access` and in plugins; who is asked is `door`'s."""

from __future__ import annotations

import abc
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import msgspec

from anycore.kernel.patterns import MAX_NAME, check_name, compile_parts, parts_of
from anycore.kernel.plugin import Role

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from anycore.kernel.call import Identity, Peer


class Decision(msgspec.Struct, frozen=True):
    """An answer of the policy.

    Args:
        allowed: Whether the call may go on.
        reason: Which rule decided and why, for the log and for people who ask.
    """

    allowed: bool
    reason: str


NO_OPINION: Final = Decision(allowed=False, reason="no rule says anything about it")
"""What a policy answers when it leaves a question to the others. It is this very object that counts."""


class AccessPolicy(Role):
    """The role of plugins that decide who may call what. The default no longer applies to what one of them has an opinion on.

    Attributes:
        by_address: Whether `admit` is worth asking, because some of its decisions go by address alone.
    """

    by_address: bool = False

    @abc.abstractmethod
    def decide(self, identity: Identity, peer: Peer, method: str) -> Decision:
        """Decide whether a caller may call a method. Called before the method is looked up, on every call: be quick.

        Args:
            identity: Who calls.
            peer: Where from.
            method: The method's full name, never an alias; what the caller wrote when there is no such method.

        Returns:
            The decision, or `NO_OPINION`.
        """

    def admit(self, peer: Peer, method: str) -> Decision | None:  # noqa: ARG002 - for those who override it
        """Decide by the address alone, before anything is done to find out who calls; must not contradict `decide`.

        Args:
            peer: Where from.
            method: As for `decide`.

        Returns:
            What is decided whoever calls; `NO_OPINION` where nobody is allowed, though some may be denied; None where it depends.
        """
        return None


_LOCAL = Decision(allowed=True, reason="the default: callers on this machine may call everything")
_REMOTE = Decision(
    allowed=False,
    reason="the default: callers on other machines may call nothing that no rule and no access policy allows them",
)
_ANYBODY = Decision(allowed=True, reason="the default: what no rule denies is allowed")
_NOBODY = Decision(allowed=False, reason="the default: what no rule allows is denied")


def by_default(peer: Peer) -> Decision:
    """Decide where no policy has an opinion: callers on this machine may call, others may not."""
    return _LOCAL if peer.local else _REMOTE


def nobody(peer: Peer) -> Decision:  # noqa: ARG001 - a default like the others
    """Decide where no policy has an opinion: callers may not call, wherever they are."""
    return _NOBODY


def anybody(peer: Peer) -> Decision:  # noqa: ARG001 - a default like the others
    """Decide where no policy has an opinion: callers may call, wherever they are."""
    return _ANYBODY


def decide(
    policies: Sequence[AccessPolicy],
    identity: Identity,
    peer: Peer,
    method: str,
    default: Callable[[Peer], Decision] = by_default,
) -> Decision:
    """Ask every policy. Any denial denies, and an error in a policy is a denial.

    Args:
        policies: The policies.
        identity: Who calls.
        peer: Where from.
        method: The full method name.
        default: Decides where no policy has an opinion.
    """
    outcome = NO_OPINION
    for policy in policies:
        try:
            decision = policy.decide(identity, peer, method)
        except Exception as error:  # noqa: BLE001 - whatever a rule raises, the answer is no
            return _broken(policy, error)
        if decision is not NO_OPINION:
            if not decision.allowed:
                return decision
            outcome = decision
    return default(peer) if outcome is NO_OPINION else outcome


def admit(
    policies: Sequence[AccessPolicy], peer: Peer, method: str, default: Callable[[Peer], Decision] | None
) -> Decision | None:
    """Ask every policy that goes by address, before it is known who calls. Any denial denies, and an error is a denial.

    Args:
        policies: The policies that go by address.
        peer: Where from.
        method: The full method name.
        default: Decides where no policy has an opinion; None where there are policies that do not go by address.

    Returns:
        A denial, or None where it depends on who calls.
    """
    open_to_some = default is None
    for policy in policies:
        try:
            decision = policy.admit(peer, method)
        except Exception as error:  # noqa: BLE001 - as above
            return _broken(policy, error)
        if decision is None:
            open_to_some = True
        elif decision is not NO_OPINION:
            if not decision.allowed:
                return decision
            open_to_some = True
    if open_to_some or default is None:
        return None
    decision = default(peer)
    return None if decision.allowed else decision


def _broken(policy: AccessPolicy, error: Exception) -> Decision:
    reason = f"the access policy {type(policy).__name__} raised {type(error).__name__}: {error}"
    return Decision(allowed=False, reason=reason)


_SCOPES_REMEMBERED: Final = 1024
_EVERYTHING: Final = re.compile("")


def beyond(scopes: tuple[str, ...], method: str) -> bool:
    """Tell whether a method is outside of all scopes of an identity.

    Args:
        scopes: Patterns, which mean what they mean in rules; see `patterns`. What is none stands for nothing.
        method: The full method name.
    """
    return len(method) > MAX_NAME or not any(expression.match(method) for expression in _compiled(scopes))


@lru_cache(maxsize=_SCOPES_REMEMBERED)
def _compiled(scopes: tuple[str, ...]) -> tuple[re.Pattern[str], ...]:
    parts = [parts_of(scope, ".") for scope in scopes if not check_name(scope)]
    return tuple(compile_parts(some, ".") if some else _EVERYTHING for some in parts)
