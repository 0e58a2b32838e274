"""What a certificate says of its owner: subject, other names, purposes, times. Whether it is trusted, TLS has found out before."""

from __future__ import annotations

import re
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from cryptography import x509

_REMEMBERED: Final = 1024
_ABBREVIATIONS: Final = {
    "0.9.2342.19200300.100.1.1": "UID",
    "0.9.2342.19200300.100.1.25": "DC",
    "1.2.840.113549.1.9.1": "emailAddress",
    "2.5.4.3": "CN",
    "2.5.4.4": "SN",
    "2.5.4.5": "serialNumber",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.9": "street",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "2.5.4.12": "title",
    "2.5.4.42": "GN",
    "2.5.4.43": "initials",
}
_AMBIGUOUS: Final = re.compile(r"/(?=[A-Za-z0-9.]+=)")


class CertificateError(ValueError):
    """Bytes that are no certificate, or one that cannot be understood."""


class Certificate(msgspec.Struct, frozen=True):
    """What a certificate says.

    Args:
        dn: The subject in slash form, as in `/DC=org/CN=Alice`.
        common_name: The last common name of the subject, or an empty string.
        names: The other names: `cn:Alice`, `dns:host.example.org`, `email:alice@example.org`, `ip:192.0.2.1`, `uri:spiffe://...`.
        not_before: When it begins to be valid, in seconds since 1970.
        not_after: When it ends to be valid, likewise.
        for_clients: Whether it may be used to show who a client is (RFC 5280 section 4.2.1.12).
    """

    dn: str
    common_name: str
    names: tuple[str, ...]
    not_before: float
    not_after: float
    for_clients: bool

    def first(self, kind: str) -> str:
        """Return the first name of a kind, such as `dns`, without the kind; an empty string when there is none."""
        return next((name.partition(":")[2] for name in self.names if name.startswith(f"{kind}:")), "")

    def unusable(self, now: float) -> str:
        """Return why it shows nobody's identity at a time, or an empty string.

        TLS has looked at the time as well, but a connection may outlive the certificate that it began with.

        Args:
            now: The time in seconds since 1970.
        """
        if not self.not_before <= now < self.not_after:
            return f"the certificate of {self.dn} has expired, or is not valid yet; get a new one"
        if not self.for_clients:
            return f"the certificate of {self.dn} is not meant for clients (its extended key usage has no clientAuth); get one that is"
        return ""


@lru_cache(maxsize=_REMEMBERED)
def read_certificate(der: bytes) -> Certificate:
    """Return what a certificate says.

    Args:
        der: The certificate in DER form, as `ssl.SSLSocket.getpeercert(binary_form=True)` returns it.

    Raises:
        CertificateError: It cannot be understood.
    """
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    try:
        read = x509.load_der_x509_certificate(der)
        commons = [str(one.value) for one in read.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
        common = commons[-1] if commons else ""
        purposes = _extension(read, x509.ExtendedKeyUsage)
        named = [f"cn:{common}"] if common else []
        named += _other_names(_extension(read, x509.SubjectAlternativeName))
        return Certificate(
            slash_form(read.subject),
            common,
            tuple(dict.fromkeys(named)),
            _seconds(read.not_valid_before_utc),
            _seconds(read.not_valid_after_utc),
            purposes is None
            or any(
                one in (ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE) for one in purposes
            ),
        )
    except (
        ValueError,
        TypeError,
        x509.InvalidVersion,
        x509.DuplicateExtension,
        x509.UnsupportedGeneralNameType,
    ) as error:
        message = f"the certificate cannot be understood: {error}"
        raise CertificateError(message) from error


def slash_form(name: x509.Name) -> str:
    r"""Return a name in slash form, as in `/DC=org/CN=Alice`, in the order of the certificate.

    A slash within a value stays, as in `/CN=host/a.example.org`, unless what follows could be taken for the next attribute: then a backslash
    comes before it, and so it does before a backslash. Characters that cannot be printed are written as `\xHH`.

    Args:
        name: The subject, or the issuer.
    """
    parts: list[str] = []
    for rdn in name.rdns:
        pairs = [
            f"{_ABBREVIATIONS.get(one.oid.dotted_string, one.oid.dotted_string)}={_value(one.value)}" for one in rdn
        ]
        parts.append("+".join(sorted(pairs)))
    return "".join(f"/{part}" for part in parts)


def _value(value: str | bytes) -> str:
    text = value if isinstance(value, str) else value.hex()
    text = _AMBIGUOUS.sub(r"\\/", text.replace("\\", "\\\\"))
    return "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in text)


def _other_names(found: x509.SubjectAlternativeName | None) -> list[str]:
    from cryptography import x509

    kinds: tuple[tuple[str, Any], ...] = (
        ("dns", x509.DNSName),
        ("email", x509.RFC822Name),
        ("ip", x509.IPAddress),
        ("uri", x509.UniformResourceIdentifier),
    )
    if found is None:
        return []
    return [
        f"{kind}:{str(value).lower() if kind == 'dns' else value}"
        for kind, of in kinds
        for value in found.get_values_for_type(of)
    ]


def _extension(read: x509.Certificate, kind: type[Any]) -> Any:
    from cryptography import x509

    try:
        return read.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _seconds(moment: datetime) -> float:
    return moment.timestamp()
