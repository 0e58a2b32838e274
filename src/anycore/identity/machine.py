"""Machines as callers: the authenticator, with the rules of Bcfg2's `authenticate(cert, user, password, address)`. Which there are: `machines`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from anycore.identity.basic import is_basic, read_basic
from anycore.identity.certificates import CertificateError, read_certificate
from anycore.identity.hashing import Checker
from anycore.identity.machines import ROOT, Kind, Machine, plain_address, resolve
from anycore.identity.remembered import Remembered
from anycore.identity.shared import Verified
from anycore.kernel.authentication import AuthenticationFault, Authenticator
from anycore.kernel.call import Identity

if TYPE_CHECKING:
    from collections.abc import Callable

    from anycore.identity.machines import Roster
    from anycore.identity.throttle import Throttle
    from anycore.kernel.call import Credentials, Peer

_CACHE_TIME: Final = 300.0
_GRACE: Final = 5.0  # seconds between `quick` and `authenticate`, at most


class MachineAuthenticator(Authenticator):
    """Knows the machines of a roster. Callers that are none of them are left to others in the chain.

    Args:
        roster: The machines.
        completed: Tells whether a machine, by its name, has had a complete run.
        throttle: Says who has failed too often to be heard.
        password: An argon2id hash of the password of all machines; empty when there is none.
        checker: Checks passwords.
        cache_time: Seconds for which a password, or the name of an address, that was right is not checked again.
        resolver: Returns the name that an address resolves to.
    """

    name = "machine"
    presented_only = True

    def __init__(
        self,
        roster: Roster,
        completed: Callable[[str], bool],
        throttle: Throttle,
        *,
        password: str = "",
        checker: Checker | None = None,
        cache_time: float = _CACHE_TIME,
        resolver: Callable[[str], str] = resolve,
    ) -> None:
        self._roster = roster
        self._completed = completed
        self._throttle = throttle
        self._password = password
        self._checker = checker if checker is not None else Checker()
        self._resolver = resolver
        self._right = Verified(cache_time)
        self._names: Remembered[str] = Remembered(cache_time)

    def quick(self, peer: Peer, credentials: Credentials) -> bool:
        """Tell whether `authenticate` would answer at once: without a look-up of a name, and without a check of a password."""
        try:
            found = self._which(peer, credentials)
        except AuthenticationFault:
            return True
        if found is None:
            return True
        machine, method, password = found
        if method != "uuid" and self._needs_name(machine, peer) and not self._name_known(peer):
            return False
        kind = self._kind(machine)
        if (method == "cert" and kind != "cert+password") or (kind == "cert" and method != "cert"):
            return True
        return any(self._right.left(self._right.digest(hashed, password)) > _GRACE for hashed in self._hashes(machine))

    def authenticate(self, peer: Peer, credentials: Credentials) -> Identity | None:
        """Say who calls; see `Authenticator.authenticate`."""
        found = self._which(peer, credentials)
        if found is None:
            return None
        machine, method, password = found
        kind = self._kind(machine)
        if kind == "cert" and method != "cert":
            raise _refusal(machine, "it must show its certificate")
        if method != "uuid":
            self._check_address(machine, peer)
        if method != "cert" or kind == "cert+password":
            self._check_password(machine, peer, password)
        return Identity(machine.name, "machine", frozenset(machine.groups), names=(f"cn:{machine.name}",))

    def _which(self, peer: Peer, credentials: Credentials) -> tuple[Machine, str, str] | None:
        """Return the machine that calls, how it said so, and its password."""
        given = credentials.authorization
        user, password = read_basic(given) if given and is_basic(given) else ("", "")
        if peer.certificate:
            try:
                read = read_certificate(peer.certificate)
            except CertificateError:
                return None
            machine = self._roster.named(read.common_name)
            if machine is None:
                return None
            reason = read.unusable(time.time())
            if reason:
                raise _refusal(machine, reason)
            return machine, "cert", password
        if user == ROOT:
            owners = self._roster.at(plain_address(peer.host))
            if len(owners) > 1:
                names = ", ".join(owner.name for owner in owners)
                message = f"{peer.host} is the address of several machines ({names}): use a uuid as user name"
                raise AuthenticationFault(message, kind="authentication-machine", user=user)
            return (owners[0], "address", password) if owners else None
        machine = (self._roster.with_uuid(user) or self._roster.named(user)) if user else None
        return (machine, "uuid", password) if machine is not None else None

    def _kind(self, machine: Machine) -> Kind:
        done = machine.kind == "bootstrap" and self._completed(machine.name)
        return "cert" if done else machine.kind

    def _needs_name(self, machine: Machine, peer: Peer) -> bool:
        return not machine.floating and not self._roster.at(plain_address(peer.host))

    def _name_known(self, peer: Peer) -> bool:
        return self._names.get(self._names.digest(peer.host), _GRACE) is not None

    def _check_address(self, machine: Machine, peer: Peer) -> None:
        if machine.floating:
            return
        owners = self._roster.at(plain_address(peer.host))
        if owners:
            if machine not in owners:
                raise _refusal(machine, f"{peer.host} is the address of {owners[0].name}")
            return
        digest = self._names.digest(peer.host)
        name = self._names.get(digest)
        if name is None:
            name = self._resolver(plain_address(peer.host))
            self._names.put(digest, name)
        if name.lower() != machine.name.lower():
            reason = f"{peer.host} resolves to {name or 'no name'}; list the address, or let the machine be floating"
            raise _refusal(machine, reason)

    def _check_password(self, machine: Machine, peer: Peer, password: str) -> None:
        hashes = self._hashes(machine)
        for hashed in hashes:
            if self._right.left(self._right.digest(hashed, password)) > 0:
                return
        if not password:
            raise _refusal(machine, "it must send a password")
        self._throttle.check(peer, machine.name)
        for hashed in hashes or ("",):
            if self._checker.check(hashed or None, password):
                self._right.add(self._right.digest(hashed, password))
                self._throttle.succeeded(machine.name)
                return
        raise _refusal(machine, "its password is wrong")

    def _hashes(self, machine: Machine) -> tuple[str, ...]:
        """Return the hashes of the passwords that count; none where it must have one of its own and has not."""
        common = () if machine.secure else (self._password,)
        return tuple(filter(None, (machine.password, *common)))


def _refusal(machine: Machine, reason: str) -> AuthenticationFault:
    message = f"the machine {machine.name} is not let in: {reason}"
    return AuthenticationFault(message, kind="authentication-machine", user=machine.name)
