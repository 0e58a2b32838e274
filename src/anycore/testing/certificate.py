"""A certificate for `localhost`, 127.0.0.1 and ::1 that tests serve TLS with, and the contexts of both ends; and `Certifier`.

The private key is published right here: it proves nothing to anybody. Never trust it outside of a test.
"""

from __future__ import annotations

import atexit
import shutil
import ssl
import tempfile
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Final

from anycore.identity.authority import Authority, Issued, Wanted

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


@cache
def certificate_files() -> tuple[str, str]:
    """Return files with the certificate and its key, for servers that read them themselves; removed when the process ends."""
    folder = tempfile.mkdtemp(prefix="anycore-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = Path(folder) / "localhost.pem"
    path.write_text(CERTIFICATE, encoding="ascii")
    return str(path), str(path)


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


class Certifier:
    """A private authority for a test, in a directory: it makes certificates of every sort, also of those that are to be refused.

    Args:
        directory: Where everything is put.
        name: The authority's name.

    Attributes:
        authority: The authority.
        ca: Its certificate.
        crl: Its revocation list.
    """

    def __init__(self, directory: Path, name: str = "Test CA") -> None:
        self._directory = directory
        self.authority = Authority.create(directory / f"ca-{name.replace(' ', '-').lower()}", name)
        self.ca = self.authority.directory / "ca.pem"
        self.crl = self.authority.directory / "crl.pem"

    def server(self, *, days: int = 30) -> Path:
        """Return a file with a server's certificate for `localhost`, 127.0.0.1 and ::1, and its key; a new one each time.

        Args:
            days: How long it is valid.
        """
        wanted = Wanted("localhost", dns=("localhost",), ips=("127.0.0.1", "::1"), usages=("server",))
        return self._write("server.pem", self.authority.issue(wanted, days=days))

    def client(
        self,
        name: str,
        *,
        parts: tuple[str, ...] = (),
        usages: tuple[str, ...] = ("client",),
        begins_in: timedelta = timedelta(0),
        days: int = 30,
    ) -> Path:
        """Return a file with a client's certificate and its key.

        Args:
            name: The common name.
            parts: Parts of the distinguished name before that.
            usages: What it may be used for.
            begins_in: How long from now it begins to be valid; negative for before.
            days: How long it is valid from then.
        """
        then = datetime.now(UTC).replace(microsecond=0) + begins_in
        at_that_time = Authority(self.authority.directory, now=lambda: then)
        return self._write(f"{name}.pem", at_that_time.issue(Wanted(name, parts, usages=usages), days=days))

    def revoke(self, name: str) -> None:
        """Revoke a certificate, by its common name, and write a new revocation list."""
        self.authority.revoke(self.authority.find(name))

    def context(self, client: Path | None = None, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
        """Return a TLS context for a client that trusts this authority and nobody else.

        Args:
            client: A file with the certificate that it shows, and its key.
            version: The one TLS version that it speaks; 1.2 and 1.3 when left out.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.ca)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        if client is not None:
            context.load_cert_chain(client)
        if version is not None:
            context.minimum_version = context.maximum_version = version
        return context

    def _write(self, name: str, issued: Issued) -> Path:
        path = self._directory / name
        draft = path.with_suffix(".draft")
        draft.write_bytes(issued.key + issued.chain)
        draft.replace(path)
        return path
