"""What is kept of a session, and under which keys. What is done with it is in `sessions`.

Keys of the namespace, with H for a hash of whose session it is:

    session/NAME     a `Session`                       of/H/NAME       that it is one of that identity's, empty
    challenge/MAC    a `Session` that is to begin      rate/...        how many challenges were handed out of late
    key              what the hashes of secrets are keyed with         count           sessions begun and not ended, at most
"""

from __future__ import annotations

import hashlib

import msgspec

from anycore.kernel.call import Identity


class Session(msgspec.Struct, frozen=True):
    """What is kept of a session. Its secret is not.

    Args:
        name: Its name, which the client chose.
        proof: The keyed hash (HMAC, RFC 2104, with SHA-256) of its name and secret.
        user: The name of whose session it is.
        dn: The subject of the certificate that was shown; empty when there was none.
        names: Further names of whose session it is.
        began: When it began, in seconds since 1970.
        used: When it was used, in the same; a twentieth of the idle time may be missing.
        until: When it ends, used or not.
        address: Where the client called from when it began.
        tls: Whether it began over TLS; it then is of no use without.
        how: What it began with: `system.auth`, `system.auth2`, or `certificate` when nobody asked for it.
    """

    name: str
    proof: bytes
    user: str
    dn: str
    names: tuple[str, ...]
    began: float
    used: float
    until: float
    address: str
    tls: bool
    how: str

    @property
    def identity(self) -> Identity:
        """Whose session it is."""
        return Identity(self.user, "session", frozenset(), self.dn, self.names)

    @property
    def owner(self) -> str:
        """Whose session it is, in one text."""
        return self.dn or f"user:{self.user}"


def session_key(name: str) -> bytes:
    """Return the key of a session."""
    return b"session/" + name.encode()


def owner_key(owner: str, name: str) -> bytes:
    """Return the key that says whose a session is; with an empty name, what all of an owner begin with."""
    return b"of/" + hashlib.sha256(owner.encode()).digest() + b"/" + name.encode()
