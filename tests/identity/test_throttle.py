from __future__ import annotations

from typing import Any

import pytest

from anycore.identity.throttle import Throttle
from anycore.kernel.authentication import AuthenticationFault
from anycore.kernel.call import Peer

PEER, OTHER = Peer("tcp", "192.0.2.1", local=False), Peer("tcp", "198.51.100.9", local=False)


@pytest.fixture
def throttle(clock: Any) -> Throttle:
    return Throttle(attempts=3, longest=8.0, most=100, clock=clock)


def fail(throttle: Throttle, times: int, peer: Peer = PEER, user: str = "") -> None:
    for _ in range(times):
        throttle.failed(peer, user)


def test_the_first_failures_cost_nothing_and_each_further_one_twice_as_much(throttle: Throttle, clock: Any) -> None:
    fail(throttle, 3)
    assert throttle.wait(PEER) == 0
    waits = []
    for _ in range(6):
        throttle.failed(PEER)
        waits.append(throttle.wait(PEER))
        clock.now += waits[-1]
        assert throttle.wait(PEER) <= 0
    assert waits == [1, 2, 4, 8, 8, 8]


def test_whoever_comes_too_early_is_told_when_to_come_again(throttle: Throttle, clock: Any) -> None:
    fail(throttle, 5)
    clock.now += 0.5
    with pytest.raises(AuthenticationFault, match="try again in 2 s") as caught:
        throttle.check(PEER)
    assert caught.value.retry_after == 2 and caught.value.data == {"retry_after": 2.0}
    throttle.check(OTHER)


def test_a_user_is_slowed_wherever_the_guesses_come_from(throttle: Throttle) -> None:
    for number in range(13):
        throttle.failed(Peer("tcp", f"192.0.2.{number}", local=False), "alice")
    assert throttle.wait(OTHER, "alice") == 1
    assert throttle.wait(OTHER, "bob") == 0
    throttle.succeeded("alice")
    throttle.succeeded("nobody")
    assert throttle.wait(OTHER, "alice") == 0


def test_to_sign_in_as_oneself_does_not_help_to_guess_others(throttle: Throttle) -> None:
    for _ in range(5):
        throttle.failed(PEER, "alice")
        throttle.succeeded("mallory")
    assert throttle.wait(PEER, "alice") == 2


def test_failures_are_forgotten(throttle: Throttle, clock: Any) -> None:
    fail(throttle, 9)
    clock.now += 81
    fail(throttle, 1)
    assert throttle.wait(PEER) == 0


def test_the_memory_is_bounded(throttle: Throttle) -> None:
    for number in range(1000):
        fail(throttle, 1, Peer("tcp", f"10.0.{number // 256}.{number % 256}", local=False), f"user{number}")
    assert len(throttle._addresses) == len(throttle._users) == 100


def test_a_site_of_ipv6_is_one_address(throttle: Throttle) -> None:
    for number in range(5):
        throttle.failed(Peer("tcp", f"2001:db8:1:2::{number}", local=False))
    assert throttle.wait(Peer("tcp", "2001:db8:1:2:ffff::1", local=False)) == 2
    assert throttle.wait(Peer("tcp", "2001:db8:1:3::1", local=False)) == 0


@pytest.mark.parametrize(
    ("one", "same"),
    [
        (Peer("tcp", "::ffff:192.0.2.1", local=False), PEER),
        (Peer("unix", uid=7), Peer("unix", uid=7, pid=9)),
        (Peer("tcp", "fe80::1%eth0", local=False), Peer("tcp", "fe80::2%eth1", local=False)),
        (Peer("tcp", "a:b", local=False), Peer("tcp", "a:b", local=False)),
    ],
)
def test_addresses_that_are_counted_together(throttle: Throttle, one: Peer, same: Peer) -> None:
    fail(throttle, 4, one)
    assert throttle.wait(same) == 1


def test_it_can_be_turned_off(clock: Any) -> None:
    throttle = Throttle(attempts=0, clock=clock)
    fail(throttle, 100, user="alice")
    assert throttle.wait(PEER, "alice") == 0
