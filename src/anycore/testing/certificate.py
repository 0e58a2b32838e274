"""A certificate for `localhost`, 127.0.0.1 and ::1 that tests serve TLS with, and the contexts of both ends.

Its private key is published right here: it proves nothing to anybody. Never trust it outside of a test.
"""

from __future__ import annotations

import ssl
import tempfile
from pathlib import Path
from typing import Final

CERTIFICATE: Final = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgVHFWsTfdM+odPo7l
ScaPmKe9TNySts57Dthq6PxX0r+hRANCAARyH4CUvXpxMNgT8TO+8gD+Ipk1Zkb2
crM6XJsbcWRbcuY8pjGcsN7i+hLxJ0iZJ1YCz2w0HQyDd9uppJUY968K
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBijCCATCgAwIBAgICEAEwCgYIKoZIzj0EAwIwFDESMBAGA1UEAwwJbG9jYWxo
b3N0MCAXDTIwMDEwMTAwMDAwMFoYDzIxMjAwMTAxMDAwMDAwWjAUMRIwEAYDVQQD
DAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAARyH4CUvXpxMNgT
8TO+8gD+Ipk1Zkb2crM6XJsbcWRbcuY8pjGcsN7i+hLxJ0iZJ1YCz2w0HQyDd9up
pJUY968Ko3AwbjAPBgNVHRMBAf8EBTADAQH/MA4GA1UdDwEB/wQEAwIChDAdBgNV
HQ4EFgQUL0OzulciCbV3P7zKmVC9MxHxmVUwLAYDVR0RBCUwI4IJbG9jYWxob3N0
hwR/AAABhxAAAAAAAAAAAAAAAAAAAAABMAoGCCqGSM49BAMCA0gAMEUCIFLrIoZ3
O3nfP4oH1/JapHtjhUpNflYBz025Zp4LsgO6AiEAjwJd4cRJYyplfv95XKcFhFh2
e/Zo8RJirQVyZ1APSmo=
-----END CERTIFICATE-----
"""
"""The private key and the self-signed certificate, in PEM form."""


def certificate_der() -> bytes:
    """Return the certificate in DER form, as `Peer.certificate` has it."""
    return ssl.PEM_cert_to_DER_cert(CERTIFICATE[CERTIFICATE.index("-----BEGIN CERTIFICATE-----") :])


def server_context(*, ask: bool = False) -> ssl.SSLContext:
    """Return the TLS context of a listener.

    Args:
        ask: Whether peers must show a certificate; only this same one is taken.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.num_tickets = 0
    _load(context)
    if ask:
        context.load_verify_locations(cadata=CERTIFICATE)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(*, show: bool = False) -> ssl.SSLContext:
    """Return a TLS context that trusts the certificate and nothing else.

    Args:
        show: Whether to show it to servers that ask for one.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=CERTIFICATE)
    if show:
        _load(context)
    return context


def _load(context: ssl.SSLContext) -> None:
    with tempfile.TemporaryDirectory(prefix="anycore-") as directory:
        path = Path(directory) / "localhost.pem"
        path.write_text(CERTIFICATE, encoding="ascii")
        context.load_cert_chain(path)  # the ssl module takes keys from files only
