"""The arithmetic of the challenge: a text made unreadable for all but one, and a name that only the server can have signed.

Nothing is kept or decided here. The blocks are those of PKCS #1 v1.5 (RFC 8017 section 7.2, RFC 2313 section 8.1).
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

_OVERHEAD: Final = 11
"""Bytes of a block that are not the text: two at its start, at least eight of padding, one before the text."""


class SigningKey:
    """A server's private key, ready for the one operation that is needed of it.

    Args:
        key: The private key.
    """

    def __init__(self, key: RSAPrivateKey) -> None:
        numbers = key.private_numbers()
        self._public = numbers.public_numbers
        self._p, self._q = numbers.p, numbers.q
        self._of_p, self._of_q, self._inverse = numbers.dmp1, numbers.dmq1, numbers.iqmp
        self.size = (self._public.n.bit_length() + 7) // 8

    def encrypt(self, text: bytes) -> bytes:
        """Encrypt a text with the private key, so that everybody can read it and nobody else can have written it.

        It is a block of type 1 without a digest's name (RFC 2313 section 8.1), which OpenSSL calls `pkeyutl -sign` without a
        digest, and recovers with `pkeyutl -verifyrecover`.

        Args:
            text: At most 11 bytes less than the key has. Let nobody choose any bytes that are signed so: see `wire.is_name`.

        Raises:
            ValueError: When it is longer.
            ArithmeticError: When the machine miscounts, which would give the key away.
        """
        if len(text) > self.size - _OVERHEAD:
            raise ValueError(
                f"a key of {self.size * 8} bits signs at most {self.size - _OVERHEAD} bytes, not {len(text)}"
            )
        filling = b"\xff" * (self.size - 3 - len(text))
        block = int.from_bytes(b"\x00\x01" + filling + b"\x00" + text)
        n, e = self._public.n, self._public.e
        # Python's pow takes more or less time for different numbers. It only ever sees one that nobody can know.
        blind = secrets.randbelow(n - 3) + 2
        signed = self._power(block * pow(blind, e, n) % n) * pow(blind, -1, n) % n
        if pow(signed, e, n) != block:
            raise ArithmeticError("the private key's operation gave a wrong number; check the key and the machine")
        return signed.to_bytes(self.size)

    def _power(self, number: int) -> int:
        """Raise a number to the private exponent, by way of the two primes (RFC 8017 section 5.1.2)."""
        of_p, of_q = pow(number, self._of_p, self._p), pow(number, self._of_q, self._q)
        return of_q + (of_p - of_q) * self._inverse % self._p * self._q


def encrypt_for(key: object, text: bytes) -> bytes:
    """Encrypt a text so that only the owner of a key can read it (a block of type 2).

    Args:
        key: A public key; only RSA can do this.
        text: The text.

    Raises:
        ValueError: When the key is of another kind, or too short for the text.
    """
    if not isinstance(key, RSAPublicKey):
        message = "the challenge needs a certificate with an RSA key; use system.auth2 over TLS with any other"
        raise ValueError(message)  # noqa: TRY004 - whoever calls gave us no type, the peer gave a certificate
    return key.encrypt(text, PKCS1v15())


def new_nonce() -> str:
    """Return what is encrypted for the client: 256 bits of chance, printable, as clients of old took it for C text."""
    return secrets.token_hex(32)


def secret_of(nonce: str) -> bytes:
    """Return the secret of the session that a nonce makes: its SHA-1, in 20 bytes; clients spell it in base64."""
    return hashlib.sha1(nonce.encode(), usedforsecurity=False).digest()


def base64_text(data: bytes) -> str:
    """Return bytes in base64, on one line."""
    return base64.b64encode(data).decode()
