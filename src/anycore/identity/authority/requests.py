"""Certificate signing requests (RFC 2986): made by whoever wants a certificate, read by the authority."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization

from anycore.identity.authority.errors import AuthorityError
from anycore.identity.authority.material import check_public
from anycore.identity.authority.names import subject
from anycore.identity.authority.reading import loaded

if TYPE_CHECKING:
    from anycore.identity.authority.material import PrivateKey

MAX_REQUEST: Final = 16_384
"""Bytes of a request that is read; one for RSA of 8192 bits has under 4,000."""


def make_request(key: PrivateKey, name: str) -> bytes:
    """Return a request in PEM form for a key.

    Args:
        key: The key that the certificate is to be for.
        name: The common name; the authority may choose another.
    """
    made = x509.CertificateSigningRequestBuilder(subject(name)).sign(key, hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM)


def read_request(pem: bytes, where: str = "the request") -> x509.CertificateSigningRequest:
    """Return a request whose sender has its key.

    Args:
        pem: The request in PEM form.
        where: What it was read from, for messages.

    Raises:
        AuthorityError: It is none, its signature is wrong, or its key is not fit for TLS.
    """
    if len(pem) > MAX_REQUEST:
        raise AuthorityError(f"{where} has {len(pem)} bytes; a request has {MAX_REQUEST} at most")
    try:
        found = loaded(x509.load_pem_x509_csr, pem)
        check_public(found.public_key(), where)
        if not found.is_signature_valid:
            raise AuthorityError(f"{where}: the signature is wrong; make the request again with the key that is in it")
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.UnsupportedGeneralNameType) as error:
        raise AuthorityError(f"{where} is no certificate signing request in PEM form ({error})") from error
    return found
