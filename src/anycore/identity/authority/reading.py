"""What certificates and revocation lists of anybody say about when they end. Nothing is verified here."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, TypeVar

import msgspec
from cryptography import x509
from cryptography.x509.oid import NameOID

from anycore.identity.authority.errors import AuthorityError

_BLOCK: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)
_CERTIFICATES: Final = (b"CERTIFICATE", b"X509 CERTIFICATE", b"TRUSTED CERTIFICATE")


class Expiry(msgspec.Struct, frozen=True, order=True):
    """When something ends.

    Args:
        until: When, in UTC.
        what: `certificate` or `crl`.
        name: The common name of whose it is, or of who issued the list.
    """

    until: datetime
    what: str
    name: str


_Loaded = TypeVar("_Loaded")


def loaded(load: Callable[[bytes], _Loaded], data: bytes) -> _Loaded:
    """Load something of X.509, whatever bytes it is in.

    Args:
        load: The function of `cryptography.x509` for it.
        data: The bytes.

    Raises:
        ValueError: They are broken, or of a version of which nothing is known: `cryptography` has an exception of its own for that.
    """
    try:
        return load(data)
    except x509.InvalidVersion as error:
        raise ValueError(str(error)) from error


def certificates(pem: bytes) -> list[x509.Certificate]:
    """Return the certificates of a PEM text, in order.

    Raises:
        ValueError: One of them is broken.
    """
    return [
        loaded(x509.load_pem_x509_certificate, found[0]) for found in _BLOCK.finditer(pem) if found[1] in _CERTIFICATES
    ]


def lists(pem: bytes) -> list[x509.CertificateRevocationList]:
    """Return the revocation lists of a PEM text, in order.

    Raises:
        ValueError: One of them is broken.
    """
    return [loaded(x509.load_pem_x509_crl, found[0]) for found in _BLOCK.finditer(pem) if found[1] == b"X509 CRL"]


def expiries(pem: bytes, where: str) -> list[Expiry]:
    """Return when the certificates and the revocation lists of a PEM text end.

    Args:
        pem: The text; private keys in it are left alone.
        where: What it was read from, for messages.

    Raises:
        AuthorityError: One of them is broken.
    """
    try:
        ends = [Expiry(one.not_valid_after_utc, "certificate", shown(one.subject)) for one in certificates(pem)]
        return ends + [
            Expiry(one.next_update_utc or datetime.max.replace(tzinfo=UTC), "crl", shown(one.issuer))
            for one in lists(pem)
        ]
    except ValueError as error:
        raise AuthorityError(f"{where}: what it holds cannot be read ({error}); replace it") from error


def shown(name: x509.Name) -> str:
    """Return the common name of a distinguished name, or all of it where there is none."""
    found = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[-1].value) if found else name.rfc4514_string()
