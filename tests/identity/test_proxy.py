from __future__ import annotations

import pytest

from anycore.identity.proxy import Proxies, ProxyAuthenticator, ProxyHeaders
from anycore.kernel.authentication import AuthenticationFault
from anycore.kernel.call import NO_CREDENTIALS, Credentials, Identity, Peer

HEADERS = ProxyHeaders("X-User", "X-Groups", "X-DN")
PROXY, STRANGER = Peer("tcp", "192.0.2.7", local=False), Peer("tcp", "192.0.2.8", local=False)


@pytest.fixture
def door() -> ProxyAuthenticator:
    return ProxyAuthenticator(Proxies(["192.0.2.7", "2001:db8::/32", "unix"]), HEADERS)


def said(**fields: str) -> Credentials:
    return Credentials(proxied=tuple((f"x-{name}", value) for name, value in fields.items()))


def test_a_listed_proxy_is_believed(door: ProxyAuthenticator) -> None:
    assert door.authenticate(PROXY, said(user="alice", groups="ops, night")) == Identity(
        "alice", "proxy", frozenset({"ops", "night"})
    )
    for peer in (Peer("tcp", "::ffff:192.0.2.7"), Peer("tcp", "2001:db8::5"), Peer("unix", uid=33)):
        assert door.authenticate(peer, said(user="bob")) == Identity("bob", "proxy")


@pytest.mark.parametrize(
    ("dn", "slashed"),
    [
        ("/DC=org/CN=Alice", "/DC=org/CN=Alice"),
        ("CN=Alice,DC=example,DC=org", "/DC=org/DC=example/CN=Alice"),
        (r"CN=Smith\, Alice, O=Acme", "/O=Acme/CN=Smith, Alice"),
    ],
)
def test_a_subject_is_brought_into_one_form(door: ProxyAuthenticator, dn: str, slashed: str) -> None:
    found = door.authenticate(PROXY, said(dn=dn))
    assert found is not None and found.dn == slashed and found.name == slashed


def test_a_proxy_that_says_nothing_has_said_nothing(door: ProxyAuthenticator) -> None:
    assert door.authenticate(PROXY, NO_CREDENTIALS) is None
    assert door.authenticate(PROXY, said(user="", groups="ops")) is None


@pytest.mark.parametrize(
    "peer", [STRANGER, Peer("tcp", "2001:db9::1"), Peer("tcp", "nonsense"), Peer("memory"), Peer("tcp", "127.0.0.1")]
)
def test_nobody_else_is_believed(door: ProxyAuthenticator, peer: Peer) -> None:
    for _ in range(2):
        with pytest.raises(AuthenticationFault, match="only a proxy may say who called it") as caught:
            door.authenticate(peer, said(user="root"))
        assert caught.value.kind == "authentication-proxy"


def test_no_unix_socket_is_believed_unless_that_is_listed() -> None:
    door = ProxyAuthenticator(Proxies(["192.0.2.7"]), HEADERS)
    with pytest.raises(AuthenticationFault):
        door.authenticate(Peer("unix", uid=0), said(user="root"))


@pytest.mark.parametrize("name", ["x" * 1025, "a\x00b", "a\nb"])
def test_names_that_make_no_sense_are_refused(door: ProxyAuthenticator, name: str) -> None:
    with pytest.raises(AuthenticationFault):
        door.authenticate(PROXY, said(user=name))


def test_what_is_no_proxy_cannot_be_listed() -> None:
    with pytest.raises(ValueError, match="proxy"):
        Proxies(["proxy.example.org"])


def test_many_addresses_fill_no_memory() -> None:
    proxies = Proxies(["10.0.0.0/8"])
    for number in range(10_000):
        assert Peer("tcp", f"11.0.{number // 256}.{number % 256}") not in proxies
    assert len(proxies._known) <= 4096


def test_whoever_comes_by_a_listed_proxy_may_be_named_by_it(door: ProxyAuthenticator) -> None:
    for by in ("192.0.2.7", "2001:db8::1", "unix"):
        caller = Peer("tcp", "198.51.100.1", local=False, proxy=by)
        assert door.authenticate(caller, said(user="alice")) == Identity("alice", "proxy")
    for host, by in (("192.0.2.7", "192.0.2.8"), ("192.0.2.7", "server"), ("192.0.2.7", "nonsense")):
        with pytest.raises(AuthenticationFault):
            door.authenticate(Peer("tcp", host, local=False, proxy=by), said(user="root"))
