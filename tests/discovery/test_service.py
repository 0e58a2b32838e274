"""What a registry answers, and that no bytes whatever harm it."""

from __future__ import annotations

import logging
import random
from typing import Any

import pytest

from anycore.discovery.registry import Change, LeaseTable, State
from anycore.discovery.service import RegistryService, plain_host
from anycore.kernel.call import Peer
from anycore.wire import brine
from anycore.wire.registry import (
    ListNames,
    Query,
    Register,
    Server,
    Unregister,
    decode_done,
    decode_names,
    decode_servers,
    encode_request,
)

PEER = Peer("udp", "10.0.0.1", 40000)
SEED = 20_000


def ask(service: RegistryService, request: Any, peer: Peer = PEER) -> bytes:
    answer = service.answer_datagram(encode_request(request), peer)
    assert answer is not None
    return answer


def test_registration_discovery_listing_and_the_end_of_it() -> None:
    service = RegistryService(LeaseTable(), listing=True)
    decode_done(ask(service, Register(("Echo", "SUM"), 18861)))
    decode_done(ask(service, Register(("ECHO",), "/run/x.sock"), Peer("udp", "10.0.0.2", 1)))
    assert decode_servers(ask(service, Query("eCHo"))) == (Server("10.0.0.1", 18861), Server("10.0.0.2", "/run/x.sock"))
    assert decode_names(ask(service, ListNames())) == ("ECHO", "SUM")
    assert decode_names(ask(service, ListNames("10.0.0.2"))) == ("ECHO",)
    decode_done(ask(service, Unregister(18861)))
    decode_done(ask(service, Unregister(18861)))
    assert decode_servers(ask(service, Query("ECHO"))) == (Server("10.0.0.2", "/run/x.sock"),)
    assert service.incidents.counts() == {}


def test_listing_is_off_unless_allowed() -> None:
    service = RegistryService(LeaseTable())
    decode_done(ask(service, Register(("ECHO",), 1)))
    assert decode_names(ask(service, ListNames())) is None


def test_time_alone_prunes(clock: Any) -> None:
    changes: list[Change] = []
    service = RegistryService(LeaseTable(clock=clock, lifetime=5), on_change=changes.append)
    assert service.prune() is None
    ask(service, Register(("ECHO",), 1))
    assert service.prune() == 5
    clock.now += 5
    assert service.prune() is None
    assert [change.state for change in changes] == [State.REGISTERED, State.PRUNED]


def test_a_registration_beyond_the_limits_is_counted_and_not_answered(caplog: pytest.LogCaptureFixture) -> None:
    service = RegistryService(LeaseTable(max_names=1))
    assert service.answer_datagram(encode_request(Register(("A", "B"), 1)), PEER) is None
    assert service.incidents.counts() == {"registry-full": 1}
    assert "10.0.0.1:40000: 2 services in one registration" in caplog.text


def test_who_watches_cannot_stop_the_registry(caplog: pytest.LogCaptureFixture) -> None:
    def fail(change: Change) -> None:
        raise ZeroDivisionError

    service = RegistryService(LeaseTable(), on_change=fail)
    decode_done(ask(service, Register(("ECHO",), 1)))
    assert "what was to be told of ECHO at 10.0.0.1:1 registered failed" in caplog.text


def test_an_ipv4_client_of_an_ipv6_socket_is_registered_by_its_ipv4_address() -> None:
    service = RegistryService(LeaseTable())
    ask(service, Register(("ECHO",), 1), Peer("udp", "::ffff:10.0.0.9", 1))
    assert decode_servers(ask(service, Query("ECHO"))) == (Server("10.0.0.9", 1),)
    assert plain_host("fe80::1%eth0") == "fe80::1%eth0"
    assert plain_host("::1") == "::1"
    assert plain_host("::ffff:0:1") == "::ffff:0:1"


@pytest.mark.parametrize(
    "value",
    [
        ("RPYX", "QUERY", ("A",)),
        ("RPYC", "NOTHING", ()),
        ("RPYC", "REGISTER", (("A",), 0)),
        ("RPYC", "REGISTER", (("A",), 1, 2)),
        ("RPYC", "REGISTER", (("A",), b"\xff")),
        ("RPYC", "LIST", ("A",)),
        "RPYC",
        None,
    ],
)
def test_what_is_no_request_gets_no_answer(value: Any, caplog: pytest.LogCaptureFixture) -> None:
    service = RegistryService(LeaseTable())
    assert service.answer_datagram(brine.dump(value), PEER) is None
    assert service.incidents.counts() == {"registry-datagram": 1}
    assert "10.0.0.1:40000" in caplog.text


def test_twenty_thousand_hostile_datagrams(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    chance = random.Random(SEED)
    service = RegistryService(LeaseTable(max_leases=500, max_leases_per_host=200), listing=True)
    corpus = [
        encode_request(request)
        for request in (Query("A"), ListNames(), ListNames("h"), Register(("A", "B"), 7), Register(("C",), "/p"))
    ] + [encode_request(Unregister(7)), b""]
    answered = 0
    for number in range(20_000):
        data = bytearray(chance.choice(corpus))
        for _ in range(chance.randrange(4)):
            at = chance.randrange(len(data) + 1)
            kind = chance.randrange(4)
            if kind == 0:
                data[at : at + 1] = bytes([chance.randrange(256)])
            elif kind == 1:
                del data[at : at + chance.randrange(1, 9)]
            elif kind == 2:
                data[at:at] = chance.randbytes(chance.randrange(1, 9))
            else:
                data *= chance.randrange(1, 4)
        answer = service.answer_datagram(bytes(data), Peer("udp", f"10.0.0.{number % 4}", number))
        assert answer is None or len(answer) <= 15_000
        answered += answer is not None
        assert len(service.table) <= 500
    counts = service.incidents.counts()
    assert set(counts) <= {"registry-datagram", "registry-full"}
    assert answered + sum(counts.values()) == 20_000
    assert answered > 1000
    decode_servers(ask(service, Query("A")))
