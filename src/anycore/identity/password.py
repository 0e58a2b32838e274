"""HTTP Basic against a password file: the authenticator. The header is read in `basic`, the file in `password_file`."""

from __future__ import annotations

from concurrent.futures import Future
from threading import Lock
from typing import TYPE_CHECKING, Final

from anycore.identity.basic import is_basic, read_basic
from anycore.identity.hashing import Checker
from anycore.identity.shared import Verified
from anycore.kernel.authentication import AuthenticationFault, Authenticator
from anycore.kernel.call import Identity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anycore.identity.password_file import PasswordFile, User
    from anycore.identity.throttle import Throttle
    from anycore.kernel.call import Credentials, Peer

_CACHE_TIME: Final = 300.0
_GRACE: Final = 5.0  # seconds between `quick` and `authenticate`, at most: nothing is forgotten in between


class PasswordAuthenticator(Authenticator):
    """Knows users by name and password.

    A password that was right is remembered, by a digest, until the file changes or for `cache_time`; a wrong one is not.

    Args:
        file: The users.
        throttle: Says who has failed too often to be heard.
        realm: What people are told they sign in to (RFC 7235 section 2.2).
        cache_time: Seconds for which a password that was right need not be checked again.
        checker: Checks passwords.
    """

    name = "password"
    presented_only = True

    def __init__(
        self,
        file: PasswordFile,
        throttle: Throttle,
        *,
        realm: str = "anycore",
        cache_time: float = _CACHE_TIME,
        checker: Checker | None = None,
    ) -> None:
        self.challenge = f'Basic realm="{realm}", charset="UTF-8"'
        self._file = file
        self._throttle = throttle
        self._checker = checker if checker is not None else Checker()
        self._right = Verified(cache_time)
        self._identities: dict[str, tuple[User, Identity]] = {}
        self._under_way: dict[bytes, Future[Identity]] = {}
        self._lock = Lock()

    def quick(self, peer: Peer, credentials: Credentials) -> bool:
        """Tell whether `authenticate` would answer at once: where nothing is to be checked, or was just before."""
        given = credentials.authorization
        return not given or not is_basic(given) or self._right.left(self._digest(given)) > _GRACE

    def authenticate(self, peer: Peer, credentials: Credentials) -> Identity | None:
        """Say who calls; see `Authenticator.authenticate`."""
        given = credentials.authorization
        if not given or not is_basic(given):
            return None
        digest = self._digest(given)
        if self._right.left(digest) > 0:
            user, _ = read_basic(given)
            known = self._file.users().get(user)
            if known is not None:
                return self._identity(known)
        return self._find_out(digest, peer, given)

    def _digest(self, given: str) -> bytes:
        return self._right.digest(given, repr(self._file.look()))

    def _identity(self, user: User) -> Identity:
        """Return the same identity as long as the user's line is the same."""
        found = self._identities.get(user.name)
        if found is None or found[0] is not user:
            found = self._identities[user.name] = (user, Identity(user.name, "password", frozenset(user.groups)))
        return found[1]

    def _find_out(self, digest: bytes, peer: Peer, given: str) -> Identity:
        """Check credentials once, however many calls present them at the same time."""
        user, password = read_basic(given)
        self._throttle.check(peer, user)
        with self._lock:
            other = self._under_way.get(digest)
            if other is None:
                mine: Future[Identity] = Future()
                self._under_way[digest] = mine
        if other is not None:
            return other.result()
        try:
            identity = self._check(digest, user, password)
        except BaseException as error:
            mine.set_exception(error)
            raise
        else:
            mine.set_result(identity)
            return identity
        finally:
            with self._lock:
                del self._under_way[digest]

    def _check(self, digest: bytes, user: str, password: str) -> Identity:
        users = self._file.users()
        known = users.get(user)
        if not self._checker.check(known.hash if known is not None else None, password, _typical(users)):
            raise wrong(user)
        assert known is not None
        self._throttle.succeeded(user)
        self._right.add(digest)
        return self._identity(known)


def wrong(user: str) -> AuthenticationFault:
    """Return the fault for a user and a password that do not belong together; it does not say which of them is unknown."""
    message = "the user name or the password is wrong; `anycore passwd FILE USER` on the server sets a password"
    return AuthenticationFault(message, kind="authentication-password", user=user)


def _typical(users: Mapping[str, User]) -> str:
    """Return a hash with the parameters that most users have, as far as can be told from one of them."""
    return next((user.hash for user in users.values()), "")
