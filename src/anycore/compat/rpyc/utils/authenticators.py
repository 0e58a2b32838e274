"""`rpyc.utils.authenticators`: who may connect. An authenticator takes a socket and returns one, with what it has found out."""

from __future__ import annotations

import ssl
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import socket


class AuthenticationError(Exception):
    """The other side may not connect; the server drops it."""


class SSLAuthenticator:
    """Speaks TLS with whoever connects; what it has found out is the other side's certificate.

    The files are read once, for the first connection.

    Args:
        keyfile: PEM file of the private key.
        certfile: PEM file of the certificate.
        ca_certs: PEM file of the authorities whose certificates clients must have.
        cert_reqs: Whether they must, `ssl.CERT_NONE` to `CERT_REQUIRED`; as `ca_certs` suggests when left out.
        ssl_version: An `ssl.PROTOCOL_...`; the safe versions when left out.
        ciphers: In OpenSSL's words.
    """

    def __init__(
        self,
        keyfile: str | None,
        certfile: str,
        ca_certs: str | None = None,
        cert_reqs: int | None = None,
        ssl_version: int | None = None,
        ciphers: str | None = None,
    ) -> None:
        self.keyfile = str(keyfile) if keyfile else None
        self.certfile = str(certfile)
        self.ca_certs = str(ca_certs) if ca_certs else None
        self.cert_reqs = cert_reqs if cert_reqs is not None else ssl.CERT_REQUIRED if self.ca_certs else ssl.CERT_NONE
        self.ssl_version = ssl_version
        self.ciphers = ciphers

    @cached_property
    def _context(self) -> ssl.SSLContext:
        if self.ssl_version is None:
            made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        else:
            made = ssl.SSLContext(self.ssl_version)
        made.load_cert_chain(self.certfile, self.keyfile)
        made.verify_mode = ssl.VerifyMode(self.cert_reqs)
        if self.ca_certs is not None:
            made.load_verify_locations(self.ca_certs)
        if self.ciphers is not None:
            made.set_ciphers(self.ciphers)
        return made

    def __call__(self, sock: socket.socket) -> tuple[ssl.SSLSocket, Any]:
        """Shake hands.

        Returns:
            The TLS socket, and the other side's certificate as `getpeercert` returns it.

        Raises:
            AuthenticationError: When that fails.
        """
        context = self._context
        try:
            wrapped = context.wrap_socket(sock, server_side=True)
        except OSError as error:
            raise AuthenticationError(str(error)) from error
        return wrapped, wrapped.getpeercert()
