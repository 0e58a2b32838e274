"""Failed attempts to sign in, by address and by user: the more there were, the longer further ones are refused unseen.

Nobody waits here: whoever comes too early is told when to come again. What is counted is in memory that processes share which are forked from the
one that made it, so all of a server's processes count together, whichever of them a caller comes to.
"""

from __future__ import annotations

import ipaddress
import math
import mmap
import secrets
import struct
import time
from hashlib import blake2b
from threading import Lock
from typing import TYPE_CHECKING, Final

from anycore.kernel.authentication import AuthenticationFault

if TYPE_CHECKING:
    from collections.abc import Callable

    from anycore.kernel.call import Peer

_USER_PATIENCE: Final = 4
"""How many times as many failures a user has as an address: others can spoil a name, and only its owner an address."""
_MOST_FAILURES: Final = 1_000_000
_SITE_BITS: Final = 64  # RFC 6177: a site has at least a /64, and with it as many addresses as it likes


class Throttle:
    """Counts failures and says who has to wait. Safe for threads.

    The failures after the first `attempts` of an address cost 1, 2, 4 seconds and so on, up to `longest`; a user's, wherever they come from,
    begin to do so after four times as many. A failure is forgotten after ten times the longest wait without another.

    Args:
        attempts: Failures of an address that cost nothing; 0 for no limits at all.
        longest: The longest wait, in seconds.
        most: Addresses, and users, that are remembered, about; those whose last failure was the longest ago go first.
        clock: Returns the time in seconds.
    """

    def __init__(
        self,
        attempts: int = 5,
        longest: float = 60.0,
        most: int = 16_384,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._attempts = attempts
        self._longest = longest
        self._clock = clock
        self._addresses = _Table(most)
        self._users = _Table(most)

    def wait(self, peer: Peer, user: str = "") -> float:
        """Return for how many seconds attempts are refused.

        Args:
            peer: Who tries.
            user: As whom.
        """
        if not self._attempts:
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
        self._addresses.count(_site(peer), now, 10 * self._longest)
        if user:
            self._users.count(user, now, 10 * self._longest)

    def succeeded(self, user: str) -> None:
        """Forget the failures of a user who has signed in. Those of an address stay: its owner may have one name and guess others."""
        self._users.forget(user)

    def _left(self, found: tuple[int, float] | None, free: int, now: float) -> float:
        if found is None or found[0] <= free or found[1] > now:
            return 0.0
        delay = min(self._longest, 2.0 ** min(found[0] - free - 1, 30))
        return found[1] + delay - now


class _Table:
    """Counts by name, in memory of a fixed size that forked processes share.

    A name has one of the few places of its bucket; which bucket, nobody outside can tell. Places are taken without a lock between processes: two
    that fail in one instant may be counted once, which does no harm.

    Args:
        most: How many names there is place for.
    """

    _PLACE: Final = struct.Struct("<8sId")  # digest of the name, failures, when the last one was
    _PLACES: Final = 4  # in a bucket

    def __init__(self, most: int) -> None:
        self._buckets = max(1, most // self._PLACES)
        self._memory = mmap.mmap(-1, self._buckets * self._PLACES * self._PLACE.size)
        self._key = secrets.token_bytes(32)
        self._lock = Lock()

    def _bucket(self, name: str) -> tuple[bytes, range]:
        digest = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=16, key=self._key).digest()
        size = self._PLACE.size * self._PLACES
        start = int.from_bytes(digest[8:], "little") % self._buckets * size
        return digest[:8], range(start, start + size, self._PLACE.size)

    def get(self, name: str) -> tuple[int, float] | None:
        """Return how many failures a name has, and when the last one was."""
        tag, places = self._bucket(name)
        for place in places:
            found, failures, last = self._PLACE.unpack_from(self._memory, place)
            if found == tag and failures:
                return failures, last
        return None

    def count(self, name: str, now: float, memory: float) -> None:
        """Count a failure; those before are forgotten where the last one was longer ago than that."""
        tag, places = self._bucket(name)
        with self._lock:
            oldest, age = places[0], math.inf
            for place in places:
                found, failures, last = self._PLACE.unpack_from(self._memory, place)
                if found == tag:
                    kept = failures if now - last <= memory else 0
                    self._PLACE.pack_into(self._memory, place, tag, min(kept + 1, _MOST_FAILURES), now)
                    return
                if (last if failures else -math.inf) < age:
                    oldest, age = place, (last if failures else -math.inf)
            self._PLACE.pack_into(self._memory, oldest, tag, 1, now)

    def forget(self, name: str) -> None:
        """Forget a name."""
        tag, places = self._bucket(name)
        with self._lock:
            for place in places:
                if self._memory[place : place + 8] == tag:
                    self._PLACE.pack_into(self._memory, place, bytes(8), 0, 0.0)


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
