"""The authorities whose certificates `system.auth` accepts, and what they have revoked: read from files, again when these change."""

from __future__ import annotations

import datetime as dt
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography.x509.verification import Store

from anycore.identity.authority.reading import certificates, lists, shown
from anycore.identity.sessions.chain import CertificateRefusedError, Owner, find_owner

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography import x509

_MAX_BYTES: Final = 4 * 1024 * 1024
"""Bytes of a file; a larger one is no list of authorities, and revocation lists of grids have some hundred thousand."""

_Stamps = tuple[tuple[str, int, int], ...]


class Trust:
    """Authorities and revocation lists, in PEM form, in a file or in all files of a directory.

    Args:
        path: The file or directory.

    Raises:
        CertificateRefusedError: When no authority is there.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._lock = threading.Lock()
        self._stamps: _Stamps = ()
        self._found: tuple[Store, list[x509.CertificateRevocationList]] | None = None
        self._current()

    def owner(self, chain: Sequence[x509.Certificate], *, proxies: bool, key_bits: int) -> Owner:
        """Return whose chain it is.

        Args:
            chain: Certificates, the one whose key is used first.
            proxies: Whether proxy certificates are accepted.
            key_bits: Bits that an RSA key must have.

        Raises:
            CertificateRefusedError: When it leads to no authority that is trusted, or is revoked.
        """
        store, revoked = self._current()
        now = dt.datetime.now(dt.UTC)
        owner = find_owner(chain, store, now, proxies=proxies, key_bits=key_bits)
        certificate = owner.certificate
        for issuer in owner.issuers:
            _check_revoked(certificate, issuer, revoked, now)
            certificate = issuer
        return owner

    def _current(self) -> tuple[Store, list[x509.CertificateRevocationList]]:
        with self._lock:
            stamps = self._look()
            if self._found is None or stamps != self._stamps:
                self._found, self._stamps = self._read([name for name, _, _ in stamps]), stamps
            return self._found

    def _look(self) -> _Stamps:
        try:
            files = sorted(self._path.iterdir()) if self._path.is_dir() else [self._path]
            found = [(str(file), file.stat()) for file in files if file.is_file()]
        except OSError as error:
            raise CertificateRefusedError(
                f"the authorities in {self._path} cannot be read: {error.strerror}"
            ) from error
        return tuple((name, stat.st_mtime_ns, stat.st_size) for name, stat in found if stat.st_size <= _MAX_BYTES)

    def _read(self, names: list[str]) -> tuple[Store, list[x509.CertificateRevocationList]]:
        authorities: list[x509.Certificate] = []
        revoked: list[x509.CertificateRevocationList] = []
        for name in names:
            try:
                text = Path(name).read_bytes()
                authorities += certificates(text)
                revoked += lists(text)
            except (OSError, ValueError) as error:
                raise CertificateRefusedError(
                    f"{name}: its authorities cannot be read ({error}); correct or remove it"
                ) from error
        if not authorities:
            raise CertificateRefusedError(
                f"there is no authority in {self._path}; put PEM files with certificates there"
            )
        return Store(list(dict.fromkeys(authorities))), revoked


def _check_revoked(
    certificate: x509.Certificate,
    issuer: x509.Certificate,
    revoked: Sequence[x509.CertificateRevocationList],
    now: dt.datetime,
) -> None:
    """Refuse a certificate that its issuer has revoked, and one whose issuer's list is out of date (RFC 5280 section 6.3)."""
    own = [one for one in revoked if one.issuer == issuer.subject and one.is_signature_valid(issuer.public_key())]  # type: ignore[arg-type]
    current = [one for one in own if one.next_update_utc is None or now <= one.next_update_utc]
    if own and not current:
        raise CertificateRefusedError(f"the revocation list of {shown(issuer.subject)} is out of date; have it renewed")
    if any(one.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None for one in current):
        raise CertificateRefusedError(f"the certificate of {shown(certificate.subject)} is revoked")
