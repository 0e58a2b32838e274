"""Whose certificate was presented: chains from a proxy certificate to its owner's, and from there to an authority.

The part up to the authority is judged by the path validation of `cryptography` (RFC 5280). A proxy certificate is one that its owner
has signed, and not an authority; what may be one is judged here: RFC 3820, and the form that Globus had before it, which says so by
its name alone.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID
from cryptography.x509.verification import Criticality, ExtensionPolicy, PolicyBuilder, VerificationError

from anycore.identity.authority.reading import certificates
from anycore.identity.sessions.proxy import PROXY_INFO, read_proxy_info

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography.x509.verification import Policy, Store

MAX_CERTIFICATES: Final = 10
_OLD_PROXIES: Final = ("proxy", "limited proxy")
_DIGESTS: Final = ("sha256", "sha384", "sha512")
_KNOWN: Final = (
    ExtensionOID.BASIC_CONSTRAINTS, ExtensionOID.KEY_USAGE, ExtensionOID.EXTENDED_KEY_USAGE, PROXY_INFO,
)  # fmt: skip
"""Extensions of a proxy certificate that may be critical."""
E = TypeVar("E", bound=x509.ExtensionType)


class CertificateRefusedError(Exception):
    """The certificate is not accepted; the message says why."""


class Owner(msgspec.Struct, frozen=True):
    """Who presented a chain, and what with.

    Args:
        certificate: Whose it is: the certificate that an authority has signed for a person or a machine.
        leaf: The one whose key is used: the same, or the last of its proxies.
        issuers: The certificates that lead to the authority, and its own, last.
    """

    certificate: x509.Certificate
    leaf: x509.Certificate
    issuers: tuple[x509.Certificate, ...]


def read_chain(pem: str) -> list[x509.Certificate]:
    """Return the certificates of a PEM text, in its order; what is between them does not matter.

    Args:
        pem: The text.

    Raises:
        CertificateRefusedError: When there is none, one is broken, or there are more than 10.
    """
    count = pem.count("-----BEGIN CERTIFICATE-----")
    if not 0 < count <= MAX_CERTIFICATES:
        raise CertificateRefusedError(f"it holds {count} certificates; 1 to {MAX_CERTIFICATES} were expected")
    try:
        found = certificates(pem.encode())
    except ValueError as error:
        raise CertificateRefusedError(f"a certificate cannot be read: {error}") from error
    if not found:
        raise CertificateRefusedError("it holds no whole certificate")
    return found


def find_owner(
    chain: Sequence[x509.Certificate],
    authorities: Store,
    now: dt.datetime,
    *,
    proxies: bool = True,
    key_bits: int = 2048,
) -> Owner:
    """Return whose chain it is.

    Args:
        chain: Its certificates, the one whose key is used first, the others in any order.
        authorities: The authorities that are trusted.
        now: The present time, with its zone.
        proxies: Whether proxy certificates are accepted.
        key_bits: Bits that the RSA key of each certificate up to the owner's must have.

    Raises:
        CertificateRefusedError: When it leads to no authority that is trusted.
    """
    try:
        return _find_owner(chain, authorities, now, proxies, key_bits)
    except (
        ValueError,
        TypeError,
        UnsupportedAlgorithm,
    ) as error:  # parts of a certificate are read when they are wanted
        raise CertificateRefusedError(f"a certificate cannot be read: {error}") from error


def _find_owner(
    chain: Sequence[x509.Certificate], authorities: Store, now: dt.datetime, proxies: bool, key_bits: int
) -> Owner:
    leaf, *others = chain
    current, depth = leaf, 0
    _check_key(current, key_bits)
    while _is_proxy(current):
        if not proxies:
            raise CertificateRefusedError("proxy certificates are not accepted here; present the certificate itself")
        current = _check_proxy(current, others, depth, now)
        _check_key(current, key_bits)
        depth += 1
        if depth >= MAX_CERTIFICATES:  # a certificate that has signed itself
            raise CertificateRefusedError("the proxy certificates lead nowhere")
    issuers = _path(current, others, authorities, now)
    return Owner(current, leaf, tuple(issuers))


def _check_key(certificate: x509.Certificate, bits: int) -> None:
    key = certificate.public_key()
    if isinstance(key, RSAPublicKey) and key.key_size < bits:
        shown = certificate.subject.rfc4514_string()
        raise CertificateRefusedError(f"the RSA key of {shown} has {key.key_size} bits; {bits} were expected")


def _is_proxy(certificate: x509.Certificate) -> bool:
    if any(extension.oid == PROXY_INFO for extension in certificate.extensions):
        return True
    last = _added_name(certificate)
    return last is not None and last.value in _OLD_PROXIES


def _added_name(certificate: x509.Certificate) -> x509.NameAttribute[Any] | None:
    """Return the common name by which a certificate's subject is longer than its issuer's; None when it is not so."""
    issuer, subject = list(certificate.issuer.rdns), list(certificate.subject.rdns)
    if not issuer or len(subject) != len(issuer) + 1 or subject[:-1] != issuer or len(subject[-1]) != 1:
        return None
    (last,) = subject[-1]
    return last if last.oid == NameOID.COMMON_NAME else None


def _check_proxy(
    proxy: x509.Certificate, others: Sequence[x509.Certificate], depth: int, now: dt.datetime
) -> x509.Certificate:
    """Return the certificate that has signed a proxy, once both are found to be good as that (RFC 3820 sections 3 and 4)."""
    if _added_name(proxy) is None:
        raise CertificateRefusedError("a proxy certificate's subject is not its issuer's with one common name more")
    issuer = next((other for other in others if other.subject == proxy.issuer and _has_signed(other, proxy)), None)
    if issuer is None:
        raise CertificateRefusedError(
            "the certificate that signed a proxy certificate is missing, or has not signed it"
        )
    if not proxy.not_valid_before_utc <= now <= proxy.not_valid_after_utc:
        raise CertificateRefusedError(f"a proxy certificate is not valid now: {_period(proxy)}")
    digest = proxy.signature_hash_algorithm
    if digest is not None and digest.name not in _DIGESTS:
        raise CertificateRefusedError(f"a proxy certificate is signed with {digest.name}; SHA-2 was expected")
    _check_extensions(proxy, depth)
    usage = _extension(issuer, x509.KeyUsage)
    if usage is not None and not usage.digital_signature:
        raise CertificateRefusedError("the certificate that signed a proxy certificate is not for signatures")
    if _is_authority(issuer):
        raise CertificateRefusedError("a proxy certificate is signed by an authority, which cannot have proxies")
    return issuer


def _check_extensions(proxy: x509.Certificate, depth: int) -> None:
    for extension in proxy.extensions:
        if extension.critical and extension.oid not in _KNOWN:
            raise CertificateRefusedError(
                f"a proxy certificate has the unknown critical extension {extension.oid.dotted_string}"
            )
        if extension.oid in (ExtensionOID.SUBJECT_ALTERNATIVE_NAME, ExtensionOID.ISSUER_ALTERNATIVE_NAME):
            raise CertificateRefusedError("a proxy certificate has an alternative name, which RFC 3820 forbids")
        if extension.oid == PROXY_INFO:
            try:
                info = read_proxy_info(extension.value.public_bytes())
            except ValueError as error:
                raise CertificateRefusedError(f"a proxy certificate's ProxyCertInfo: {error}") from error
            if info.path_length is not None and depth > info.path_length:
                raise CertificateRefusedError(
                    f"a proxy certificate allows {info.path_length} further ones, not {depth}"
                )
    if _is_authority(proxy):
        raise CertificateRefusedError("a proxy certificate claims to be an authority")


def _has_signed(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def _path(
    certificate: x509.Certificate, others: Sequence[x509.Certificate], authorities: Store, now: dt.datetime
) -> list[x509.Certificate]:
    """Return the path from a person's or machine's certificate to an authority (RFC 5280 section 6)."""
    if _is_authority(certificate):
        raise CertificateRefusedError("it is the certificate of an authority, and not of a person or machine")
    verifier = (
        PolicyBuilder()
        .store(authorities)
        .time(now)
        .max_chain_depth(MAX_CERTIFICATES)
        .extension_policies(ca_policy=_authorities(), ee_policy=_owners())
        .build_client_verifier()
    )
    try:
        return verifier.verify(certificate, [other for other in others if other != certificate]).chain[1:]
    except VerificationError as error:
        shown = certificate.subject.rfc4514_string()
        if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
            raise CertificateRefusedError(
                f"the certificate of {shown} is not valid now: {_period(certificate)}"
            ) from error
        raise CertificateRefusedError(f"no trusted authority vouches for {shown}: {error}") from error


def _is_authority(certificate: x509.Certificate) -> bool:
    constraints = _extension(certificate, x509.BasicConstraints)
    return constraints is not None and constraints.ca


def _extension(certificate: x509.Certificate, kind: type[E]) -> E | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _period(certificate: x509.Certificate) -> str:
    return f"from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} to {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"


def _authorities() -> ExtensionPolicy:
    """Return what an authority's certificate must have: less than on the web, where authorities are made by other rules."""

    def may_sign(_policy: Policy, _certificate: x509.Certificate, usage: x509.KeyUsage | None) -> None:
        if usage is not None and not usage.key_cert_sign:
            raise ValueError("its key is not for signing certificates")

    return (
        ExtensionPolicy.permit_all()
        .require_present(x509.BasicConstraints, Criticality.AGNOSTIC, None)
        .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, may_sign)
    )


def _owners() -> ExtensionPolicy:
    """Return what the certificate of a person or machine must have: it is for clients, if it says what it is for."""

    def for_clients(_policy: Policy, _certificate: x509.Certificate, usage: x509.ExtendedKeyUsage | None) -> None:
        if usage is not None and not {
            ExtendedKeyUsageOID.CLIENT_AUTH,
            ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
        } & set(usage):
            raise ValueError("it is not for clients")

    return ExtensionPolicy.permit_all().may_be_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, for_clients)
