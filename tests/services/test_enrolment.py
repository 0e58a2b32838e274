from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from anycore import Fault, Peer
from anycore.identity.authority import Authority, AuthorityError, Issued, Wanted, make_key, make_request
from anycore.identity.authority.invitations import Invitations
from anycore.kernel.call import ANONYMOUS
from anycore.kernel.policy import NO_OPINION
from anycore.services.enrolment import METHODS, Enrolment
from anycore.store import open_store
from anycore.testing import connect
from anycore.wire.faults import ACCESS_DENIED, APPLICATION_ERROR, AUTHENTICATION_FAILED

if TYPE_CHECKING:
    from pathlib import Path

    from anycore.store import Store

WANTED = Wanted("node1", dns=("node1.example.org",), usages=("server", "client"))


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.create(tmp_path / "ca", "Example CA")


@pytest.fixture
def store() -> Store:
    return open_store("memory:")


@pytest.fixture
def plugin(authority: Authority, store: Store) -> Enrolment:
    return Enrolment(authority, lambda: store, days=30)


@pytest.fixture
def token(store: Store) -> str:
    return Invitations(store).create(WANTED, 600)


def stranger(certificate: bytes | None = None, tls: str = "TLSv1.3") -> Peer:
    return Peer.of_address(("192.0.2.7", 40000), tls, certificate)


def request() -> str:
    return make_request(make_key(), "anything").decode()


def der(issued: Issued | str) -> bytes:
    pem = issued.encode() if isinstance(issued, str) else issued.chain
    return x509.load_pem_x509_certificates(pem)[0].public_bytes(Encoding.DER)


def call(plugin: Enrolment, method: str, *args: Any, peer: Peer) -> Any:
    with connect(plugin, peer=peer) as client:
        return client.call(f"enrolment.{method}", *args)


def fault(plugin: Enrolment, method: str, *args: Any, peer: Peer) -> Fault:
    with pytest.raises(Fault) as caught:
        call(plugin, method, *args, peer=peer)
    return caught.value


def test_a_stranger_gets_a_certificate_for_a_token(plugin: Enrolment, authority: Authority, token: str) -> None:
    assert call(plugin, "authority", peer=stranger()).encode() == authority.pem
    chain = call(plugin, "enroll", token, request(), peer=stranger())
    entry = authority.vouch(der(chain))
    assert (entry.name, entry.names, entry.usages) == ("node1", ("dns:node1.example.org",), ("server", "client"))
    assert entry.made_by == "enrolment" and (entry.until - entry.begin).days == 30
    assert chain.endswith(authority.pem.decode())


def test_a_token_is_used_once(plugin: Enrolment, authority: Authority, token: str) -> None:
    call(plugin, "enroll", token, request(), peer=stranger())
    for wrong in (token, "", "x" * 100_000, token.lower()):
        refused = fault(plugin, "enroll", wrong, request(), peer=stranger())
        assert refused.code == AUTHENTICATION_FAILED and "ask for a new one" in refused.message
    assert len(authority.entries()) == 1


@pytest.mark.parametrize("broken", ["", "rubbish", "x" * 100_000])
def test_a_broken_request_does_not_use_it_up(plugin: Enrolment, token: str, broken: str) -> None:
    assert fault(plugin, "enroll", token, broken, peer=stranger()).code == APPLICATION_ERROR
    assert call(plugin, "enroll", token, request(), peer=stranger())


def test_a_failing_authority_does_not_use_it_up(
    plugin: Enrolment, authority: Authority, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any, **kwargs: Any) -> Issued:
        raise AuthorityError("no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(authority, "sign", full)
        assert "no space left" in fault(plugin, "enroll", token, request(), peer=stranger()).message
    assert call(plugin, "enroll", token, request(), peer=stranger())


def test_nothing_without_tls(plugin: Enrolment, token: str) -> None:
    for peer in (stranger(tls=""), Peer()):
        assert fault(plugin, "enroll", token, request(), peer=peer).code == ACCESS_DENIED
        assert fault(plugin, "renew", request(), peer=peer).code == ACCESS_DENIED


def test_a_known_machine_renews(plugin: Enrolment, authority: Authority) -> None:
    issued = authority.issue(WANTED)
    chain = call(plugin, "renew", request(), peer=stranger(der(issued)))
    entry = authority.vouch(der(chain))
    assert (entry.subject, entry.names, entry.usages) == (issued.entry.subject, issued.entry.names, issued.entry.usages)
    assert entry.serial != issued.entry.serial and (entry.until - entry.begin).days == 30
    assert authority.entries()[0].successor == entry.serial


def test_who_does_not_renew(plugin: Enrolment, authority: Authority, tmp_path: Path) -> None:
    issued = authority.issue(WANTED)
    assert fault(plugin, "renew", "rubbish", peer=stranger(der(issued))).code == APPLICATION_ERROR
    authority.revoke(issued.entry)
    foreign = Authority.create(tmp_path / "foreign", "Example CA").issue(WANTED)
    for shown in (None, der(issued), der(foreign), b"rubbish"):
        assert fault(plugin, "renew", request(), peer=stranger(shown)).code == AUTHENTICATION_FAILED
    assert len(authority.entries()) == 1


def test_it_opens_the_door_for_itself_only(plugin: Enrolment) -> None:
    for method in METHODS:
        assert plugin.decide(ANONYMOUS, stranger(), method).allowed
        assert plugin.admit(stranger(), method) is None
        assert plugin.decide(ANONYMOUS, stranger(tls=""), method) is NO_OPINION
        assert plugin.admit(stranger(tls=""), method) is NO_OPINION
    for method in ("system.listMethods", "enrolment", "enrolment.enroll.x", "Enrolment.enroll", ""):
        assert plugin.decide(ANONYMOUS, stranger(), method) is NO_OPINION
        assert plugin.admit(stranger(), method) is NO_OPINION
    assert fault_of_listing(plugin).code == ACCESS_DENIED


def fault_of_listing(plugin: Enrolment) -> Fault:
    with connect(plugin, peer=stranger()) as client, pytest.raises(Fault) as caught:
        client.call("system.listMethods")
    return caught.value
