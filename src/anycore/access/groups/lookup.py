"""Which groups a caller is in, asked on every call: remembered for as long as nobody changes the tree."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from anycore.access.groups.store import Groups
    from anycore.kernel.call import Identity

_LOOKS: Final = 0.25
"""Seconds for which another process's change may go unnoticed."""
_NONE: Final[frozenset[str]] = frozenset()
_REMEMBERED: Final = 10_000
"""Identities whose groups are remembered."""


class GroupLookup:
    """Answers which groups an identity is in. May be used by several threads.

    A change takes effect at once in the process that made it, and in all others within a quarter of a second.

    Args:
        groups: The tree.
    """

    def __init__(self, groups: Groups) -> None:
        self._groups = groups
        self._known: dict[Identity, frozenset[str]] = {}
        self._generation = -1
        self._next = 0.0

    def __call__(self, identity: Identity) -> frozenset[str]:
        """Return the groups that an identity is in, with all below them.

        Args:
            identity: Who calls.
        """
        if identity.kind == "anonymous":
            return _NONE  # and the store need not even be there
        if time.monotonic() >= self._next:
            self.look()
        known = self._known
        found = known.get(identity)
        if found is None:
            found = self._groups.reached("member", identity)
            if len(known) >= _REMEMBERED:
                known = self._known = {}
            # Into the table that was current before the tree was read: an answer that is older than a change goes with its table.
            known[identity] = found
        return found

    def look(self) -> None:
        """See whether the tree has changed, without waiting for the time to do so."""
        self._next = time.monotonic() + _LOOKS
        generation = self._groups.generation()
        if generation != self._generation:
            self._known = {}
            self._generation = generation
