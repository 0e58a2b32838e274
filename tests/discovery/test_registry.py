"""The table of leases, with a clock that goes when told."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anycore.discovery.registry import ENDS, TRANSITIONS, Event, LeaseTable, RegistryFullError, State
from anycore.wire.registry import Server

A, B = "10.0.0.1", "10.0.0.2"


def test_the_table_of_states_has_a_way_for_every_event_but_those_of_what_is_not_there() -> None:
    missing = set(itertools.product(State, Event)) - set(TRANSITIONS)
    assert missing == {(end, event) for end in ENDS for event in Event} | {
        (State.ABSENT, Event.UNREGISTER),
        (State.ABSENT, Event.EXPIRE),
    }


def test_a_lease_is_registered_refreshed_and_pruned(clock: Any) -> None:
    table = LeaseTable(clock=clock, lifetime=240)
    assert [str(change) for change in table.register(A, ["ECHO"], 18861)] == ["ECHO at 10.0.0.1:18861 registered"]
    assert table.next_end() == 240
    clock.now += 239
    assert [change.state for change in table.register(A, ["ECHO"], 18861)] == [State.REFRESHED]
    clock.now += 239
    assert table.prune() == []
    assert table.servers("ECHO") == (Server(A, 18861),)
    clock.now += 1
    assert table.servers("ECHO") == ()  # by the clock, pruned or not
    assert table.names() == table.names(A) == ()
    assert table.next_end() == 0
    assert [(change.name, change.state) for change in table.prune()] == [("ECHO", State.PRUNED)]
    assert table.next_end() is None
    assert len(table) == 0


def test_a_lease_that_has_ended_is_pruned_before_it_is_registered_anew(clock: Any) -> None:
    table = LeaseTable(clock=clock, lifetime=10)
    table.register(A, ["ECHO"], 1)
    clock.now += 10
    assert [change.state for change in table.register(A, ["ECHO"], 1)] == [State.PRUNED, State.REGISTERED]
    clock.now += 10
    assert [change.state for change in table.unregister(A, 1)] == [State.PRUNED]


def test_who_has_been_there_longest_comes_first_refreshed_or_not() -> None:
    table = LeaseTable()
    table.register(A, ["X", "Y"], 1)
    table.register(B, ["Z", "X"], "/run/x.sock")
    table.register(A, ["X"], 1)
    assert table.servers("X") == (Server(A, 1), Server(B, "/run/x.sock"))
    assert table.names() == ("X", "Y", "Z")
    assert table.names(B) == ("Z", "X")
    assert table.names("10.0.0.3") == ()


def test_only_a_host_itself_unregisters_and_only_at_the_port_it_names() -> None:
    table = LeaseTable()
    table.register(A, ["X", "Y"], 1)
    table.register(A, ["X"], 2)
    assert table.unregister(B, 1) == []
    assert table.unregister(A, 3) == []
    assert [(change.name, change.state) for change in table.unregister(A, 1)] == [
        ("X", State.UNREGISTERED),
        ("Y", State.UNREGISTERED),
    ]
    assert table.servers("X") == (Server(A, 2),)
    assert table.names() == ("X",)


def test_a_registration_beyond_a_limit_changes_nothing() -> None:
    table = LeaseTable(max_leases=3, max_leases_per_host=2, max_names=2)
    with pytest.raises(RegistryFullError, match=r"3 services in one registration, and max_names allows 2; raise it"):
        table.register(A, ["X", "Y", "Z"], 1)
    assert len(table) == 0
    table.register(A, ["X", "Y", "Y"], 1)
    with pytest.raises(RegistryFullError, match=r"registrations of 10\.0\.0\.1, and max_leases_per_host allows 2"):
        table.register(A, ["Z"], 1)
    table.register(B, ["X"], 1)
    with pytest.raises(RegistryFullError, match=r"4 registrations, and max_leases allows 3"):
        table.register(B, ["X", "Y"], 1)
    assert len(table) == 3
    assert [change.state for change in table.register(A, ["X", "Y"], 1)] == [State.REFRESHED] * 2  # full, yet refreshed
    table.unregister(A, 1)
    table.register(B, ["Y"], 1)


@pytest.mark.parametrize("lifetime", [0, -1, float("nan")])
def test_a_lifetime_is_positive(lifetime: float) -> None:
    with pytest.raises(ValueError, match="give more than 0"):
        LeaseTable(lifetime=lifetime)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["register", "unregister", "wait"]),
        st.sampled_from([A, B]),
        st.lists(st.sampled_from("XYZ"), max_size=3),
        st.sampled_from([1, "/s"]),
        st.integers(0, 6),
    ),
    max_size=30,
)


@given(STEPS)
@settings(max_examples=200, deadline=None)
def test_the_table_says_what_a_plain_dictionary_says(steps: list[tuple[str, str, list[str], int | str, int]]) -> None:
    now = [0.0]
    table = LeaseTable(clock=lambda: now[0], lifetime=10)
    plain: dict[tuple[str, Server], float] = {}
    for what, host, names, port, seconds in steps:
        server = Server(host, port)
        if what == "register":
            table.register(host, names, port)
            plain |= {(name, server): now[0] + 10 for name in names}
        elif what == "unregister":
            table.unregister(host, port)
            plain = {key: until for key, until in plain.items() if key[1] != server}
        else:
            now[0] += seconds
        plain = {key: until for key, until in plain.items() if until > now[0]}
        for name in "XYZ":
            assert set(table.servers(name)) == {key[1] for key in plain if key[0] == name}
        assert set(table.names()) == {key[0] for key in plain}
        assert set(table.names(A)) == {key[0] for key in plain if key[1].host == A}
        table.prune()
        assert len(table) == len(plain)
        assert table.next_end() == min((until - now[0] for until in plain.values()), default=None)
