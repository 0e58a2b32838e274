"""What is wrong with the original and must not be here (spec/rpyc.md section 24): which tests show it, and those that are nowhere else."""

from __future__ import annotations

import ast
import functools
import inspect
import logging
import pickle
from pathlib import Path
from typing import Any

import pytest

from anycore.cores.pump import Pump
from anycore.objects.connection import Connection
from anycore.objects.proxy import is_proxy
from anycore.testing.linked import linked
from anycore.wire import rpyc_constants as wire

ALL = {"allow_all_attrs": True}
TESTS = Path(__file__).parent.parent

DEFECTS: dict[str, list[str]] = {
    "1 small messages wait for acknowledgements; three writes for a frame": [
        "rpyc/test_connecting.py::test_over_tcp",
        "cores/test_pump.py::test_answers_that_are_ready_at_once_are_written_in_one_go",
        "testing/test_core.py::test_a_broken_core_fails",
        "rpyc/test_defects.py::test_a_frame_is_one_write",
    ],
    "2 the server with a pool polls, authenticates where it accepts, leaves connections hanging": [
        "compat/test_servers.py::test_closing_ends_every_connection",
        "compat/test_servers.py::test_a_server_that_never_started_can_be_closed",
        "compat/test_servers.py::test_the_pool_serves_more_connections_than_it_has_threads",
        "compat/test_servers.py::test_silent_tls_clients_are_in_nobodys_way_and_are_cut",
    ],
    "3 clients give up a server that does not read for three seconds": [
        "rpyc/test_defects.py::test_a_peer_that_does_not_read_has_time",
        "cores/test_pump.py::test_a_peer_that_takes_nothing_is_given_up",
        "cores/test_pump.py::test_both_may_send_more_than_fits_at_the_same_time",
    ],
    "4 no limit on frames, inflation, nesting, connections, authentication, silence": [
        "conversations/test_rpyc.py::test_hostile_bytes_end_the_connection_with_one_line_and_little_memory",
        "wire/test_rpyc.py::test_inflation_is_bounded",
        "wire/test_brine.py::test_depth_is_limited_without_recursion",
        "wire/test_brine.py::test_digits_are_limited",
        "objects/test_table.py::test_the_limit_is_kept_and_says_what_to_do",
        "compat/test_servers.py::test_connections_above_the_limit_are_refused",
        "server/test_greeting.py::test_whoever_says_nothing_is_in_nobodys_way_and_closed_in_time",
        "cores/test_silence.py::test_who_says_nothing_is_sent_away_where_that_is_asked_for",
        "cores/test_silence.py::test_half_a_message_is_not_waited_for_longer_than_it_may_take",
        "discovery/test_server.py::test_silent_tcp_clients_block_nobody",
    ],
    "5 exposed properties run twice": ["objects/test_policy.py::test_a_property_runs_once_per_read"],
    "6 uses of an object are not checked; what a peer sends is unpickled": [
        "objects/test_policy.py::test_every_use_can_be_forbidden",
        "rpyc/test_defects.py::test_nothing_that_a_peer_sends_is_unpickled_unasked",
        "rpyc/test_classic.py::test_obtain_needs_the_other_sides_consent",
    ],
    "7 TLS clients outlive the server; one silent client blocks them all": [
        "compat/test_servers.py::test_closing_ends_tls_connections_as_well",
        "compat/test_servers.py::test_silent_tls_clients_are_in_nobodys_way_and_are_cut",
    ],
    "8 sockets are closed by the garbage collector": ["cores/test_pump.py::test_no_socket_is_left_to_the_collector"],
    "9 children of others are reaped": ["compat/test_servers.py::test_a_forking_server_takes_nobody_elses_children"],
    "10 types are inspected again for each object": ["rpyc/test_defects.py::test_a_type_is_inspected_once"],
    "11 whoever waits runs whatever comes; threads are left": [
        "objects/test_connection.py::test_a_callback_that_waits_for_a_lock_of_another_caller_does_not_keep_that_one_from_its_answer",
        "objects/test_connection.py::test_many_threads_on_one_connection",
        "cores/test_pump.py::test_calls_nested_too_deeply_are_refused_and_the_connection_lives",
        "rpyc/test_helpers.py::test_serving_in_the_background",
    ],
    "12 ids are used again, and are the same from two peers": [
        "objects/test_table.py::test_numbers_are_never_used_again",
        "rpyc/test_defects.py::test_objects_of_two_peers_behind_a_third_are_told_apart",
    ],
    "13 log_exceptions does nothing; what the documents say of defaults is not so": [
        "rpyc/test_defects.py::test_exceptions_are_logged_unless_that_is_off",
        "compat/test_names.py::test_signatures",
        "cli/test_registry.py::test_every_switch_of_the_original",
    ],
    "14 on_disconnect is not always called": [
        "rpyc/test_endings.py::test_on_disconnect_is_called_once_where_the_connection_was_served",
        "rpyc/test_endings.py::test_on_disconnect_is_called_though_a_call_outlives_the_server",
        "rpyc/test_service.py::test_a_service_is_told_once_of_the_end_however_it_comes",
    ],
}


@functools.cache
def names_in(path: str) -> frozenset[str]:
    """Return the names of the functions of a file."""
    tree = ast.parse((TESTS / path).read_text())
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))


@pytest.mark.parametrize("defect", DEFECTS)
def test_each_defect_has_tests_that_show_its_absence(defect: str) -> None:
    for test in DEFECTS[defect]:
        path, _, name = test.partition("::")
        assert name in names_in(path), f"{test} is not there"


class Root:
    """What is called."""

    def __init__(self) -> None:
        self.kept: list[Any] = []

    def keep(self, value: Any) -> int:
        self.kept.append(value)
        return len(self.kept)

    def make(self) -> Any:
        return Thing()

    def get(self, index: int) -> Any:
        return self.kept[index]

    def size(self, data: bytes) -> int:
        return len(data)

    def fail(self) -> None:
        raise LookupError("on purpose")

    def as_array(self, value: Any) -> Any:
        assert is_proxy(value.__array__())  # by name it is a method like any other
        return type(value).__array__(value)  # as the interpreter finds it, and what is written in C


class Thing:
    """Something that stays where it is."""

    def __array__(self) -> Any:
        """Return what is none."""
        return [1]


def test_a_frame_is_one_write() -> None:
    with linked(Root(), config=ALL) as (conn, _):
        size, stream, sizes = conn.root.size, conn.link._stream, []  # type: ignore[attr-defined]
        write = stream.write

        def noting(data: Any) -> Any:
            sizes.append(len(data))
            return write(data)

        stream.write = noting
        for length in (1, 3000, 20_000):
            sizes.clear()
            assert size(bytes(length)) == length
            assert len(sizes) == 1


def test_a_peer_that_does_not_read_has_time() -> None:
    assert inspect.signature(Pump).parameters["stall_seconds"].default >= 30


def test_nothing_that_a_peer_sends_is_unpickled_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    """CVE-2024-27758: a server that makes an array of a client's object must not run what the client sends for it."""
    asked: list[str] = []
    monkeypatch.setattr(pickle, "loads", lambda *_: asked.append("unpickled"))
    root = Root()
    with linked(root, config=ALL, client_config={**ALL, "allow_pickle": True}) as (conn, _):
        conn.handlers[wire.PICKLE] = lambda *_: asked.append("asked")
        with pytest.raises(ValueError, match="allow_pickle is set on this side"):
            conn.root.as_array(Thing())
        conn.root.keep(Thing())
        with pytest.raises(ValueError, match="allow_pickle is set on this side"):
            root.kept[0].__reduce_ex__(2)
        for name in ("__array_struct__", "__array_interface__"):
            assert not hasattr(root.kept[0], name)
    assert asked == []


def test_a_type_is_inspected_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with linked(Root(), config=ALL) as (conn, server):
        asked: list[str] = []
        routines = server.inspector.routines

        def noting(obj: Any) -> Any:
            asked.append(type(obj).__name__)
            return routines(obj)

        monkeypatch.setattr(server.inspector, "routines", noting)
        make = conn.root.make
        for _ in range(5):
            assert is_proxy(make())
        assert asked.count("Thing") == 1  # the client asks once, whatever becomes of the objects
        assert server.inspector.routines(Thing()) is server.inspector.routines(Thing())  # as any other client would


def test_objects_of_two_peers_behind_a_third_are_told_apart() -> None:
    left, right, middle = Root(), Root(), Root()
    left.kept.append(Thing())
    right.kept.append(Thing())
    with linked(left, config=ALL) as (to_left, _), linked(right, config=ALL) as (to_right, _):
        middle.kept += [to_left.root.get(0), to_right.root.get(0)]
        with linked(middle, config=ALL) as (conn, _):
            first, second = conn.root.get(0), conn.root.get(1)
            packs = [object.__getattribute__(proxy, "____id_pack__") for proxy in (first, second)]
            assert packs[0][1:] != packs[1][1:]
            assert first is not second
            conn.root.keep(first)
            conn.root.keep(second)
            assert [object.__getattribute__(kept, "____conn__") for kept in middle.kept[2:]] == [to_left, to_right]


@pytest.mark.parametrize("wanted", [True, False])
def test_exceptions_are_logged_unless_that_is_off(wanted: bool, caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("of_this_test")
    config = {**ALL, "logger": logger, "log_exceptions": wanted}
    with caplog.at_level(logging.DEBUG, "of_this_test"), linked(Root(), config=config) as (conn, _):
        with pytest.raises(LookupError):
            conn.root.fail()
        assert ("on purpose" in caplog.text) is wanted


def test_the_configuration_says_so_by_default() -> None:
    assert Connection().config["log_exceptions"] is True
