"""One-time tokens with which a new machine gets its first certificate. Only their hashes are kept, in a store."""

from __future__ import annotations

import re
import secrets
import time
from hashlib import sha256
from typing import TYPE_CHECKING, Final

import msgspec

from anycore.identity.authority.errors import AuthorityError
from anycore.identity.authority.names import Wanted
from anycore.store.base import Store
from anycore.store.namespaces import namespace
from anycore.store.typed import Typed

if TYPE_CHECKING:
    from collections.abc import Callable

PREFIX: Final = "enrol_"
"""What every such token begins with, so that scanners for secrets can find one that was left lying about."""
_FORM: Final = re.compile(r"enrol_[A-Za-z0-9_-]{43}\Z")
_NAMESPACE: Final = "identity.enrolment"


class Invitation(msgspec.Struct, frozen=True):
    """What is kept of a token.

    Args:
        wanted: What the certificate is to say, whatever its holder asks for.
        created: When it was made, in seconds since 1970.
        expires: When it ends, likewise.
    """

    wanted: Wanted
    created: float
    expires: float


class Invitations:
    """The tokens in a store.

    Args:
        store: Where they are kept.
        clock: Returns the time in seconds since 1970.
    """

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self._kept = Typed(namespace(store, _NAMESPACE), Invitation)
        self._clock = clock

    def create(self, wanted: Wanted, ttl: float) -> str:
        """Return a new token. It is shown this once.

        Args:
            wanted: What the certificate is to say.
            ttl: How long it may be used, in seconds.

        Raises:
            AuthorityError: No certificate can say that.
        """
        wanted.check()
        token = PREFIX + secrets.token_urlsafe(32)
        now = self._clock()
        self._kept.put(_key(token), Invitation(wanted, now, now + ttl), ttl=ttl)
        return token

    def take(self, token: str) -> Invitation:
        """Use a token up: of several that try at once, one succeeds.

        Args:
            token: As it was presented.

        Raises:
            AuthorityError: It was never made, was used, or has expired; which of these is not said.
        """
        found = self._kept.get(_key(token)) if _FORM.match(token) else None
        if found is None or found.expires < self._clock() or not self._kept.compare_and_set(_key(token), found, None):
            raise AuthorityError("the token is unknown, was used already, or has expired; ask for a new one")
        return found

    def give_back(self, token: str, invitation: Invitation) -> None:
        """Let a token be used after all, as it was taken in vain."""
        left = invitation.expires - self._clock()
        if left > 0:
            self._kept.compare_and_set(_key(token), None, invitation, ttl=left)

    def entries(self) -> list[tuple[str, Invitation]]:
        """Return the tokens that can be used, those that end first at the beginning; with the beginning of each one's hash as its name."""
        found = [(key.decode()[:12], one) for key, one in self._kept.scan()]
        return sorted(found, key=lambda one: one[1].expires)

    def withdraw(self, which: str) -> list[Invitation]:
        """Make tokens useless.

        Args:
            which: The beginning of the hash, eight digits or more, or the common name.

        Returns:
            What they were for.
        """
        gone = []
        for key, one in list(self._kept.scan()):
            known = (len(which) >= 8 and key.decode().startswith(which)) or one.wanted.name == which
            if known and self._kept.compare_and_set(key, one, None):
                gone.append(one)
        return gone


def _key(token: str) -> bytes:
    """Return the hash of a token: it has 256 random bits, so nothing slower is needed, and equal hashes are found by the store."""
    return sha256(token.encode()).hexdigest().encode()
