from __future__ import annotations

import time

import pytest

from anycore.kernel.call import UNIDENTIFIED, Call, Outcome, Peer, current_call, is_loopback
from anycore.wire.faults import DEADLINE_EXCEEDED, Fault


@pytest.mark.parametrize(
    ("address", "text", "local"),
    [
        (("127.0.0.1", 5), "127.0.0.1:5", True),
        (("127.9.9.9", 5), "127.9.9.9:5", True),
        (("::1", 5, 0, 0), "[::1]:5", True),
        (("::ffff:127.0.0.1", 5, 0, 0), "[::ffff:127.0.0.1]:5", True),
        (("::ffff:10.0.0.1", 5, 0, 0), "[::ffff:10.0.0.1]:5", False),
        (("10.0.0.1", 5), "10.0.0.1:5", False),
        (("fe80::1%eth0", 5, 0, 2), "[fe80::1%eth0]:5", False),
        ("", "unix", True),
        (b"\0abstract", "unix", True),
    ],
)
def test_peer_is_made_of_what_getpeername_returns(address: object, text: str, local: bool) -> None:
    peer = Peer.of_address(address)

    assert str(peer) == text
    assert peer.local is local


def test_peer_keeps_tls_and_certificate() -> None:
    peer = Peer.of_address(("10.0.0.1", 5), "TLSv1.3", b"der")

    assert (peer.transport, peer.host, peer.port, peer.tls, peer.certificate) == (
        "tcp",
        "10.0.0.1",
        5,
        "TLSv1.3",
        b"der",
    )


@pytest.mark.parametrize("host", ["", "localhost", "127.0.0.1.example.org", "999.0.0.1"])
def test_what_is_no_address_is_no_loopback(host: str) -> None:
    assert not is_loopback(host)


def test_a_call_from_memory_is_local_and_anonymous() -> None:
    call = Call("a.b")

    assert call.peer.local
    assert call.identity is UNIDENTIFIED
    assert str(call.peer) == "memory"


def test_calls_are_numbered() -> None:
    first, second = Call("a.b"), Call("a.b")

    assert second.number > first.number


def test_a_call_without_deadline_has_no_end() -> None:
    call = Call("a.b")

    assert call.remaining() is None
    call.check_deadline()


def test_a_call_knows_what_time_is_left() -> None:
    call = Call("a.b", deadline=time.monotonic() + 100)

    assert 99 < (call.remaining() or 0) <= 100
    call.check_deadline()


def test_a_call_whose_deadline_has_passed_says_so() -> None:
    call = Call("a.b", deadline=time.monotonic() - 1)

    with pytest.raises(Fault, match=r"^a\.b: the call's deadline passed 1\.\d{3} s ago; ask for more time") as caught:
        call.check_deadline()
    assert caught.value.code == DEADLINE_EXCEEDED


def test_an_outcome_is_a_value_or_a_fault() -> None:
    fault = Fault(5, "no")

    assert Outcome(7).unwrap() == 7
    with pytest.raises(Fault) as caught:
        Outcome(fault=fault).unwrap()
    assert caught.value is fault


def test_no_call_runs_outside_of_methods() -> None:
    with pytest.raises(LookupError, match=r"current_call\(\) works in exposed methods"):
        current_call()


def test_a_peer_whose_address_is_unknown_is_not_taken_for_local() -> None:
    peer = Peer.of_address(None)
    assert not peer.local
    assert peer.transport == "tcp"
