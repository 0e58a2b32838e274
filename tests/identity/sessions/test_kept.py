from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from anycore.identity.sessions.kept import SessionError, Sessions
from anycore.identity.sessions.record import Session
from anycore.kernel.call import Identity
from anycore.store import Store

Make = Callable[..., Sessions]
ALICE = Identity("alice", "certificate", dn="/DC=org/CN=Alice", names=("cn:Alice",))
BOB = Identity("bob", "certificate", dn="/DC=org/CN=Bob")


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def new(
    sessions: Sessions, name: str, who: Identity = ALICE, secret: bytes = b"s" * 20, address: str = "192.0.2.1"
) -> Session:
    return sessions.new(name, secret, who, address=address, tls=False, how="system.auth")


def begin(sessions: Sessions, name: str, who: Identity = ALICE, secret: bytes = b"s" * 20) -> Session:
    session = new(sessions, name, who, secret)
    sessions.begin(session)
    return session


def test_a_session_outlives_what_began_it(make_sessions: Make) -> None:
    begin(make_sessions(), "name-one")
    found = make_sessions().verify("name-one", b"s" * 20)
    assert found is not None
    assert found.identity == Identity("alice", "session", dn="/DC=org/CN=Alice", names=("cn:Alice",))
    assert make_sessions().verify("name-one", b"t" * 20) is None
    assert make_sessions().verify("name-two", b"s" * 20) is None


def test_the_secret_is_nowhere_in_the_store(make_sessions: Make, store: Store) -> None:
    sessions = make_sessions()
    secret = bytes(range(100, 120))
    begin(sessions, "name-one", secret=secret)
    sessions.challenge(new(sessions, "name-two", secret=secret))
    kept = b"".join(key + value for key, value in store.scan())
    assert b"name-one" in kept
    assert secret not in kept
    assert secret.hex().encode() not in kept


def test_a_secret_of_one_session_is_none_of_another(make_sessions: Make) -> None:
    sessions = make_sessions()
    one, two = begin(sessions, "name-one"), begin(sessions, "name-two")
    assert one.proof != two.proof


def test_a_session_ends_when_it_is_not_used(make_sessions: Make) -> None:
    clock = Clock()
    sessions = make_sessions(clock, idle_time=100.0, lifetime=1000.0)
    begin(sessions, "name-one")
    for _ in range(9):
        clock.now += 99
        found = sessions.find("name-one")
        assert found is not None
        assert sessions.touch(found)
    clock.now += 100
    assert sessions.find("name-one") is None
    assert list(sessions.all()) == []


def test_a_session_ends_even_if_it_is_used(make_sessions: Make) -> None:
    clock = Clock()
    sessions = make_sessions(clock, idle_time=100.0, lifetime=250.0)
    begin(sessions, "name-one")
    for _ in range(3):
        clock.now += 80
        found = sessions.find("name-one")
        assert found is not None
        sessions.touch(found)
    clock.now += 20
    assert sessions.find("name-one") is None


def test_not_every_use_is_written_down(make_sessions: Make) -> None:
    clock = Clock()
    sessions = make_sessions(clock, idle_time=100.0)
    session = begin(sessions, "name-one")
    clock.now += 4
    assert not sessions.touch(session)
    clock.now += 2
    assert sessions.touch(session)


def test_using_a_session_that_has_ended_does_not_bring_it_back(make_sessions: Make) -> None:
    clock = Clock()
    sessions = make_sessions(clock)
    session = begin(sessions, "name-one")
    assert sessions.end("name-one")
    assert not sessions.end("name-one")
    clock.now += 1000
    assert not sessions.touch(session)
    assert sessions.find("name-one") is None


def test_a_session_begun_anew_has_one_secret_only(make_sessions: Make) -> None:
    sessions = make_sessions()
    begin(sessions, "name-one", secret=b"1" * 20)
    begin(sessions, "name-one", secret=b"2" * 20)
    assert sessions.verify("name-one", b"1" * 20) is None
    assert sessions.verify("name-one", b"2" * 20) is not None
    assert len(list(sessions.all())) == 1


def test_nobody_takes_the_session_of_another(make_sessions: Make) -> None:
    sessions = make_sessions()
    begin(sessions, "name-one")
    with pytest.raises(SessionError, match="somebody else has a session of that name"):
        begin(sessions, "name-one", BOB)
    sessions.challenge(new(sessions, "name-one", BOB, b"b" * 20))
    with pytest.raises(SessionError, match="somebody else has a session of that name"):
        sessions.redeem("name-one", b"b" * 20)
    found = sessions.find("name-one")
    assert found is not None
    assert found.user == "alice"


def test_an_identity_has_so_many_sessions_and_the_one_used_least_lately_goes(make_sessions: Make) -> None:
    clock = Clock()
    sessions = make_sessions(clock, per_identity=3)
    for number in range(3):
        clock.now += 1
        begin(sessions, f"name-{number}")
    clock.now += 1000
    found = sessions.find("name-0")
    assert found is not None
    sessions.touch(found)
    begin(sessions, "name-bob", BOB)
    begin(sessions, "name-3")
    assert sorted(session.name for session in sessions.all()) == ["name-0", "name-2", "name-3", "name-bob"]


def test_there_are_so_many_sessions_in_all(make_sessions: Make) -> None:
    clock = Clock()
    sessions = make_sessions(clock, sessions=3, idle_time=0.05, lifetime=1000.0)
    for number in range(3):
        begin(sessions, f"name-{number}")
    with pytest.raises(SessionError, match="there are 3 sessions"):
        begin(sessions, "name-3", BOB)
    sessions.end("name-1")
    begin(sessions, "name-3", BOB)


def test_those_that_ended_by_themselves_take_no_place(make_sessions: Make, store: Store) -> None:
    sessions = make_sessions(sessions=2, idle_time=0.001)
    for number in range(20):
        begin(sessions, f"name-{number}", Identity(f"user{number}", "certificate"))
        while store.get(b"sessions\0session/name-%d" % number) is not None:
            pass


def test_a_challenge_is_answered_once(make_sessions: Make) -> None:
    sessions = make_sessions(challenge=True)
    sessions.challenge(new(sessions, "name-one"))
    assert sessions.find("name-one") is None
    assert sessions.redeem("name-one", b"x" * 20) is None
    assert sessions.redeem("name-two", b"s" * 20) is None
    assert sessions.redeem("name-one", b"s" * 20) is not None
    assert sessions.redeem("name-one", b"s" * 20) is None
    sessions.end("name-one")
    assert sessions.redeem("name-one", b"s" * 20) is None
    assert sessions.verify("name-one", b"s" * 20) is None


def test_a_challenge_does_not_wait_for_ever(make_sessions: Make) -> None:
    clock = Clock()
    sessions = make_sessions(clock, challenge_time=60.0)
    sessions.challenge(new(sessions, "name-one"))
    clock.now += 61
    assert sessions.redeem("name-one", b"s" * 20) is None


def test_challenges_of_others_for_the_same_name_do_not_disturb(make_sessions: Make) -> None:
    sessions = make_sessions()
    sessions.challenge(new(sessions, "name-one", secret=b"a" * 20))
    sessions.challenge(new(sessions, "name-one", BOB, secret=b"b" * 20))
    assert sessions.redeem("name-one", b"a" * 20) is not None


def test_challenges_are_bounded_per_address_and_in_all(make_sessions: Make) -> None:
    clock = Clock()
    sessions = make_sessions(clock, challenges=5, challenges_per_address=3)

    def ask(address: str) -> Any:
        sessions.challenge(new(sessions, "name-one", address=address))

    for _ in range(3):
        ask("192.0.2.1")
    with pytest.raises(SessionError, match=r"3 challenges were asked for from 192\.0\.2\.1 within a minute"):
        ask("192.0.2.1")
    ask("192.0.2.2")
    ask("192.0.2.2")
    with pytest.raises(SessionError, match="5 challenges were asked for in all within a minute"):
        ask("192.0.2.3")
    clock.now += 60
    ask("192.0.2.1")


def test_ending_all(make_sessions: Make) -> None:
    sessions = make_sessions()
    for number in range(3):
        begin(sessions, f"name-{number}")
    begin(sessions, "name-bob", BOB)
    assert sessions.end_all("/DC=org/CN=Alice") == 3
    assert [session.name for session in sessions.all()] == ["name-bob"]
    assert sessions.end_all() == 1
