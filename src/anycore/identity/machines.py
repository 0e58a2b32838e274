"""Machines that call, and how each may show that it is itself: the kinds of Bcfg2. What they call for is not known here.

A machine has a kind: `cert` (its certificate), `cert+password` (a password, and its certificate where it shows one), or `bootstrap` (a
password until its first complete run, its certificate from then on).
"""

from __future__ import annotations

import ipaddress
import socket
import time
from functools import cached_property
from typing import TYPE_CHECKING, Final, Literal, Protocol

import msgspec

from anycore.store.namespaces import namespace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from anycore.store.base import Store

Kind = Literal["cert", "cert+password", "bootstrap"]
ROOT: Final = "root"
"""The user name of a machine that leaves it to its address to say which one it is."""
_NAMESPACE: Final = "identity.machines"
_VERSION: Final = b"version"
_MACHINE: Final = b"machine/"
_DONE: Final = b"done/"


class Machine(msgspec.Struct, frozen=True):
    """What is known of a machine.

    Args:
        name: Its name, in lower case: the common name of its certificate, and what its address resolves to.
        kind: How it shows that it is itself.
        password: An argon2id hash of its own password; empty when it has none.
        secure: Whether its own password is the only one that counts, and not that of all machines.
        uuid: What it calls itself in place of its name.
        addresses: Addresses that are its own; others of its addresses must resolve to its name.
        floating: Whether it may call from anywhere.
        groups: Its groups.
    """

    name: str
    kind: Kind = "cert+password"
    password: str = ""
    secure: bool = False
    uuid: str = ""
    addresses: tuple[str, ...] = ()
    floating: bool = False
    groups: tuple[str, ...] = ()


class Roster(Protocol):
    """Which machines there are."""

    def named(self, name: str) -> Machine | None:
        """Return the machine of a name, in whatever case."""

    def with_uuid(self, uuid: str) -> Machine | None:
        """Return the machine that calls itself so."""

    def at(self, address: str) -> Sequence[Machine]:
        """Return the machines whose own an address is."""


class ListedMachines:
    """A roster of machines that are all known.

    Args:
        machines: The machines.
    """

    def __init__(self, machines: Iterable[Machine]) -> None:
        self._names: dict[str, Machine] = {}
        self._uuids: dict[str, Machine] = {}
        self._addresses: dict[str, tuple[Machine, ...]] = {}
        for machine in machines:
            self._names[machine.name.lower()] = machine
            if machine.uuid:
                self._uuids[machine.uuid] = machine
            for address in machine.addresses:
                plain = plain_address(address)
                self._addresses[plain] = (*self._addresses.get(plain, ()), machine)

    def named(self, name: str) -> Machine | None:
        """Return the machine of a name; see `Roster`."""
        return self._names.get(name.lower())

    def with_uuid(self, uuid: str) -> Machine | None:
        """Return the machine that calls itself so; see `Roster`."""
        return self._uuids.get(uuid)

    def at(self, address: str) -> Sequence[Machine]:
        """Return the machines whose own an address is; see `Roster`."""
        return self._addresses.get(address, ())


class KeptMachines:
    """A roster that is kept in a store, and what has become of each machine. All processes see changes with the next call.

    Args:
        open_store: Returns the store where it is kept; asked when it is needed for the first time.
        clock: Returns the time in seconds since 1970.
    """

    def __init__(self, open_store: Callable[[], Store], clock: Callable[[], float] = time.time) -> None:
        self._open = open_store
        self._clock = clock
        self._seen: tuple[bytes | None, ListedMachines] | None = None

    @cached_property
    def _store(self) -> Store:
        return namespace(self._open(), _NAMESPACE)

    def put(self, machine: Machine) -> None:
        """Add a machine, or replace the one of that name."""
        self._change(machine.name, msgspec.msgpack.encode(machine))

    def remove(self, name: str) -> None:
        """Remove a machine, and what has become of it."""
        self._change(name, None)

    def _change(self, name: str, value: bytes | None) -> None:
        key = name.lower().encode()
        with self._store.transaction() as change:
            if value is None:
                change.delete(_MACHINE + key)
                change.delete(_DONE + key)
            else:
                change.put(_MACHINE + key, value)
            change.put(_VERSION, b"%d" % (int(change.get(_VERSION) or b"0") + 1))

    def _all(self) -> ListedMachines:
        version = self._store.get(_VERSION)
        seen = self._seen
        if seen is None or seen[0] != version:
            found = [msgspec.msgpack.decode(raw, type=Machine) for _, raw in self._store.scan(_MACHINE)]
            seen = self._seen = (version, ListedMachines(found))
        return seen[1]

    def named(self, name: str) -> Machine | None:
        """Return the machine of a name; see `Roster`."""
        return self._all().named(name)

    def with_uuid(self, uuid: str) -> Machine | None:
        """Return the machine that calls itself so; see `Roster`."""
        return self._all().with_uuid(uuid)

    def at(self, address: str) -> Sequence[Machine]:
        """Return the machines whose own an address is; see `Roster`."""
        return self._all().at(address)

    def complete(self, name: str) -> None:
        """Take note that a machine has had a complete run: a machine of the kind `bootstrap` needs its certificate from now on."""
        self._store.put(_DONE + name.lower().encode(), b"%d" % self._clock())

    def restart(self, name: str) -> None:
        """Let a machine of the kind `bootstrap` begin again with a password, as it was installed anew."""
        self._store.delete(_DONE + name.lower().encode())

    def completed(self, name: str) -> bool:
        """Tell whether a machine has had a complete run."""
        return self._store.get(_DONE + name.lower().encode()) is not None


def plain_address(address: str) -> str:
    """Return an address in its usual form: an IPv4 address that came mapped into IPv6 as itself, without a zone."""
    try:
        read = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    return str(getattr(read, "ipv4_mapped", None) or read)


def resolve(address: str) -> str:
    """Return the name that an address resolves to, in lower case; an empty string where it has none. It may take seconds.

    Args:
        address: The address.
    """
    try:
        return socket.getnameinfo((address, 0), socket.NI_NAMEREQD)[0].lower()
    except OSError:
        return ""
