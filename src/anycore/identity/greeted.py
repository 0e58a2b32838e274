"""Whoever a listener's own function has let in before anything was said on the wire: the authenticator."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anycore.kernel.authentication import Authenticator

if TYPE_CHECKING:
    from anycore.kernel.call import Credentials, Identity, Peer


class GreetedAuthenticator(Authenticator):
    """Knows whoever the listener's `authenticator` has let in."""

    name = "rpyc"
    presented_only = True

    def authenticate(self, peer: Peer, credentials: Credentials) -> Identity | None:
        """Say who calls; see `Authenticator.authenticate`."""
        return peer.identity
