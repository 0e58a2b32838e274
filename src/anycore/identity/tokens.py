"""Bearer tokens: made, kept as a hash, listed, revoked. Who may call with one is the authenticator's, in `token`."""

from __future__ import annotations

import hmac
import re
import secrets
import time
from hashlib import sha256
from typing import TYPE_CHECKING, Final

import msgspec

from anycore.kernel.patterns import check_name
from anycore.store.base import Store
from anycore.store.namespaces import namespace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

PREFIX: Final = "anycore_"
"""What every token begins with, so that scanners for secrets can find one that was left lying about."""
_FORM: Final = re.compile(r"anycore_([a-z2-7]{10})_([A-Za-z0-9_-]{43})\Z")
_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz234567"
_NAMESPACE: Final = "identity.tokens"


class Token(msgspec.Struct, frozen=True):
    """What is kept of a token. The token itself is not, so a copy of the store lets nobody in.

    Args:
        id: The part of the token that may be shown.
        user: Whom it stands for.
        digest: SHA-256 of the secret part, which has 256 random bits: nothing slower is needed.
        groups: Groups of whoever calls with it.
        scopes: Patterns of the methods that may be called with it; none for all.
        created: When it was made, in seconds since 1970.
        expires: When it ends, likewise; 0 for never.
        note: What it is for, for people.
    """

    id: str
    user: str
    digest: bytes
    groups: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    created: float = 0.0
    expires: float = 0.0
    note: str = ""


class Tokens:
    """The tokens in a store.

    Args:
        store: Where they are kept.
        clock: Returns the time in seconds since 1970.
    """

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self._store = namespace(store, _NAMESPACE)
        self._clock = clock

    def create(
        self,
        user: str,
        *,
        groups: Sequence[str] = (),
        scopes: Sequence[str] = (),
        seconds: float = 0.0,
        note: str = "",
    ) -> tuple[str, Token]:
        """Make a token.

        Args:
            user: Whom it stands for.
            groups: Groups of whoever calls with it.
            scopes: Patterns of the methods that may be called with it, as in `room.*`; none for all.
            seconds: How long it is good for; 0 for ever.
            note: What it is for, for people.

        Returns:
            The token, which is nowhere to be had again, and what is kept of it.

        Raises:
            ValueError: A scope is no pattern, or there is no user.
        """
        if not user.isprintable() or not user:
            raise ValueError(f"{user!r} cannot be a user's name; it has printable characters")
        for scope in scopes:
            wrong = check_name(scope)
            if wrong:
                raise ValueError(f"{scope!r} is no scope: {wrong}")
        ident = "".join(secrets.choice(_LETTERS) for _ in range(10))
        secret = secrets.token_urlsafe(32)
        now = self._clock()
        made = Token(
            ident, user, _digest(secret), tuple(groups), tuple(scopes), now, now + seconds if seconds else 0.0, note
        )
        self._store.put(ident.encode(), msgspec.msgpack.encode(made), ttl=seconds or None)
        return f"{PREFIX}{ident}_{secret}", made

    def raw(self, ident: str) -> bytes | None:
        """Return what is kept of a token, undecoded: whoever knows it already need not decode it again."""
        return self._store.get(ident.encode())

    def check(self, raw: bytes | None, secret: str) -> Token | None:
        """Return the token that a secret belongs to; None when it belongs to none, or the time is up.

        Args:
            raw: What `raw` returned.
            secret: The secret part.
        """
        found = _NOBODY if raw is None else msgspec.msgpack.decode(raw, type=Token)
        right = hmac.compare_digest(found.digest, _digest(secret))
        return found if right and raw is not None and self.current(found) else None

    def current(self, token: Token) -> bool:
        """Tell whether a token's time is not up."""
        return not token.expires or self._clock() < token.expires

    def revoke(self, ident: str) -> bool:
        """End a token; it is refused from the next call on, by every process.

        Args:
            ident: Its id.

        Returns:
            Whether there was one.
        """
        return self._store.delete(ident.encode())

    def __iter__(self) -> Iterator[Token]:
        for _, raw in self._store.scan():
            yield msgspec.msgpack.decode(raw, type=Token)


def split(token: str) -> tuple[str, str] | None:
    """Return id and secret of a token; None when it has not the form of one."""
    found = _FORM.match(token)
    return (found[1], found[2]) if found else None


def _digest(secret: str) -> bytes:
    return sha256(secret.encode()).digest()


_NOBODY: Final = Token("", "", bytes(32))
