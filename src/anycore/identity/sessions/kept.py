"""Sessions, kept in the store: what is kept of one, how long it lives, how many there may be. How they are presented lives elsewhere."""

from __future__ import annotations

import hmac
import secrets
import time
from typing import TYPE_CHECKING, Final

import msgspec

from anycore.identity.sessions.record import Session, owner_key, session_key
from anycore.identity.sessions.settings import SessionSettings
from anycore.kernel.call import Identity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from anycore.store.base import Store, Transaction

_KEY: Final = b"key"
_COUNT: Final = b"count"
_FRACTION: Final = 20
"""A session's last use is written down when this part of its idle time has passed, and not on every call."""
_MINUTE: Final = 60.0
_SHORTEST: Final = 0.001
"""Seconds: a store takes no shorter time to live."""


class SessionError(Exception):
    """A session cannot begin; the message says why."""


class Sessions:
    """The sessions of a server and of all its processes. May be used by several threads.

    Args:
        store: Returns the namespace they are kept in, in this process.
        settings: Times and bounds.
        clock: Returns the seconds since 1970.
    """

    def __init__(
        self,
        store: Callable[[], Store],
        settings: SessionSettings | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings if settings is not None else SessionSettings()
        self._store = store
        self._clock = clock
        self._key = b""
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(Session).decode

    def find(self, name: str) -> Session | None:
        """Return a session by its name; None when there is none, or none any more."""
        found = self.raw(name)
        if found is None:
            return None
        session = self._decode(found)
        return session if self.is_alive(session) else None

    def raw(self, name: str) -> bytes | None:
        """Return a session as it is in the store: what was found out about it holds as long as this is the same."""
        return self._store().get(session_key(name))

    def kept(self, session: Session) -> tuple[bytes, Session] | None:
        """Return how a session is in the store now; None when it has ended, or begun anew with another secret.

        Args:
            session: The session, as it was found.
        """
        raw = self.raw(session.name)
        if raw is None:
            return None
        now = self._decode(raw)
        return (raw, now) if now.proof == session.proof else None

    def is_alive(self, session: Session) -> bool:
        """Tell whether a session has not ended by the clock."""
        now = self._clock()
        return now < session.until and now < session.used + self.settings.idle_time

    def verify(self, name: str, secret: bytes) -> Session | None:
        """Return the session that a name and a secret belong to; None when there is none, or the secret is another.

        Args:
            name: The session's name.
            secret: The 20 bytes of its secret.
        """
        session = self.find(name)
        # Computed for names that there are not as well, so that both take the same time.
        proof = self.proof(name, secret)
        return session if session is not None and hmac.compare_digest(session.proof, proof) else None

    def touch(self, session: Session) -> bool:
        """Write down that a session is in use, if it is time to.

        Args:
            session: The session, as it was found.

        Returns:
            Whether that was written.
        """
        now = self._clock()
        if now < session.used + self.step:
            return False
        with self._store().transaction() as transaction:
            found = transaction.get(session_key(session.name))
            if found is None or self._decode(found).proof != session.proof:
                return False  # ended, or begun anew, meanwhile
            self._write(transaction, msgspec.structs.replace(session, used=now), now)
        return True

    @property
    def step(self) -> float:
        """Seconds between two times at which the use of a session is written down."""
        return self.settings.idle_time / _FRACTION

    def begin(self, session: Session) -> None:
        """Let a session begin. It takes the place of one of the same name, if that is the same caller's.

        Args:
            session: The session; `new` makes one.

        Raises:
            SessionError: When somebody else has a session of that name, or there are too many.
        """
        with self._store().transaction() as transaction:
            self._begin(transaction, session)

    def new(self, name: str, secret: bytes, identity: Identity, *, address: str, tls: bool, how: str) -> Session:
        """Return what is to be kept of a session that begins now.

        Args:
            name: Its name.
            secret: The 20 bytes of its secret.
            identity: Whose it is.
            address: Where the client calls from.
            tls: Whether it begins over TLS.
            how: What it begins with.
        """
        now = self._clock()
        proof, until = self.proof(name, secret), now + self.settings.lifetime
        user, dn, names = identity.name, identity.dn, identity.names
        return Session(name, proof, user, dn, names, now, now, until, address, tls, how)

    def challenge(self, session: Session) -> None:
        """Keep a session that begins when its secret is presented for the first time, within the time that is set for it.

        Args:
            session: The session.

        Raises:
            SessionError: When too many challenges were asked for within a minute.
        """
        bounds = self.settings
        with self._store().transaction() as transaction:
            self._count_challenge(
                transaction, f"from {session.address or 'this machine'}", bounds.challenges_per_address
            )
            self._count_challenge(transaction, "in all", bounds.challenges)
            key = b"challenge/" + session.proof
            transaction.put(key, self._encode(session), ttl=max(bounds.challenge_time, _SHORTEST))

    def redeem(self, name: str, secret: bytes) -> Session | None:
        """Let the session begin for which a challenge was answered. Each is answered once only.

        Args:
            name: The session's name.
            secret: The 20 bytes of its secret.

        Returns:
            The session; None when there is no such challenge, or none any more.

        Raises:
            SessionError: When somebody else has a session of that name, or there are too many.
        """
        key = b"challenge/" + self.proof(name, secret)
        if self._store().get(key) is None:
            return None  # without waiting for others who write
        with self._store().transaction() as transaction:
            found = transaction.get(key)
            if found is None:
                return None
            transaction.delete(key)
            now = self._clock()
            waiting = self._decode(found)
            if now > waiting.began + self.settings.challenge_time:
                return None
            session = msgspec.structs.replace(waiting, began=now, used=now, until=now + self.settings.lifetime)
            self._begin(transaction, session)
        return session

    def end(self, name: str) -> bool:
        """End a session, in all processes at once.

        Args:
            name: Its name.

        Returns:
            Whether there was one.
        """
        with self._store().transaction() as transaction:
            return self._end(transaction, name)

    def end_all(self, owner: str = "") -> int:
        """End all sessions.

        Args:
            owner: Only those of this distinguished name, or of this `user:NAME`.

        Returns:
            How many there were.
        """
        count = 0
        for session in list(self.all()):
            if not owner or session.owner == owner:
                count += self.end(session.name)
        return count

    def all(self) -> Iterator[Session]:
        """Return all sessions, by name."""
        for _, found in self._store().scan(b"session/"):
            session = self._decode(found)
            if self.is_alive(session):
                yield session

    def proof(self, name: str, secret: bytes) -> bytes:
        """Return the keyed hash that is kept in place of a secret.

        Args:
            name: The session's name.
            secret: The 20 bytes of its secret.
        """
        return hmac.digest(self._key or self._load_key(), name.encode() + b"\0" + secret, "sha256")

    def _load_key(self) -> bytes:
        store = self._store()
        store.compare_and_set(_KEY, None, secrets.token_bytes(32))
        found = store.get(_KEY)
        assert found is not None, "nobody removes it"
        self._key = found
        return found

    def _begin(self, transaction: Transaction, session: Session) -> None:
        now = self._clock()
        found = transaction.get(session_key(session.name))
        if found is not None and self._decode(found).owner != session.owner:
            raise SessionError("somebody else has a session of that name; choose another name for yours")
        if found is None:
            self._make_room(transaction, session.owner)
            count = int(transaction.get(_COUNT) or b"0")
            if count >= self.settings.sessions:
                # Those that ended by themselves were not taken off: it is an upper bound, until it matters.
                count = sum(1 for _ in transaction.scan(b"session/", limit=self.settings.sessions))
            if count >= self.settings.sessions:
                raise SessionError(f"there are {count} sessions, which is as many as may be; try again later")
            transaction.put(_COUNT, b"%d" % (count + 1))
        self._write(transaction, session, now)

    def _make_room(self, transaction: Transaction, owner: str) -> None:
        """End the sessions of an identity that were used least lately, so that it may have one more."""
        prefix = owner_key(owner, "")
        alive: list[Session] = []
        for key, _ in list(transaction.scan(prefix)):
            found = transaction.get(session_key(key[len(prefix) :].decode()))
            if found is None:
                transaction.delete(key)
            else:
                alive.append(self._decode(found))
        alive.sort(key=lambda session: session.used)
        for session in alive[: max(len(alive) + 1 - self.settings.per_identity, 0)]:
            self._end(transaction, session.name)

    def _write(self, transaction: Transaction, session: Session, now: float) -> None:
        left = max(session.until - now, _SHORTEST)
        idle = max(min(left, self.settings.idle_time), _SHORTEST)
        transaction.put(session_key(session.name), self._encode(session), ttl=idle)
        transaction.put(owner_key(session.owner, session.name), b"", ttl=left)

    def _end(self, transaction: Transaction, name: str) -> bool:
        found = transaction.get(session_key(name))
        if found is None:
            return False
        transaction.delete(session_key(name))
        transaction.delete(owner_key(self._decode(found).owner, name))
        count = int(transaction.get(_COUNT) or b"0")
        transaction.put(_COUNT, b"%d" % max(count - 1, 0))
        return True

    def _count_challenge(self, transaction: Transaction, where: str, most: int) -> None:
        minute = int(self._clock() // _MINUTE)
        key = f"rate/{minute}/{where[:100]}".encode()
        count = int(transaction.get(key) or b"0")
        if count >= most:
            raise SessionError(f"{count} challenges were asked for {where} within a minute; try again in the next one")
        transaction.put(key, b"%d" % (count + 1), ttl=2 * _MINUTE)
