"""argon2id (RFC 9106): hashing and checking passwords, never more than a few at once, as each takes memory and time on purpose."""

from __future__ import annotations

import base64
import re
import secrets
from threading import BoundedSemaphore, Lock
from typing import Final

from anycore.identity.throttle import too_many

_PARAMETERS: Final = re.compile(r"\$argon2id\$v=19\$m=\d+,t=\d+,p=\d+\$")
_DEFAULT: Final = "$argon2id$v=19$m=65536,t=3,p=4$"  # what `hash_password` makes: RFC 9106 section 4, the second choice
_QUEUE: Final = 4
"""How many times as many checks may wait as run: each holds a thread while it does."""


def hash_password(password: str) -> str:
    """Return the hash of a password, with its parameters and salt, as argon2 itself writes it.

    Takes a fifth of a second and 64 MiB of memory, on purpose.
    """
    from argon2 import PasswordHasher

    return PasswordHasher().hash(password)


def verify_password(hashed: str, password: str) -> bool:
    """Tell whether a password is the one that a hash was made of; takes as long as the hash did.

    Args:
        hashed: What `hash_password` returned.
        password: The password.
    """
    from argon2.exceptions import InvalidHashError, VerificationError
    from argon2.low_level import Type, verify_secret

    try:
        return verify_secret(hashed.encode("ascii"), password.encode(), Type.ID)
    except (VerificationError, InvalidHashError):
        return False


class Checker:
    """Checks passwords, a few at once; refuses more than a few that wait, as their threads are needed for calls.

    Args:
        checks: How many run at once.
    """

    def __init__(self, checks: int = 2) -> None:
        self._running = BoundedSemaphore(checks)
        self._lock = Lock()
        self._waiting = 0
        self._most = checks * (1 + _QUEUE)
        self._nobody: dict[str, str] = {}

    def check(self, hashed: str | None, password: str, like: str = "") -> bool:
        """Tell whether a password is right. One that nobody has takes as long as one that somebody has.

        Args:
            hashed: The hash; None when there is no such user.
            password: The password.
            like: A hash of some other user, whose parameters count when there is no such user.

        Raises:
            AuthenticationFault: Too many checks wait already.
        """
        with self._lock:
            if self._waiting >= self._most:
                raise too_many(1.0)
            self._waiting += 1
        try:
            with self._running:
                right = verify_password(hashed or self._of_nobody(like), password)
                return right and hashed is not None
        finally:
            with self._lock:
                self._waiting -= 1

    def _of_nobody(self, like: str) -> str:
        """Return a hash that no password has, with the parameters of another."""
        found = _PARAMETERS.match(like)
        parameters = found[0] if found else _DEFAULT
        try:
            return self._nobody[parameters]
        except KeyError:
            salt, tag = (base64.b64encode(secrets.token_bytes(size)).rstrip(b"=").decode() for size in (16, 32))
            made = self._nobody[parameters] = f"{parameters}{salt}${tag}"
            return made
