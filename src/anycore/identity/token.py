"""Bearer tokens (RFC 6750): the authenticator. How they are kept is in `tokens`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from anycore.identity.remembered import Remembered
from anycore.identity.tokens import PREFIX, Token, Tokens, split
from anycore.kernel.authentication import AuthenticationFault, Authenticator
from anycore.kernel.call import Identity

if TYPE_CHECKING:
    from collections.abc import Callable

    from anycore.kernel.call import Credentials, Peer

_SCHEME: Final = "bearer "
_DECODED: Final = 3600.0  # seconds; whether the token is still there is looked up on every call


class TokenAuthenticator(Authenticator):
    """Knows whoever has a token. The store is asked on every call, so a token that is revoked is refused at once.

    Tokens of other makers are left to others in the chain.

    Args:
        tokens: Returns the tokens; asked when the first one comes.
        realm: What people are told they sign in to.
    """

    name = "token"
    presented_only = True

    def __init__(self, tokens: Callable[[], Tokens], *, realm: str = "anycore") -> None:
        self.challenge = f'Bearer realm="{realm}"'
        self._open = tokens
        self._tokens: Tokens | None = None
        self._known: Remembered[tuple[str, bytes, Token, Identity]] = Remembered(_DECODED)

    def authenticate(self, peer: Peer, credentials: Credentials) -> Identity | None:
        """Say who calls; see `Authenticator.authenticate`."""
        given = credentials.authorization
        if not given or given[:7].lower() != _SCHEME:
            return None
        presented = given[7:].strip(" ")
        if not presented.startswith(PREFIX):
            return None
        tokens = self._tokens
        if tokens is None:
            tokens = self._tokens = self._open()
        digest = self._known.digest(presented)
        known = self._known.get(digest)
        if known is not None and tokens.raw(known[0]) == known[1] and tokens.current(known[2]):
            return known[3]
        return self._look_up(tokens, digest, presented)

    def _look_up(self, tokens: Tokens, digest: bytes, presented: str) -> Identity:
        parts = split(presented)
        if parts is None:
            raise _refusal("it has not the form of a token; two of these fields in one request look so, too")
        ident, secret = parts
        raw = tokens.raw(ident)
        found = tokens.check(raw, secret)
        if found is None or raw is None:
            self._known.drop(digest)
            raise _refusal(f"there is no token {ident!r} with this secret, or it was revoked, or its time is up")
        identity = Identity(
            found.user, "token", frozenset(found.groups), names=(f"token:{ident}",), scopes=found.scopes
        )
        self._known.put(digest, (ident, raw, found, identity))
        return identity


def _refusal(reason: str) -> AuthenticationFault:
    message = f"the token is refused: {reason}; `anycore token create` on the server makes one"
    return AuthenticationFault(message, kind="authentication-token")
