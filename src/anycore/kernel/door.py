"""The door that every call passes: which policies there are, in what order they are asked, and what happens where none has an opinion."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anycore.kernel.policy import AccessPolicy, Decision, admit, beyond, by_default, decide

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from anycore.kernel.call import Identity, Peer
    from anycore.kernel.registry import Registry


class Door:
    """Asks the policies: those of the server first, then those of plugins.

    Args:
        registry: The plugins.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._own: tuple[AccessPolicy, ...] = ()
        self._default: Callable[[Peer], Decision] = by_default
        # The plugins among which policies were found, all policies, and those that go by address: one attribute, so that threads see
        # all or none.
        self._asked: tuple[object, tuple[AccessPolicy, ...], tuple[AccessPolicy, ...]] = (None, (), ())

    def guard(self, policies: Sequence[AccessPolicy], default: Callable[[Peer], Decision] = by_default) -> None:
        """Ask other policies from now on, besides those of plugins.

        Args:
            policies: The server's own.
            default: Decides where no policy has an opinion.
        """
        self._own, self._default = tuple(policies), default
        self._look()

    def _look(self) -> tuple[object, tuple[AccessPolicy, ...], tuple[AccessPolicy, ...]]:
        entries = self._registry.entries
        policies = (*self._own, *self._registry.plugins_with(AccessPolicy))  # type: ignore[type-abstract]
        self._asked = found = (entries, policies, tuple(policy for policy in policies if policy.by_address))
        return found

    @property
    def alone(self) -> bool:
        """Whether no plugin has a policy, so that only the server's own are asked."""
        asked = self._asked
        if asked[0] is not self._registry.entries:
            asked = self._look()
        return len(asked[1]) == len(self._own)

    def admit(self, peer: Peer, name: str) -> Decision | None:
        """Ask, before it is known who calls, what the address alone decides.

        Args:
            peer: Where the call comes from.
            name: The method's full name or an alias.

        Returns:
            A denial, or None where the call may go on to the next question.
        """
        asked = self._asked
        if asked[0] is not self._registry.entries:
            asked = self._look()
        if not asked[2]:
            return None
        method = self._registry.methods.get(name)
        name = name if method is None else method.name
        return admit(asked[2], peer, name, self._default if len(asked[1]) == len(asked[2]) else None)

    def decide(self, identity: Identity, peer: Peer, name: str) -> Decision:
        """Decide whether a caller may call a method.

        Args:
            identity: Who calls.
            peer: Where from.
            name: The method's full name or an alias.
        """
        asked = self._asked
        if asked[0] is not self._registry.entries:
            asked = self._look()
        policies = asked[1]
        if not policies and not identity.scopes:
            return self._default(peer)
        # An alias is judged by the method's own name: a rule about the one must hold for the other.
        method = self._registry.methods.get(name)
        name = name if method is None else method.name
        if identity.scopes and beyond(identity.scopes, name):
            return Decision(allowed=False, reason=f"the scopes of these credentials are {', '.join(identity.scopes)}")
        return decide(policies, identity, peer, name, self._default)
