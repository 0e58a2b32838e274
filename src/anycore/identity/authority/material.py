"""Private keys, their PEM form, and fingerprints. Certificates are made in `building`."""

from __future__ import annotations

import binascii
from typing import TYPE_CHECKING, Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from anycore.identity.authority.errors import AuthorityError

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography import x509

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey

_MAKERS: Final[dict[str, Callable[[], PrivateKey]]] = {
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "rsa": lambda: rsa.generate_private_key(public_exponent=65537, key_size=3072),
}
KEY_KINDS: Final = tuple(_MAKERS)
"""The kinds of keys that can be made: NIST P-256 (FIPS 186-5), P-384, and RSA of 3072 bits."""
_LEAST_RSA_BITS: Final = 2048
_CURVES: Final = ("secp256r1", "secp384r1", "secp521r1")


def make_key(kind: str = "p256") -> PrivateKey:
    """Make a private key.

    Args:
        kind: One of `KEY_KINDS`.

    Raises:
        AuthorityError: There is no such kind.
    """
    if kind not in _MAKERS:
        raise AuthorityError(f"there is no kind of key {kind!r}; choose one of {', '.join(KEY_KINDS)}")
    return _MAKERS[kind]()


def private_pem(key: PrivateKey, passphrase: str = "") -> bytes:
    """Return a private key in PEM form (RFC 5958), encrypted where there is a passphrase.

    Args:
        key: The key.
        passphrase: Empty for none.
    """
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase:
        encryption = serialization.BestAvailableEncryption(passphrase.encode())
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def is_encrypted(pem: bytes) -> bool:
    """Tell whether a private key in PEM form needs a passphrase."""
    return b"ENCRYPTED" in pem


def load_key(pem: bytes, where: str, passphrase: str = "") -> PrivateKey:
    """Return the private key of a PEM text.

    Args:
        pem: The text.
        where: What it was read from, for messages.
        passphrase: Empty for none.

    Raises:
        AuthorityError: It is no key, one of a kind that is not used here, or the passphrase is wrong.
    """
    try:
        key: Any = serialization.load_pem_private_key(pem, passphrase.encode() if is_encrypted(pem) else None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        cure = (
            "give the passphrase that it was made with"
            if is_encrypted(pem)
            else "it must hold a private key in PEM form"
        )
        raise AuthorityError(f"{where}: the private key cannot be read ({error}); {cure}") from error
    check_public(key.public_key(), where)
    return key  # type: ignore[no-any-return]


def check_public(key: object, where: str) -> PublicKey:
    """Return a public key that is fit for TLS.

    Args:
        key: The key.
        where: What it belongs to, for messages.

    Raises:
        AuthorityError: It is too weak, or of a kind that is not used here.
    """
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVES:
        return key
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= _LEAST_RSA_BITS:
        return key
    message = (
        f"{where}: the key is not fit for TLS; make one of the curve P-256, P-384 or P-521, or RSA of 2048 bits or more"
    )
    raise AuthorityError(message)


def fingerprint(certificate: x509.Certificate) -> str:
    """Return the SHA-256 fingerprint of a certificate, as `openssl x509 -fingerprint -sha256` prints it."""
    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()


def parse_fingerprint(text: str) -> bytes:
    """Return the 32 bytes of a SHA-256 fingerprint that a person has typed.

    Args:
        text: Hexadecimal digits, with or without colons, in either case.

    Raises:
        AuthorityError: It is none.
    """
    digits = text.removeprefix("SHA256:").removeprefix("sha256:").replace(":", "").replace(" ", "")
    try:
        found = binascii.unhexlify(digits)
    except (binascii.Error, ValueError):
        found = b""
    if len(found) != 32:
        raise AuthorityError(
            f"{text!r} is no SHA-256 fingerprint; expected 64 hexadecimal digits, as `anycore ca init` prints them"
        )
    return found
