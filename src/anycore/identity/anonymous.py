"""Callers who present nothing: the authenticator that lets them in without a name, for the rules to judge."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anycore.identity.tokens import PREFIX
from anycore.kernel.authentication import AuthenticationFault, Authenticator
from anycore.kernel.call import ANONYMOUS

if TYPE_CHECKING:
    from anycore.kernel.call import Credentials, Identity, Peer


class AnonymousAuthenticator(Authenticator):
    """Lets in whoever presents nothing. Whoever presents what nobody before it in the chain knows is refused."""

    name = "anonymous"
    of_nobody = (ANONYMOUS,)

    def authenticate(self, peer: Peer, credentials: Credentials) -> Identity | None:
        """Say who calls; see `Authenticator.authenticate`."""
        given = credentials.authorization
        if not given:
            return ANONYMOUS
        scheme = given.partition(" ")[0][:20]
        own = f"; its own tokens begin with {PREFIX}" if scheme.lower() == "bearer" else ""
        message = (
            f"this server takes no credentials of the kind {scheme!r} as they were presented; leave them out, or add what judges them to"
            f" `chain` in [authentication] (and password_file for passwords){own}"
        )
        raise AuthenticationFault(message, kind="authentication-unknown")
