"""The user at the other end of a Unix socket, as the system knows it: the authenticator."""

from __future__ import annotations

import grp
import os
import pwd
import time
from typing import TYPE_CHECKING, Final

from anycore.kernel.authentication import Authenticator
from anycore.kernel.call import Identity

if TYPE_CHECKING:
    from collections.abc import Callable

    from anycore.kernel.call import Credentials, Peer

_REMEMBERED: Final = 4096
_GRACE: Final = 5.0  # seconds between `quick` and `authenticate`, at most


class UnixAuthenticator(Authenticator):
    """Knows whoever has connected by a Unix socket: name and groups are those of the system's user.

    Args:
        proxied: Whether peers of Unix sockets are proxies, who speak for others and not for themselves.
        cache_time: Seconds for which names and groups of a user are remembered.
        clock: Returns the time in seconds.
    """

    name = "unix"
    presented_only = True

    def __init__(
        self, *, proxied: bool = False, cache_time: float = 60.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._proxied = proxied
        self._cache_time = cache_time
        self._clock = clock
        self._known: dict[int, tuple[float, Identity]] = {}

    def quick(self, peer: Peer, credentials: Credentials) -> bool:
        """Tell whether `authenticate` would answer at once: the system may have to ask a directory in the network."""
        uid = peer.uid
        if uid is None or self._proxied:
            return True
        found = self._known.get(uid)
        return found is not None and found[0] > self._clock() + _GRACE

    def authenticate(self, peer: Peer, credentials: Credentials) -> Identity | None:
        """Say who calls; see `Authenticator.authenticate`."""
        uid = peer.uid
        if uid is None or self._proxied:
            return None
        found = self._known.get(uid)
        now = self._clock()
        if found is None or found[0] <= now:
            while len(self._known) >= _REMEMBERED:
                self._known.pop(next(iter(self._known), -1), None)
            found = self._known[uid] = (now + self._cache_time + _GRACE, _identity(uid))
        return found[1]


def _identity(uid: int) -> Identity:
    try:
        user = pwd.getpwuid(uid)
    except KeyError:  # a user of another container, or one that was removed
        return Identity(f"uid:{uid}", "unix", names=(f"uid:{uid}",))
    groups = frozenset(filter(None, map(_group, os.getgrouplist(user.pw_name, user.pw_gid))))
    return Identity(user.pw_name, "unix", groups, names=(f"uid:{uid}",))


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return ""
