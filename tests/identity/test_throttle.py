from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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


def test_the_memory_is_bounded_and_the_last_failures_stay(throttle: Throttle, clock: Any) -> None:
    fail(throttle, 5)
    for number in range(2000):
        clock.now += 0.001
        fail(throttle, 1, Peer("tcp", f"10.0.{number // 256}.{number % 256}", local=False), f"user{number}")
        if number % 10 == 0:
            fail(throttle, 1)
    assert throttle.wait(PEER) > 0
    assert len(throttle._addresses._memory) == 100 * 20


FORKING = """
import os
from anycore.identity.throttle import Throttle
from anycore.kernel.call import Peer

throttle, peer = Throttle(attempts=3, clock=lambda: 1000.0), Peer("tcp", "192.0.2.1", local=False)
for _ in range(5):
    child = os.fork()
    if child == 0:
        throttle.failed(peer, "alice")
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
assert throttle.wait(peer) == 2, throttle.wait(peer)
"""


def test_processes_that_are_forked_count_together() -> None:
    subprocess.run([sys.executable, "-c", FORKING], check=True, timeout=60)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from("fsw"), st.floats(0, 20)), max_size=60))
def test_it_counts_as_a_dict_would(steps: list[tuple[int, str, float]]) -> None:
    now = [0.0]
    throttle = Throttle(attempts=1, longest=8.0, most=4096, clock=lambda: now[0])
    users: dict[str, list[float]] = {}
    for who, what, later in steps:
        now[0] += later
        user = f"user{who}"
        if what == "f":
            throttle.failed(Peer("tcp", f"10.0.{len(users)}.{who}", local=False), user)
            before = users.get(user, [])
            users[user] = [*(before if before and now[0] - before[-1] <= 80 else []), now[0]]
        elif what == "s":
            throttle.succeeded(user)
            users.pop(user, None)
        failures = users.get(user, [])
        expected = failures[-1] + min(8.0, 2.0 ** (len(failures) - 5)) - now[0] if len(failures) > 4 else 0.0
        assert max(0.0, throttle.wait(OTHER, user)) == pytest.approx(max(0.0, expected))


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
