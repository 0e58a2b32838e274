"""The certificate that TLS has verified: the authenticator. What a certificate says is read in `certificates`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from anycore.identity.certificates import Certificate, CertificateError, read_certificate
from anycore.kernel.authentication import AuthenticationFault, Authenticator
from anycore.kernel.call import Identity

if TYPE_CHECKING:
    from collections.abc import Callable

    from anycore.kernel.call import Credentials, Peer

KINDS: Final = ("common_name", "subject", "dns", "email", "uri")
"""What of a certificate can be the name of its owner."""
_REMEMBERED: Final = 4096


class CertificateAuthenticator(Authenticator):
    """Knows whoever has shown a certificate.

    Args:
        named_by: What is the owner's name, one of `KINDS`; the subject where a certificate has no such name.
        clock: Returns the time in seconds since 1970.
    """

    name = "certificate"
    presented_only = True

    def __init__(self, named_by: str = "common_name", clock: Callable[[], float] = time.time) -> None:
        self._named_by = named_by
        self._clock = clock
        self._known: dict[bytes, tuple[Certificate, Identity]] = {}

    def authenticate(self, peer: Peer, credentials: Credentials) -> Identity | None:
        """Say who calls; see `Authenticator.authenticate`."""
        der = peer.certificate
        if not der:
            return None
        try:
            read, identity = self._known[der]
        except KeyError:
            read, identity = self._read(der)
        reason = read.unusable(self._clock())
        if reason:
            raise _refusal(reason)
        return identity

    def _read(self, der: bytes) -> tuple[Certificate, Identity]:
        try:
            read = read_certificate(der)
        except CertificateError as error:
            raise _refusal(str(error)) from error
        name = read.common_name if self._named_by == "common_name" else ""
        if self._named_by in ("dns", "email", "uri"):
            name = read.first(self._named_by)
        if not (name or read.dn):
            raise _refusal("the certificate names nobody: its subject is empty; get one with a name")
        identity = Identity(name or read.dn, "certificate", dn=read.dn, names=read.names)
        while len(self._known) >= _REMEMBERED:  # the oldest; another thread may have been faster
            self._known.pop(next(iter(self._known), b""), None)
        self._known[der] = (read, identity)
        return read, identity


def _refusal(message: str) -> AuthenticationFault:
    return AuthenticationFault(message, kind="authentication-certificate")
