"""Failed attempts to sign in, by address and by user: the more there were, the longer further ones are refused unseen.

Nobody waits here: whoever comes too early is told when to come again.
"""

from __future__ import annotations

import ipaddress
import math
import time
from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING, Final

from anycore.kernel.authentication import AuthenticationFault

if TYPE_CHECKING:
    from collections.abc import Callable

    from anycore.kernel.call import Peer

_USER_PATIENCE: Final = 4
"""How many times as many failures a user has as an address: others can spoil a name, and only its owner an address."""
_SITE_BITS: Final = 64  # RFC 6177: a site has at least a /64, and with it as many addresses as it likes


class Throttle:
    """Counts failures and says who has to wait. Safe for threads.

    The failures after the first `attempts` of an address cost 1, 2, 4 seconds and so on, up to `longest`; a user's, wherever they come from,
    begin to do so after four times as many. A failure is forgotten after ten times the longest wait without another.

    Args:
        attempts: Failures of an address that cost nothing; 0 for no limits at all.
        longest: The longest wait, in seconds.
        most: Addresses, and users, that are remembered; those whose last failure was the longest ago go first.
        clock: Returns the time in seconds.
    """

    def __init__(
        self,
        attempts: int = 5,
        longest: float = 60.0,
        most: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._attempts = attempts
        self._longest = longest
        self._most = most
        self._clock = clock
        self._lock = Lock()
        self._addresses: OrderedDict[str, tuple[int, float]] = OrderedDict()  # failures, and when the last one was
        self._users: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def wait(self, peer: Peer, user: str = "") -> float:
        """Return for how many seconds attempts are refused.

        Args:
            peer: Who tries.
            user: As whom.
        """
        if not self._attempts or not (self._addresses or self._users):
            return 0.0
        now = self._clock()
        left = self._left(self._addresses.get(_site(peer)), self._attempts, now)
        if user:
            left = max(left, self._left(self._users.get(user), self._attempts * _USER_PATIENCE, now))
        return left

    def check(self, peer: Peer, user: str = "") -> None:
        """Do nothing where an attempt may be made.

        Args:
            peer: Who tries.
            user: As whom.

        Raises:
            AuthenticationFault: There were too many failures. What was presented is not looked at.
        """
        left = self.wait(peer, user)
        if left > 0:
            raise too_many(left, user)

    def failed(self, peer: Peer, user: str = "") -> None:
        """Count a failure."""
        if not self._attempts:
            return
        now = self._clock()
        with self._lock:
            self._count(self._addresses, _site(peer), now)
            if user:
                self._count(self._users, user, now)

    def succeeded(self, user: str) -> None:
        """Forget the failures of a user who has signed in. Those of an address stay: its owner may have one name and guess others."""
        if user in self._users:
            with self._lock:
                self._users.pop(user, None)

    def _count(self, table: OrderedDict[str, tuple[int, float]], key: str, now: float) -> None:
        failures, last = table.get(key, (0, now))
        if now - last > 10 * self._longest:
            failures = 0
        table[key] = (failures + 1, now)
        table.move_to_end(key)
        while len(table) > self._most:
            table.popitem(last=False)

    def _left(self, found: tuple[int, float] | None, free: int, now: float) -> float:
        if found is None or found[0] <= free:
            return 0.0
        delay = min(self._longest, 2.0 ** min(found[0] - free - 1, 30))
        return found[1] + delay - now


def too_many(seconds: float, user: str = "") -> AuthenticationFault:
    """Return the fault of an attempt that came too early.

    Args:
        seconds: When to come again.
        user: As whom it was made.
    """
    wait = math.ceil(seconds)
    message = f"there were too many failed attempts to sign in; try again in {wait} s"
    return AuthenticationFault(message, retry_after=float(wait), kind="authentication-throttled", user=user)


def _site(peer: Peer) -> str:
    """Return what failures of a peer are counted by: its address, the network of an IPv6 site, the user of a Unix socket."""
    host = peer.host
    if ":" not in host:
        return host or f"uid {peer.uid}"
    try:
        address = ipaddress.IPv6Address(host.partition("%")[0])
    except ValueError:
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(address) >> _SITE_BITS << _SITE_BITS, _SITE_BITS)))
