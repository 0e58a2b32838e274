"""How a session begins with a certificate that TLS has verified, and how every session ends: `system.auth2`, `system.logout`, cookies."""

from __future__ import annotations

import logging
import secrets
import ssl
from typing import TYPE_CHECKING, Final, TypeAlias

from anycore.identity.sessions.kept import SessionError
from anycore.identity.sessions.wire import FIRST_SECRET, SECRET_BYTES, cookies, is_name, presented, secret_bytes
from anycore.kernel.authentication import AuthenticationFault
from anycore.store.errors import StoreError
from anycore.wire.faults import INVALID_PARAMS, OVERLOADED, Fault

if TYPE_CHECKING:
    from collections.abc import Callable

    from anycore.identity.sessions.kept import Sessions
    from anycore.identity.sessions.wire import Presented
    from anycore.kernel.call import Call, Credentials, Identity, Peer

_BY_CERTIFICATE: Final = ("certificate", "proxy")
Fields: TypeAlias = tuple[tuple[str, str], ...]
_log = logging.getLogger("anycore.sessions")


class Login:
    """Begins and ends the sessions of callers whose certificate is known.

    Args:
        sessions: The sessions.
        certificate: Returns the server's certificate in PEM form, which old clients are told; empty where there is none.
    """

    def __init__(self, sessions: Sessions, certificate: Callable[[], str] = str) -> None:
        self.sessions = sessions
        self._certificate = certificate

    def begin(self, call: Call, name: str = "") -> list[str]:
        """Begin a session for a caller whose certificate is known: `system.auth2`.

        Args:
            call: The call; cookies go back with its answer.
            name: The session's name, for callers that cannot present one; chosen here where there is none either way.

        Returns:
            The server's certificate, the caller's, and the session's secret.

        Raises:
            Fault: When the caller has shown no certificate, or the session cannot begin.
        """
        identity = call.identity
        if identity.kind not in _BY_CERTIFICATE or not identity.dn:
            message = (
                "system.auth2 needs TLS with a client certificate; connect with one, to a listener that asks for one"
            )
            raise AuthenticationFault(message, kind="authentication-session")
        name = "".join(name.split())
        if name and not is_name(name):
            message = f"{call.name}: parameter 'name': expected 8 to 128 letters of hexadecimal or base64; it was given {name[:40]!r}"
            raise Fault(INVALID_PARAMS, message)
        name, secret = _name(presented(call.credentials), name), secrets.token_bytes(SECRET_BYTES)
        peer = call.peer
        try:
            self._begin(name, secret, identity, peer, "system.auth2")
        except SessionError as error:
            raise Fault(OVERLOADED, str(error)) from error
        call.reply_headers += cookies(name, secret.hex(), secure=bool(peer.tls))
        shown = ssl.DER_cert_to_PEM_cert(peer.certificate) if peer.certificate else ""
        return [self._certificate(), shown, secret.hex()]

    def end(self, call: Call, name: str = "", secret: str = "") -> bool:
        """End a session: `system.logout`.

        Args:
            call: The call, which presents the session; cookies are taken back with its answer.
            name: The session's name, for callers that cannot present one.
            secret: Its secret, likewise.

        Returns:
            Whether there was such a session.
        """
        name = "".join(name.split())
        found = presented(call.credentials)
        if found is not None:
            name, secret = found.name, found.secret
            if found.by_cookie:
                call.reply_headers += cookies("", "", secure=bool(call.peer.tls))
        given = secret_bytes(secret)
        if not is_name(name) or given is None or self.sessions.verify(name, given) is None:
            return False
        return self.sessions.end(name)

    def welcome(self, peer: Peer, credentials: Credentials, identity: Identity) -> Fields:
        """Give the sender of a request a session that it has not asked for, where that is set so; for `Chain.welcome`.

        Args:
            peer: Where the request came from.
            credentials: What it presented.
            identity: Who sent it.

        Returns:
            The header fields that go back with the answer.
        """
        how = self.sessions.settings.implicit
        if how == "off" or identity.kind != "certificate":
            return ()
        try:
            found = presented(credentials)
            asked = found is not None and found.secret == FIRST_SECRET
            if not asked and (how != "any" or self._has_one(found)):
                return ()
            name, secret = _name(found), secrets.token_bytes(SECRET_BYTES)
            self._begin(name, secret, identity, peer, "certificate")
        except (
            SessionError,
            StoreError,
            AuthenticationFault,
        ) as error:  # it goes without: its certificate says who it is
            _log.warning("no session for %s: %s", identity.dn or identity.name, error)
            return ()
        return cookies(name, secret.hex(), secure=bool(peer.tls))

    def _has_one(self, found: Presented | None) -> bool:
        secret = None if found is None else secret_bytes(found.secret)
        return found is not None and secret is not None and self.sessions.verify(found.name, secret) is not None

    def _begin(self, name: str, secret: bytes, identity: Identity, peer: Peer, how: str) -> None:
        made = self.sessions.new(name, secret, identity, address=peer.host, tls=bool(peer.tls), how=how)
        self.sessions.begin(made)


def _name(found: Presented | None, given: str = "") -> str:
    """Return the name for a session: what the caller presents in a header, or gives, or a new one.

    Not what it presents in a cookie: somebody else may have put that there, to know the session's name beforehand.
    """
    if found is not None and not found.by_cookie:
        return found.name
    return given or secrets.token_hex(SECRET_BYTES)
