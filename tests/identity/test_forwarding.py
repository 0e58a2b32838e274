"""Who has sent a request, as far as the connection and the fields of proxies say it."""

from __future__ import annotations

import logging

import pytest

from anycore.identity.forwarded import ForwardedError
from anycore.identity.forwarding import PROXY_FIELDS, Forwarding, Rules
from anycore.kernel.call import Identity, Peer

NEAR = Peer.of_address(("127.0.0.1", 4711))
SOCKET = Peer.of_address("", process=(1, 33, 33))
FAR = Peer.of_address(("192.0.2.7", 4711), "TLSv1.3", b"certificate")


@pytest.mark.parametrize("peer", [NEAR, SOCKET, FAR, Peer("memory"), Peer("stdio")])
def test_whoever_sends_nothing_of_proxies_is_the_other_end_itself(peer: Peer) -> None:
    assert Forwarding().sender(peer, {"host": "localhost"}) is peer
    assert Forwarding(["10.0.0.1"]).sender(peer, {"host": "localhost"}) is peer


@pytest.mark.parametrize("peer", [NEAR, SOCKET, Peer("memory"), Peer.of_address(("::1", 1))])
@pytest.mark.parametrize("field", PROXY_FIELDS)
def test_what_an_unlisted_proxy_sends_on_is_not_of_this_machine(peer: Peer, field: str) -> None:
    found = Forwarding().sender(peer, {field: "127.0.0.1"})
    assert not found.local and (found.host, found.port, found.transport) == (peer.host, peer.port, peer.transport)
    assert found.uid is None and found.gid is None and found.pid is None  # the proxy's user has not called


def test_a_field_of_ones_own_is_one_of_proxies_too() -> None:
    assert not Forwarding(field="X-Client").sender(NEAR, {"x-client": ""}).local


def test_other_machines_may_send_what_they_like() -> None:
    assert Forwarding().sender(FAR, dict.fromkeys(PROXY_FIELDS, "127.0.0.1")) is FAR


@pytest.mark.parametrize(("proxy", "by"), [(NEAR, "127.0.0.1"), (FAR, "192.0.2.7"), (SOCKET, "unix")])
def test_a_listed_proxy_names_the_caller(proxy: Peer, by: str) -> None:
    forwarding = Forwarding(["127.0.0.0/8", "192.0.2.7", "unix"])
    found = forwarding.sender(proxy, {"x-forwarded-for": "127.0.0.1, 198.51.100.2", "x-real-ip": "127.0.0.1"})
    assert (found.transport, found.host, found.port, found.local, found.proxy) == ("tcp", "198.51.100.2", 0, False, by)
    assert found.certificate is None and found.uid is None and found.tls == proxy.tls
    assert str(found) == "198.51.100.2"


@pytest.mark.parametrize("claim", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "6.6.6.6, 127.0.0.1"])
@pytest.mark.parametrize("proxies", [["127.0.0.1"], ["unix"]])
def test_nobody_is_of_this_machine_because_a_proxy_says_so(claim: str, proxies: list[str]) -> None:
    peer = SOCKET if proxies == ["unix"] else NEAR
    assert not Forwarding(proxies).sender(peer, {"x-forwarded-for": claim}).local


def test_a_listed_proxy_that_names_nobody_is_not_of_this_machine_either(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        found = Forwarding(["127.0.0.1"]).sender(NEAR, {})
    assert (found.host, found.local, found.proxy) == ("127.0.0.1", False, "127.0.0.1")
    assert "the proxy 127.0.0.1 names no address in X-Forwarded-For" in caplog.text
    caplog.clear()
    assert not Forwarding(["127.0.0.1"], field="").sender(NEAR, {"x-forwarded-for": "1.2.3.4"}).local
    assert not caplog.records


def test_only_the_field_that_is_set_is_read() -> None:
    fields = {"forwarded": "for=198.51.100.1", "x-forwarded-for": "198.51.100.2", "x-real-ip": "198.51.100.3"}
    for number, field in enumerate(("Forwarded", "X-Forwarded-For", "X-Real-IP"), 1):
        assert Forwarding(["192.0.2.7"], field).sender(FAR, fields).host == f"198.51.100.{number}"


def test_a_field_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ForwardedError):
        Forwarding(["192.0.2.7"]).sender(FAR, {"x-forwarded-for": "unknown"})


def test_a_host_that_somebody_else_has_named_already_is_no_proxy() -> None:
    named = Peer("tcp", "192.0.2.7", local=False, proxy="server")
    forwarding = Forwarding(["192.0.2.7"], names=["x-user"])
    assert forwarding.sender(named, {"x-forwarded-for": "198.51.100.1"}) is named
    assert named not in forwarding.rules.proxies


def test_the_log_says_once_in_a_while_how_to_list_a_proxy(caplog: pytest.LogCaptureFixture) -> None:
    times = iter((0.0, 1.0, 599.0, 601.0, 2000.0))
    forwarding = Forwarding(clock=lambda: next(times))
    with caplog.at_level(logging.WARNING):
        for _ in range(4):
            forwarding.sender(NEAR, {"via": "1.1 nginx"})
        assert len(caplog.records) == 2
        assert "it has the field via), and is none of the proxies" in caplog.text
        assert 'set proxies = ["127.0.0.1"] in [authentication]' in caplog.text
        forwarding.sender(SOCKET, {"via": "1.1 nginx"})
        assert 'set proxies = ["unix"]' in caplog.text


def test_other_rules_count_at_once() -> None:
    forwarding = Forwarding()
    assert not forwarding.sender(FAR, {"x-forwarded-for": "198.51.100.1"}).proxy
    forwarding.rules = Rules(["192.0.2.7"], "X-Forwarded-For", ())
    assert forwarding.sender(FAR, {"x-forwarded-for": "198.51.100.1"}).host == "198.51.100.1"


def test_what_the_listener_knew_of_the_proxy_is_not_said_of_its_callers() -> None:
    peer = Peer("tcp", "192.0.2.7", 1, local=False, identity=Identity("proxy", "rpyc"))
    assert Forwarding(["192.0.2.7"]).sender(peer, {"x-forwarded-for": "198.51.100.1"}).identity is None
