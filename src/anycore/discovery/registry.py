"""The table of leases: which services are offered where, and until when. No I/O, no threads; the clock is given to it.

A lease is one service at one address. The table of its states, with what leads from one to the next:

    absent ---register---> registered ---register---> refreshed <--register-- (itself)
    registered, refreshed ---unregister---> unregistered        said goodbye
    registered, refreshed ---expire-------> pruned              has not been heard of for a lifetime

The last two are ends: such a lease is told of once and forgotten. Every registration starts the lifetime anew; as all
leases live equally long, the order of their last registrations is the order in which they end.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Iterable
from typing import Final, TypeAlias, TypeVar

import msgspec

from anycore.wire.registry import Port, Server


class State(enum.Enum):
    """Where a lease stands."""

    ABSENT = "absent"
    REGISTERED = "registered"
    REFRESHED = "refreshed"
    UNREGISTERED = "unregistered"
    PRUNED = "pruned"


class Event(enum.Enum):
    """What happens to a lease."""

    REGISTER = "register"
    UNREGISTER = "unregister"
    EXPIRE = "expire"


TRANSITIONS: Final[dict[tuple[State, Event], State]] = {
    (State.ABSENT, Event.REGISTER): State.REGISTERED,
    (State.REGISTERED, Event.REGISTER): State.REFRESHED,
    (State.REFRESHED, Event.REGISTER): State.REFRESHED,
    (State.REGISTERED, Event.UNREGISTER): State.UNREGISTERED,
    (State.REFRESHED, Event.UNREGISTER): State.UNREGISTERED,
    (State.REGISTERED, Event.EXPIRE): State.PRUNED,
    (State.REFRESHED, Event.EXPIRE): State.PRUNED,
}
ENDS: Final = frozenset({State.UNREGISTERED, State.PRUNED})

LIFETIME: Final = 240.0
"""Seconds that a lease lasts; RPyC's servers register every 60."""
MAX_LEASES: Final = 10_000
MAX_LEASES_PER_HOST: Final = 1_000
MAX_NAMES: Final = 100


class RegistryFullError(Exception):
    """A registration would exceed a limit; nothing of it was carried out. The message says which and how to raise it."""


class Lease(msgspec.Struct):
    """One service at one address.

    Args:
        name: The service, in upper case.
        server: Where.
        until: When it ends, in seconds of the table's clock.
        state: Where it stands.
    """

    name: str
    server: Server
    until: float
    state: State = State.ABSENT


class Change(msgspec.Struct, frozen=True):
    """What has become of a lease.

    Args:
        name: The service.
        server: Where.
        state: What it has become.
    """

    name: str
    server: Server
    state: State

    def __str__(self) -> str:
        return f"{self.name} at {self.server.host}:{self.server.port} {self.state.value}"


_Key: TypeAlias = tuple[str, Server]
_K = TypeVar("_K")


class LeaseTable:
    """All leases. Not safe for threads: one thread owns it.

    Args:
        clock: Returns seconds that only grow.
        lifetime: Seconds from a registration to its end.
        max_leases: How many there may be.
        max_leases_per_host: How many of one address, so that a single host cannot fill the table.
        max_names: How many services one registration may name.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        lifetime: float = LIFETIME,
        max_leases: int = MAX_LEASES,
        max_leases_per_host: int = MAX_LEASES_PER_HOST,
        max_names: int = MAX_NAMES,
    ) -> None:
        if not lifetime > 0:
            raise ValueError(
                f"the lifetime of a registration is {lifetime:g} s; give more than 0, such as {LIFETIME:g}"
            )
        self.lifetime = lifetime
        self.max_leases = max_leases
        self.max_leases_per_host = max_leases_per_host
        self.max_names = max_names
        self._clock = clock
        self._leases: dict[_Key, Lease] = {}  # the one that ends first comes first
        self._by_name: dict[str, dict[Server, Lease]] = {}  # the one that was there first comes first
        self._by_host: dict[str, dict[_Key, Lease]] = {}

    def __len__(self) -> int:
        return len(self._leases)

    def register(self, host: str, names: Iterable[str], port: Port) -> list[Change]:
        """Take note that a host offers services, or still does.

        Args:
            host: Its address.
            names: The services, in upper case.
            port: A TCP port, or the path of a Unix socket.

        Returns:
            What has changed, with leases that had ended by then.

        Raises:
            RegistryFullError: It exceeds a limit.
        """
        changes = self.prune()
        server = Server(host, port)
        keys = dict.fromkeys((name, server) for name in names)
        self._check(host, keys)
        until = self._clock() + self.lifetime
        for key in keys:
            lease = self._leases.pop(key, None) or Lease(*key, until)
            lease.until = until
            changes.append(self._apply(lease, Event.REGISTER))
        return changes

    def unregister(self, host: str, port: Port) -> list[Change]:
        """Forget all that a host offers at a port.

        Args:
            host: Its address.
            port: As registered.

        Returns:
            What has changed, with leases that had ended by then.
        """
        changes = self.prune()
        server = Server(host, port)
        leaving = [lease for lease in self._by_host.get(host, {}).values() if lease.server == server]
        return changes + [self._apply(lease, Event.UNREGISTER) for lease in leaving]

    def prune(self) -> list[Change]:
        """Forget what has not been registered for a lifetime.

        Returns:
            What was forgotten, the oldest first.
        """
        now = self._clock()
        changes = []
        while self._leases:
            lease = next(iter(self._leases.values()))
            if lease.until > now:
                break
            changes.append(self._apply(lease, Event.EXPIRE))
        return changes

    def next_end(self) -> float | None:
        """Return the seconds until a lease ends, 0 when one has ended already, None when there is none."""
        for lease in self._leases.values():
            return max(0.0, lease.until - self._clock())
        return None

    def servers(self, name: str) -> tuple[Server, ...]:
        """Return who offers a service, the one that has been there longest first.

        Args:
            name: The service, in upper case.
        """
        now = self._clock()
        return tuple(server for server, lease in self._by_name.get(name, {}).items() if lease.until > now)

    def names(self, host: str | None = None) -> tuple[str, ...]:
        """Return which services are offered, the one that has been there longest first.

        Args:
            host: Only those of this address; None for all.
        """
        now = self._clock()
        leases = self._leases if host is None else self._by_host.get(host, {})
        alive = {lease.name for lease in leases.values() if lease.until > now}
        if host is None:
            return tuple(name for name in self._by_name if name in alive)
        return tuple(dict.fromkeys(name for name, _ in leases if name in alive))

    def _apply(self, lease: Lease, event: Event) -> Change:
        lease.state = TRANSITIONS[lease.state, event]
        key = (lease.name, lease.server)
        if lease.state in ENDS:
            del self._leases[key]
            _drop(self._by_name, lease.name, lease.server)
            _drop(self._by_host, lease.server.host, key)
        else:
            self._leases[key] = lease
            self._by_name.setdefault(lease.name, {})[lease.server] = lease
            self._by_host.setdefault(lease.server.host, {})[key] = lease
        return Change(lease.name, lease.server, lease.state)

    def _check(self, host: str, keys: Iterable[_Key]) -> None:
        wanted = list(keys)
        fresh = sum(key not in self._leases for key in wanted)
        for limit, count, option, what in (
            (self.max_names, len(wanted), "max_names", "services in one registration"),
            (self.max_leases, len(self._leases) + fresh, "max_leases", "registrations"),
            (
                self.max_leases_per_host,
                len(self._by_host.get(host, {})) + fresh,
                "max_leases_per_host",
                f"registrations of {host}",
            ),
        ):
            if count > limit and (fresh or option == "max_names"):
                raise RegistryFullError(f"{count} {what}, and {option} allows {limit}; raise it or register fewer")


def _drop(index: dict[str, dict[_K, Lease]], outer: str, inner: _K) -> None:
    del index[outer][inner]
    if not index[outer]:
        del index[outer]
