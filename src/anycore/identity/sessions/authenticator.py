"""Sessions as a way to find out who calls: the authenticator. What is kept of them is in `kept`, how they begin in `login`."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from anycore.identity.remembered import Remembered
from anycore.identity.sessions.kept import SessionError
from anycore.identity.sessions.record import Session
from anycore.identity.sessions.wire import FIRST_SECRET, PEM_START, is_certainly_name, presented, secret_bytes
from anycore.kernel.authentication import AuthenticationFault, Authenticator
from anycore.kernel.call import Identity
from anycore.store.errors import StoreError

if TYPE_CHECKING:
    from anycore.identity.sessions.kept import Sessions
    from anycore.identity.sessions.wire import Presented
    from anycore.identity.throttle import Throttle
    from anycore.kernel.call import Credentials, Peer

CHALLENGED: Final = Identity("anonymous", "anonymous", scopes=("system.auth",))
"""Who presents a certificate in place of a secret: somebody who may ask for a challenge, and nothing else."""
BEGINNER: Final = Identity("anonymous", "anonymous", scopes=("system.auth2",))
"""Who presents the word for "no secret yet" without a certificate: the method it is for says what is missing."""
_REMEMBERED_SECONDS: Final = 3600.0
_log = logging.getLogger("anycore.sessions")


class _Known(NamedTuple):
    """A session whose secret was right.

    Args:
        raw: How it was in the store then.
        session: The same, decoded.
        identity: Whose it is.
        touch: When its use is to be written down next, on the clock of `time.monotonic()`.
    """

    raw: bytes
    session: Session
    identity: Identity
    touch: float


class SessionAuthenticator(Authenticator):
    """Knows whoever has a session. The store is asked on every call, so a session that has ended is refused at once, everywhere.

    Args:
        sessions: The sessions.
        throttle: Says who has failed too often to be heard.
        certificate_first: Whether callers with a certificate are known by that before they come here.
    """

    name = "session"
    presented_only = True

    def __init__(self, sessions: Sessions, throttle: Throttle, *, certificate_first: bool = True) -> None:
        self.sessions = sessions
        self._throttle = throttle
        self._certificate_first = certificate_first
        self._known: Remembered[_Known] = Remembered(_REMEMBERED_SECONDS)

    def quick(self, peer: Peer, credentials: Credentials) -> bool:
        """Tell whether `authenticate` would answer at once: where nothing will be written to the store."""
        if peer.certificate and self._certificate_first:
            return not self._may_be_welcomed(credentials)
        if not credentials.authorization and not credentials.cookie:
            return True
        known = self._known.get(self._digest(credentials))
        if known is not None:
            return time.monotonic() < known.touch
        try:
            found = presented(credentials)
        except AuthenticationFault:
            return True
        return found is None or secret_bytes(found.secret) is None

    def authenticate(self, peer: Peer, credentials: Credentials) -> Identity | None:
        """Say who calls; see `Authenticator.authenticate`."""
        if not credentials.authorization and not credentials.cookie:
            return None
        try:
            digest = self._digest(credentials)
            known = self._known.get(digest)
            if known is not None and self._holds(known, peer):
                return known.identity
            return self._find_out(digest, peer, credentials)
        except StoreError as error:
            _log.error("sessions cannot be looked up: %s", error)
            message = "sessions cannot be looked up now; the log of the server says why"
            raise AuthenticationFault(message, kind="authentication-missing") from error

    def _digest(self, credentials: Credentials) -> bytes:
        return self._known.digest(f"{credentials.authorization}\0{credentials.cookie}")

    def _holds(self, known: _Known, peer: Peer) -> bool:
        """Tell whether a session is as it was when its secret was found to be right."""
        session = known.session
        if self.sessions.raw(session.name) != known.raw or not self.sessions.is_alive(session):
            return False
        return time.monotonic() < known.touch and (not session.tls or bool(peer.tls) or peer.local)

    def _find_out(self, digest: bytes, peer: Peer, credentials: Credentials) -> Identity | None:
        found = presented(credentials)
        if found is None:
            return None
        secret = secret_bytes(found.secret)
        if secret is None:
            return self._beginner(found, peer)
        session = self.sessions.verify(found.name, secret)
        if session is None:
            session = self._begin(found, secret, peer)
            if session is None:
                return self._refuse(found)
        if session.tls and not peer.tls and not peer.local:
            self.sessions.end(session.name)  # whoever is on the way has its secret now
            message = "this session began over TLS, and its secret was sent without: it has been ended; log in again, over TLS"
            raise AuthenticationFault(message, kind="authentication-session", user=found.name)
        self.sessions.touch(session)
        identity = session.identity
        kept = self.sessions.kept(session)
        if kept is not None:
            self._known.put(digest, _Known(*kept, identity, time.monotonic() + self.sessions.step))
        return identity

    def _may_be_welcomed(self, credentials: Credentials) -> bool:
        """Tell whether `Login.welcome` may begin a session."""
        how = self.sessions.settings.implicit
        if how == "any":
            return True
        try:
            found = presented(credentials) if how == "asked" else None
        except AuthenticationFault:
            return False
        return found is not None and found.secret == FIRST_SECRET

    def _beginner(self, found: Presented, peer: Peer) -> Identity | None:
        """Judge what is no secret: what stands in its place at first, or somebody else's password."""
        if self.sessions.settings.challenge and found.secret.lstrip().startswith(PEM_START):
            return CHALLENGED
        if found.secret == FIRST_SECRET and is_certainly_name(found.name):
            return None if peer.certificate else BEGINNER  # whoever has a certificate is known by that
        return self._refuse(found) if found.by_cookie else None

    def _begin(self, found: Presented, secret: bytes, peer: Peer) -> Session | None:
        """Begin the session whose challenge this is the answer to, if it is one."""
        self._throttle.check(peer, found.name)
        if not self.sessions.settings.challenge:
            return None
        try:
            return self.sessions.redeem(found.name, secret)
        except SessionError as error:
            raise AuthenticationFault(str(error), kind="authentication-session", user=found.name) from error

    def _refuse(self, found: Presented) -> Identity | None:
        """Refuse what can only have been meant as a session; leave to others what may be a user's name and password."""
        if not found.by_cookie and not is_certainly_name(found.name):
            return None
        if self.sessions.find(found.name) is None:
            # Nobody guesses here: a client that has missed the end of its session must not count as one who attacks.
            message = "there is no such session, or not any more; log in again"
            raise AuthenticationFault(message, kind="authentication-missing", user=found.name)
        message = "the secret is not that of the session; log in again"
        raise AuthenticationFault(message, kind="authentication-session", user=found.name)
