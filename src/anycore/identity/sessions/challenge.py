"""How a session begins over plain HTTP, with a certificate whose key answers a challenge: `system.auth`.

The wire is that of Clarens. What it protects: the server learns who has the certificate's key, the client who has the server's, and the
secret of the session is not sent when it is made. What it does not: the secret is sent with every call that follows, and nothing else of
them is hidden or sealed, so whoever is on the way can read, change and repeat them until the session ends.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from anycore.identity.authority.reading import certificates
from anycore.identity.sessions.chain import CertificateRefusedError, read_chain
from anycore.identity.sessions.kept import SessionError
from anycore.identity.sessions.rsa import SigningKey, base64_text, encrypt_for, new_nonce, secret_of
from anycore.identity.sessions.trust import Trust
from anycore.identity.sessions.wire import PEM_START, is_name, presented
from anycore.kernel.authentication import AuthenticationFault
from anycore.wire.faults import INVALID_PARAMS, OVERLOADED, Fault

if TYPE_CHECKING:
    from collections.abc import Callable

    from anycore.identity.sessions.kept import Sessions
    from anycore.identity.sessions.settings import SessionSettings
    from anycore.kernel.call import Call, Identity


class ChallengeError(Exception):
    """Challenges cannot be made with these settings; the message says why."""


class Challenger:
    """Hands out challenges.

    Args:
        sessions: Where the sessions begin.
        identify: Says who the owner of a certificate is, in DER form; raises `AuthenticationFault` where it cannot.

    Raises:
        ChallengeError: When a file of the settings is missing, or is of no use.
    """

    def __init__(self, sessions: Sessions, identify: Callable[[bytes], Identity]) -> None:
        self._sessions = sessions
        self._identify = identify
        self.certificate, self._key = _server_key(sessions.settings)
        try:
            self._trust = Trust(sessions.settings.client_ca)
        except CertificateRefusedError as error:
            raise ChallengeError(str(error)) from error

    def challenge(self, call: Call, name: str = "", certificate: str = "") -> list[str]:
        """Return a challenge: `system.auth`.

        Args:
            call: The call, whose credentials are the session's name and a PEM text.
            name: The session's name, for callers that cannot present one.
            certificate: The PEM text, likewise: the certificate, or a chain from a proxy certificate on.

        Returns:
            The server's certificate in PEM form; a nonce, encrypted with the key of the caller's certificate, in base64; and the session's
            name, encrypted with the server's private key, in base64.

        Raises:
            Fault: When the certificate is not accepted, or too many challenges are asked for.
        """
        found = presented(call.credentials)
        if found is not None and PEM_START in found.secret:
            name, certificate = found.name, found.secret
        name = "".join(name.split())
        if not is_name(name) or PEM_START not in certificate:
            message = (
                f"{call.name}: expected HTTP Basic credentials of a session name (8 to 128 letters of hexadecimal or base64) and a"
                " certificate in PEM form, or both as parameters"
            )
            raise Fault(INVALID_PARAMS, message)
        settings = self._sessions.settings
        try:
            chain = read_chain(certificate)
            owner = self._trust.owner(chain, proxies=settings.proxies, key_bits=settings.key_bits)
            nonce = new_nonce()
            for_client = encrypt_for(owner.leaf.public_key(), nonce.encode())
        except (CertificateRefusedError, ValueError) as error:
            message = f"the certificate is refused: {error}"
            raise AuthenticationFault(message, kind="authentication-certificate") from error
        identity = self._identify(owner.certificate.public_bytes(Encoding.DER))
        self._keep(call, name, nonce, identity)
        return [self.certificate, base64_text(for_client), base64_text(self._key.encrypt(name.encode()))]

    def _keep(self, call: Call, name: str, nonce: str, identity: Identity) -> None:
        peer = call.peer
        address, tls = peer.host, bool(peer.tls)
        waiting = self._sessions.new(name, secret_of(nonce), identity, address=address, tls=tls, how="system.auth")
        try:
            self._sessions.challenge(waiting)
        except SessionError as error:
            raise Fault(OVERLOADED, str(error)) from error


def _server_key(settings: SessionSettings) -> tuple[str, SigningKey]:
    """Return the server's certificate in PEM form, and its private key."""
    files = settings.certificate, settings.key or settings.certificate
    try:
        read = certificates(Path(files[0]).read_bytes())
        key = load_pem_private_key(Path(files[1]).read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        message = f"the certificate of [sessions] cannot be used: {error} (files: {', '.join(dict.fromkeys(files))})"
        raise ChallengeError(f"{message}; each must exist, be in PEM form and not be encrypted") from error
    if not read or not isinstance(key, RSAPrivateKey) or read[0].public_key() != key.public_key():
        message = (
            f"{files[0]} has no certificate that belongs to the RSA key in {files[1]}; system.auth needs an RSA key"
        )
        raise ChallengeError(message)
    return read[0].public_bytes(Encoding.PEM).decode(), SigningKey(key)
