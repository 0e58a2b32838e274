"""Bcfg2's rules of authentication, one by one (its Metadata plugin; `auth` kinds, uuids, addresses, passwords)."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from anycore.identity import machine as module
from anycore.identity.certificates import Certificate, CertificateError
from anycore.identity.machine import MachineAuthenticator
from anycore.identity.machines import KeptMachines, ListedMachines, Machine, plain_address, resolve
from anycore.identity.throttle import Throttle
from anycore.kernel.authentication import AuthenticationFault
from anycore.kernel.call import NO_CREDENTIALS, Credentials, Peer
from anycore.store import open_store


def cheap(password: str) -> str:
    from argon2 import PasswordHasher

    return PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(password)


COMMON, OWN = cheap("common"), cheap("own")
MACHINES = [
    Machine("certified.org", "cert", addresses=("10.0.0.1",)),
    Machine("both.org", addresses=("10.0.0.2", "2001:db8::2"), groups=("web",)),
    Machine("new.org", "bootstrap", addresses=("10.0.0.3",)),
    Machine("float.org", floating=True, uuid="0000-1111"),
    Machine("secret.org", password=OWN, secure=True, addresses=("10.0.0.5",)),
    Machine("poor.org", secure=True, addresses=("10.0.0.6",)),
    Machine("own.org", password=OWN, addresses=("10.0.0.7",)),
    Machine("named.org"),
    Machine("server.org", "cert", floating=True),
    Machine("twin-a.org", addresses=("10.0.0.9",)),
    Machine("twin-b.org", addresses=("10.0.0.9",)),
]
NAMES = {"10.0.1.1": "named.org", "10.0.1.2": "NAMED.org", "10.0.1.3": "other.org"}


@pytest.fixture(autouse=True)
def _certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(der: bytes) -> Certificate:
        if der == b"broken":
            raise CertificateError("x")
        return Certificate(
            f"/CN={der.decode()}", der.decode(), (), 0.0, 4.0e9, for_clients=not der.startswith(b"server")
        )

    monkeypatch.setattr(module, "read_certificate", read)


@pytest.fixture
def kept() -> Iterator[KeptMachines]:
    with open_store("memory:") as store:
        kept = KeptMachines(lambda: store)
        for machine in MACHINES:
            kept.put(machine)
        yield kept


@pytest.fixture
def asked() -> list[str]:
    return []


@pytest.fixture
def door(kept: KeptMachines, asked: list[str], clock: Any) -> MachineAuthenticator:
    def look_up(address: str) -> str:
        asked.append(address)
        return NAMES.get(address, "")

    return MachineAuthenticator(
        kept, kept.completed, Throttle(attempts=50, clock=clock), password=COMMON, resolver=look_up
    )


Ask = Callable[..., str]


@pytest.fixture
def who(door: MachineAuthenticator) -> Ask:
    def ask(address: str, user: str = "", password: str = "", certificate: str = "") -> str:
        given = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode() if user else ""
        peer = Peer("tcp", address, 7, certificate=certificate.encode() or None, local=False)
        try:
            found = door.authenticate(peer, Credentials(given) if given else NO_CREDENTIALS)
        except AuthenticationFault as fault:
            return f"refused: {fault.message}"
        if found is None:
            return "nobody"
        assert found.kind == "machine" and f"cn:{found.name}" in found.names
        assert door.quick(peer, Credentials(given) if given else NO_CREDENTIALS)  # it is remembered
        return found.name

    return ask


@pytest.mark.parametrize(
    ("caller", "expected"),
    [
        # 1: which machine: by certificate, else root by address, else by uuid or name
        ({"address": "10.0.0.1", "certificate": "certified.org"}, "certified.org"),
        ({"address": "10.0.0.1", "certificate": "CERTIFIED.org"}, "certified.org"),
        ({"address": "10.0.0.2", "user": "root", "password": "common"}, "both.org"),
        ({"address": "::ffff:10.0.0.2", "user": "root", "password": "common"}, "both.org"),
        ({"address": "2001:db8:0::2", "user": "root", "password": "common"}, "both.org"),
        ({"address": "10.9.9.9", "user": "0000-1111", "password": "common"}, "float.org"),
        ({"address": "10.9.9.9", "user": "both.org", "password": "common"}, "both.org"),
        ({"address": "10.0.0.9", "user": "root", "password": "common"}, "is the address of several machines"),
        ({"address": "10.0.0.9", "user": "twin-b.org", "password": "common"}, "twin-b.org"),
        # those who are no machines are left to others
        ({"address": "10.9.9.9", "user": "root", "password": "common"}, "nobody"),
        ({"address": "10.9.9.9", "user": "alice", "password": "common"}, "nobody"),
        ({"address": "10.9.9.9", "certificate": "alice"}, "nobody"),
        ({"address": "10.9.9.9", "certificate": "broken"}, "nobody"),
        ({"address": "10.0.0.2"}, "nobody"),
        # 2: the kind cert takes nothing else
        ({"address": "10.0.0.1", "user": "root", "password": "common"}, "must show its certificate"),
        ({"address": "10.0.0.1", "user": "certified.org", "password": "common"}, "must show its certificate"),
        # 3: the address must be the machine's
        ({"address": "10.0.0.2", "certificate": "certified.org"}, "is the address of both.org"),
        ({"address": "10.0.1.1", "certificate": "named.org", "user": "root", "password": "common"}, "named.org"),
        ({"address": "10.0.1.2", "certificate": "named.org", "user": "x", "password": "common"}, "named.org"),
        (
            {"address": "10.0.1.3", "certificate": "named.org", "user": "x", "password": "common"},
            "resolves to other.org",
        ),
        ({"address": "10.0.1.4", "certificate": "named.org", "user": "x", "password": "common"}, "resolves to no name"),
        ({"address": "10.9.9.9", "certificate": "float.org", "user": "x", "password": "common"}, "float.org"),
        ({"address": "10.9.9.9", "certificate": "server.org"}, "not meant for clients"),
        # 4: a certificate is enough for cert and bootstrap
        ({"address": "10.0.0.3", "certificate": "new.org"}, "new.org"),
        ({"address": "10.0.0.3", "certificate": "new.org", "user": "x", "password": "wrong"}, "new.org"),
        ({"address": "10.0.0.3", "user": "root", "password": "common"}, "new.org"),
        # 5: passwords
        ({"address": "10.0.0.2", "certificate": "both.org"}, "must send a password"),
        ({"address": "10.0.0.2", "certificate": "both.org", "user": "x", "password": "wrong"}, "password is wrong"),
        ({"address": "10.0.0.2", "user": "root", "password": "wrong"}, "password is wrong"),
        ({"address": "10.0.0.2", "user": "root", "password": ""}, "must send a password"),
        ({"address": "10.0.0.5", "user": "root", "password": "own"}, "secret.org"),
        ({"address": "10.0.0.5", "user": "root", "password": "common"}, "password is wrong"),
        ({"address": "10.0.0.6", "user": "root", "password": "common"}, "password is wrong"),
        ({"address": "10.0.0.7", "user": "root", "password": "own"}, "own.org"),
        ({"address": "10.0.0.7", "user": "root", "password": "common"}, "own.org"),
    ],
)
def test_bcfg2s_rules(who: Ask, caller: dict[str, str], expected: str) -> None:
    found = who(**caller)
    assert found == expected or (found.startswith("refused") and expected in found)


def test_a_machine_starts_with_a_password_and_goes_on_with_its_certificate(who: Ask, kept: KeptMachines) -> None:
    assert who("10.0.0.3", "root", "common") == "new.org"
    kept.complete("NEW.org")
    assert "must show its certificate" in who("10.0.0.3", "root", "common")
    assert who("10.0.0.3", certificate="new.org") == "new.org"
    kept.restart("new.org")
    assert who("10.0.0.3", "new.org", "common") == "new.org"


def test_changes_count_at_once(who: Ask, kept: KeptMachines) -> None:
    assert who("10.0.0.7", "root", "own") == "own.org"
    kept.put(Machine("own.org", password=cheap("next"), secure=True, addresses=("10.0.0.7",)))
    assert "is wrong" in who("10.0.0.7", "root", "own")
    assert who("10.0.0.7", "root", "next") == "own.org"
    kept.remove("own.org")
    assert who("10.0.0.7", "root", "next") == "nobody"


def test_what_takes_time_is_done_in_a_thread_and_remembered(
    who: Ask, door: MachineAuthenticator, asked: list[str], checked: list[str]
) -> None:
    peer = Peer("tcp", "10.0.1.1", certificate=b"named.org", local=False)
    given = Credentials("Basic " + base64.b64encode(b"x:common").decode())
    assert not door.quick(peer, given)
    for _ in range(3):
        assert who("10.0.1.1", "x", "common", "named.org") == "named.org"
    assert door.quick(peer, given)
    assert asked == ["10.0.1.1"] and len(checked) == 1
    assert door.quick(Peer("tcp", "10.0.0.1", certificate=b"certified.org"), NO_CREDENTIALS)
    assert door.quick(Peer("tcp", "10.0.0.2"), NO_CREDENTIALS)
    assert door.quick(Peer("tcp", "10.0.0.2"), Credentials("Basic nonsense"))


def test_guesses_are_slowed_down(kept: KeptMachines, clock: Any) -> None:
    throttle = Throttle(attempts=1, clock=clock)
    door = MachineAuthenticator(kept, kept.completed, throttle, password=COMMON)
    peer, given = Peer("tcp", "10.0.0.2", local=False), Credentials("Basic " + base64.b64encode(b"root:x").decode())
    for _ in range(2):
        throttle.failed(peer, "both.org")
    with pytest.raises(AuthenticationFault, match="too many failed attempts"):
        door.authenticate(peer, given)


def test_a_machine_without_any_password_costs_the_same(kept: KeptMachines, checked: list[str], clock: Any) -> None:
    door = MachineAuthenticator(kept, kept.completed, Throttle(clock=clock))
    with pytest.raises(AuthenticationFault, match="its password is wrong"):
        door.authenticate(
            Peer("tcp", "10.0.0.6", local=False), Credentials("Basic " + base64.b64encode(b"root:x").decode())
        )
    assert len(checked) == 1


def test_addresses_and_names() -> None:
    assert plain_address("::ffff:10.0.0.1") == "10.0.0.1"
    assert plain_address("fe80::1%eth0") == "fe80::1"
    assert plain_address("nonsense") == "nonsense"
    assert resolve("nonsense") == ""
    roster = ListedMachines(MACHINES)
    assert [one.name for one in roster.at("10.0.0.9")] == ["twin-a.org", "twin-b.org"]
    found = roster.with_uuid("0000-1111")
    assert found is not None and found.name == "float.org"
