"""Certificates and revocation lists out of keys and names (RFC 5280). Nothing is read or written here."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa

from anycore.identity.authority.errors import AuthorityError
from anycore.identity.authority.names import subject

if TYPE_CHECKING:
    from collections.abc import Iterable

    from anycore.identity.authority.material import PrivateKey, PublicKey
    from anycore.identity.authority.names import Wanted

SKEW: Final = timedelta(minutes=5)
"""How far before now a certificate begins to be valid, for machines whose clocks are slow."""
REASONS: Final = {
    "unspecified": x509.ReasonFlags.unspecified,
    "key-compromise": x509.ReasonFlags.key_compromise,
    "affiliation-changed": x509.ReasonFlags.affiliation_changed,
    "superseded": x509.ReasonFlags.superseded,
    "cessation-of-operation": x509.ReasonFlags.cessation_of_operation,
    "privilege-withdrawn": x509.ReasonFlags.privilege_withdrawn,
}
"""Why a certificate may be revoked (RFC 5280 section 5.3.1)."""
_NO_USE: Final = dict.fromkeys(
    ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign",
     "crl_sign", "encipher_only", "decipher_only"), False,
)  # fmt: skip


def authority_certificate(
    key: PrivateKey, name: x509.Name, now: datetime, until: datetime, *, serial: int | None = None
) -> x509.Certificate:
    """Return the certificate that an authority signs for itself. It signs for others, but makes no further authorities.

    Args:
        key: The authority's key.
        name: Its name.
        now: The present.
        until: The last moment at which it is valid.
        serial: Its number; a random one when left out.
    """
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    usage = x509.KeyUsage(**(_NO_USE | {"key_cert_sign": True, "crl_sign": True}))
    return (
        x509.CertificateBuilder(name, name, key.public_key(), serial or x509.random_serial_number(), now - SKEW, until)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(identifier, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .sign(key, hashes.SHA256())
    )


def certificate(
    authority: x509.Certificate,
    key: PrivateKey,
    wanted: Wanted,
    public: PublicKey,
    begin: datetime,
    until: datetime,
) -> x509.Certificate:
    """Return a certificate of somebody who is no authority. It ends with that of the authority, if not before.

    Args:
        authority: The certificate of whoever signs.
        key: The key of whoever signs.
        wanted: What it is to say.
        public: Whose it is.
        begin: The first moment at which it is valid.
        until: The last.

    Raises:
        AuthorityError: The authority's own certificate is not valid then.
    """
    until = min(until, authority.not_valid_after_utc)
    if until <= begin:
        message = f"the authority's own certificate ends on {authority.not_valid_after_utc:%Y-%m-%d}; renew it: anycore ca renew --authority"
        raise AuthorityError(message)
    usage = _NO_USE | {"digital_signature": True, "key_encipherment": isinstance(public, rsa.RSAPublicKey)}
    issuer: Any = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = (
        x509.CertificateBuilder(
            authority.subject, subject(wanted.name, wanted.parts), public, x509.random_serial_number(), begin, until
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**usage), critical=True)
        .add_extension(x509.ExtendedKeyUsage(wanted.purposes()), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer), critical=False)
    )
    names = wanted.alternatives()
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(key, hashes.SHA256())


def revocation_list(
    authority: x509.Certificate,
    key: PrivateKey,
    revoked: Iterable[tuple[int, datetime, str]],
    number: int,
    now: datetime,
    until: datetime,
) -> x509.CertificateRevocationList:
    """Return a certificate revocation list (RFC 5280 section 5).

    Args:
        authority: The certificate of whoever signs.
        key: The key of whoever signs.
        revoked: The serial number, the time and the reason, of `REASONS`, of each certificate.
        number: Counts the lists of this authority.
        now: The present.
        until: When the next list is due; after that nobody trusts this one.
    """
    issuer: Any = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = (
        x509.CertificateRevocationListBuilder(authority.subject, now - SKEW, until)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer), critical=False)
        .add_extension(x509.CRLNumber(number), critical=False)
    )
    for serial, when, reason in revoked:
        one = x509.RevokedCertificateBuilder(serial, when)
        if reason != "unspecified":  # RFC 5280 section 5.3.1: leave it out rather than say so
            one = one.add_extension(x509.CRLReason(REASONS[reason]), critical=False)
        builder = builder.add_revoked_certificate(one.build())
    return builder.sign(key, hashes.SHA256())
