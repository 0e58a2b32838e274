"""The TLS context of a listener, made from its settings: versions, ciphers, whose certificates are taken, and which are revoked.

When one takes the place of another lives in `certificates`.
"""

from __future__ import annotations

import logging
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from anycore.identity.pem import why_unusable
from anycore.server.errors import StartupError

if TYPE_CHECKING:
    from cryptography import x509

    from anycore.settings.tables import ListenSettings

_log = logging.getLogger("anycore.certificates")

CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2: forward secrecy and authenticated encryption, nothing else (RFC 9325 section 4.2). TLS 1.3 has no others."""
_VERIFY: Final = {"off": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}
_MINIMUM: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def tls_context(settings: ListenSettings) -> ssl.SSLContext | None:
    """Return the TLS context of a listener, or None for a plain one.

    Args:
        settings: The listener's table of the configuration.

    Raises:
        StartupError: When a file is missing, holds no certificate or key, or holds a revocation list that nobody would trust.
    """
    if not settings.address.tls:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _MINIMUM[settings.minimum_tls]
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION  # work for us at a word of the peer
    # A session that is resumed is not looked at again: its certificate may have been revoked. With two tickets, asyncio's own loop
    # showed hand-shakes of 45 ms, too.
    context.num_tickets = 0
    context.options |= ssl.OP_NO_TICKET
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(settings.certificate, settings.key or None, _no_passphrase)
        if settings.client_ca:
            context.load_verify_locations(settings.client_ca)
        if settings.crl:
            context.load_verify_locations(settings.crl)
            context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        raise StartupError(_unusable(settings, error)) from error
    if settings.client_ca:
        _check_clients(settings, context)
    context.verify_mode = _VERIFY[settings.client_certificate]
    return context


def files(settings: ListenSettings) -> dict[str, Path]:
    """Return the files of a listener's TLS context, by the names of their settings."""
    named = {name: getattr(settings, name) for name in ("certificate", "key", "client_ca", "crl")}
    return {name: Path(file) for name, file in named.items() if file}


def _no_passphrase() -> str:
    """Be asked for the passphrase of a private key, in place of a terminal that nobody sits at."""
    raise ValueError("the private key is encrypted; decrypt it with: openssl pkey -in FILE -out FILE")


def _unusable(settings: ListenSettings, error: Exception) -> str:
    reason = why_unusable(error, settings.certificate, settings.key, settings.client_ca, settings.crl)
    return f"cannot set up TLS for {settings.url}: {reason}"


def _check_clients(settings: ListenSettings, context: ssl.SSLContext) -> None:
    """See that the revocation lists fit the authorities, and be strict with the clients of authorities that are so themselves."""
    from anycore.identity.authority.reading import certificates, lists

    try:
        authorities = certificates(Path(settings.client_ca).read_bytes())
        revocations = lists(Path(settings.crl).read_bytes()) if settings.crl else []
    except (OSError, ValueError) as error:
        raise StartupError(_unusable(settings, error)) from error
    if settings.crl:
        _check_lists(settings, authorities, revocations)
    if all(map(_is_strict, authorities)):
        context.verify_flags |= ssl.VERIFY_X509_STRICT


def _check_lists(
    settings: ListenSettings, authorities: list[x509.Certificate], revocations: list[x509.CertificateRevocationList]
) -> None:
    now = datetime.now(UTC)
    bare = []
    for one in authorities:
        name = one.subject.rfc4514_string()
        mine = [found for found in revocations if found.issuer == one.subject and found.is_signature_valid(_key(one))]
        if not mine:
            bare.append(name)
            continue
        if all(found.next_update_utc is not None and found.next_update_utc < now for found in mine):
            ended = max(found.next_update_utc for found in mine if found.next_update_utc is not None)
            reason = (
                f"the list of the authority {name} has expired, on {ended:%Y-%m-%d %H:%M} UTC, and all its clients would be"
                " refused; get a new one, with `anycore ca crl` where the authority is yours"
            )
            raise StartupError(f"cannot set up TLS for {settings.url}: crl: {settings.crl} {reason}")
    if bare and len(bare) == len(authorities):
        reason = f"has no list of the authority {bare[0]}, all of whose clients would be refused; add its list"
        raise StartupError(f"cannot set up TLS for {settings.url}: crl: {settings.crl} {reason}")
    for name in bare:  # it may be one that certifies other authorities only
        _log.warning("%s: crl: %s has no list of the authority %s; clients that it has certified itself are refused",
                     settings.url, settings.crl, name)  # fmt: skip


def _key(authority: x509.Certificate) -> Any:
    return authority.public_key()


def _is_strict(authority: x509.Certificate) -> bool:
    """Tell whether an authority's certificate has what RFC 5280 demands of it and OpenSSL looks at when told to be strict.

    Certificates that people make in a hurry lack some of it, and work everywhere else.
    """
    from cryptography import x509

    try:
        basic = authority.extensions.get_extension_for_class(x509.BasicConstraints)
        usage = authority.extensions.get_extension_for_class(x509.KeyUsage).value
        authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        if authority.issuer != authority.subject:
            authority.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
    except (x509.ExtensionNotFound, ValueError):
        return False
    return basic.critical and basic.value.ca and usage.key_cert_sign
