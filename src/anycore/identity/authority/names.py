"""For whom a certificate is: the distinguished name, alternative names, and what it may be used for."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Final, Self

import msgspec
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from anycore.identity.authority.errors import AuthorityError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_PARTS: Final[dict[str, ObjectIdentifier]] = {
    "DC": NameOID.DOMAIN_COMPONENT,
    "C": NameOID.COUNTRY_NAME,
    "ST": NameOID.STATE_OR_PROVINCE_NAME,
    "L": NameOID.LOCALITY_NAME,
    "O": NameOID.ORGANIZATION_NAME,
    "OU": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "UID": NameOID.USER_ID,
    "CN": NameOID.COMMON_NAME,
}
"""Parts of a distinguished name that may be asked for (RFC 4514 section 3)."""
_SHOWN: Final = {oid: name for name, oid in _PARTS.items()}
_PURPOSES: Final = {"server": ExtendedKeyUsageOID.SERVER_AUTH, "client": ExtendedKeyUsageOID.CLIENT_AUTH}
USAGES: Final = tuple(_PURPOSES)
"""What a certificate may be used for: `server`, `client`, or both (RFC 5280 section 4.2.1.12)."""
_HOST: Final = re.compile(
    r"(\*\.)?([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?\.)*[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?\Z", re.IGNORECASE
)
_LONGEST: Final = 64
"""Characters of a part, ub-common-name and others (RFC 5280 appendix A.1)."""


class Wanted(msgspec.Struct, frozen=True):
    """What a certificate is to say.

    Args:
        name: The common name.
        parts: Parts of the distinguished name before the common name, as in `O=Example`.
        dns: Host names.
        ips: Addresses.
        usages: Of `USAGES`.
    """

    name: str
    parts: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()
    ips: tuple[str, ...] = ()
    usages: tuple[str, ...] = ("client",)

    def check(self) -> Self:
        """Return this, or say what is wrong.

        Raises:
            AuthorityError: A name is none, or there is no use.
        """
        subject(self.name, self.parts)
        self.alternatives()
        if not self.usages or set(self.usages) - set(USAGES):
            raise AuthorityError(
                f"{self.name}: expected a use of {', '.join(USAGES)}, got {', '.join(self.usages) or 'none'}"
            )
        return self

    def alternatives(self) -> list[x509.GeneralName]:
        """Return the subject's alternative names."""
        for host in self.dns:
            if not _HOST.match(host) or len(host) > 253:
                raise AuthorityError(f"{host!r} is no host name; write it as in server.example.org, in its ASCII form")
        try:
            addresses = [ipaddress.ip_address(text) for text in self.ips]
        except ValueError as error:
            raise AuthorityError(f"{error}; write an address as in 192.0.2.7 or 2001:db8::7") from error
        return [*map(x509.DNSName, self.dns), *map(x509.IPAddress, addresses)]

    def purposes(self) -> list[ObjectIdentifier]:
        """Return the extended key usages."""
        return [_PURPOSES[usage] for usage in self.usages]

    @classmethod
    def of(cls, certificate: x509.Certificate | x509.CertificateSigningRequest, usages: Sequence[str] = ()) -> Self:
        """Return what a certificate or a request says.

        Args:
            certificate: The certificate or the request; names of other kinds than host names and addresses are left out.
            usages: What it may be used for; when left out, what it says itself, and without that: server where it has names, else client.
        """
        attributes = list(certificate.subject)
        names = [str(one.value) for one in attributes if one.oid == NameOID.COMMON_NAME]
        unknown = [one.rfc4514_attribute_name for one in attributes if one.oid not in _SHOWN]
        if not names or unknown:
            reason = f"has a part {unknown[0]}" if unknown else "has no common name"
            raise AuthorityError(
                f"the subject {certificate.subject.rfc4514_string()!r} {reason}; use {', '.join(_PARTS)}"
            )
        parts = tuple(f"{_SHOWN[one.oid]}={one.value!s}" for one in attributes if one.oid != NameOID.COMMON_NAME)
        dns: tuple[str, ...] = ()
        ips: tuple[str, ...] = ()
        said: tuple[str, ...] = ()
        try:
            extensions = list(certificate.extensions)
        except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
            raise AuthorityError(
                f"the extensions of {names[-1]!r} cannot be read ({error}); make the request anew"
            ) from error
        for extension in extensions:
            value = extension.value
            if isinstance(value, x509.SubjectAlternativeName):
                dns = tuple(value.get_values_for_type(x509.DNSName))
                ips = tuple(map(str, value.get_values_for_type(x509.IPAddress)))
            elif isinstance(value, x509.ExtendedKeyUsage):
                said = tuple(usage for usage, oid in _PURPOSES.items() if oid in value)
        found = tuple(usages) or said or (("server",) if dns or ips else ("client",))
        return cls(names[-1], parts, dns, ips, found)


def subject(name: str, parts: Iterable[str] = ()) -> x509.Name:
    """Return a distinguished name.

    Args:
        name: The common name.
        parts: Parts before it, the most general first, as in `O=Example`.

    Raises:
        AuthorityError: A part is none.
    """
    attributes = []
    for part in (*parts, f"CN={name}"):
        kind, equals, value = part.partition("=")
        if kind not in _PARTS or not equals:
            raise AuthorityError(
                f"{part!r} is no part of a distinguished name; write e.g. O=Example, with one of {', '.join(_PARTS)}"
            )
        if not value.strip() or not value.isprintable() or len(value) > _LONGEST:
            raise AuthorityError(f"{kind}={value[:80]!r}: expected 1 to {_LONGEST} printable characters")
        try:
            attributes.append(x509.NameAttribute(_PARTS[kind], value))
        except ValueError as error:
            raise AuthorityError(f"{part!r}: {error}") from error
    return x509.Name(attributes)


def slashes(name: x509.Name) -> str:
    """Return a distinguished name as grids write it: `/O=Example/CN=Ada`."""
    return "".join(f"/{_SHOWN.get(one.oid, one.rfc4514_attribute_name)}={one.value!s}" for one in name)
