"""Plugins that misbehave: the server goes on, says what happened, and ends when it is told to. On every core that serves many."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from anycore.clients import Fault
from anycore.clients.errors import TransportError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.faults.conftest import Serve, Serving

SECONDS = 30


@pytest.fixture(scope="module", params=["asyncio", "threaded", "pool", "prefork"])
def server(serve: Serve, request: pytest.FixtureRequest) -> Iterator[Serving]:
    """One server for all that they do, one after the other; in the end it must end, whatever has become of it."""
    with serve(request.param, "--call-time=0.4", "--stop-time=0.2", "--prefork-workers=2") as made:
        yield made


@pytest.mark.parametrize("method", ["leave", "leave_at_once", "leave_the_loop", "interrupt"])
def test_what_ends_programs_ends_the_call(server: Serving, method: str) -> None:
    with server.connect() as client, pytest.raises(Fault, match=r"SystemExit|KeyboardInterrupt"):
        client.call(f"bad.{method}")
    server.until(f"bad.{method} from")
    assert server.goes_on()


@pytest.mark.parametrize("method", ["descend", "descend_at_once"])
def test_what_exhausts_the_stack_ends_the_call(server: Serving, method: str) -> None:
    with server.connect() as client, pytest.raises(Fault, match="RecursionError"):
        client.call(f"bad.{method}", 0)
    server.until(f"bad.{method} from")
    assert server.goes_on()


def test_a_result_without_end_is_a_fault(server: Serving) -> None:
    with server.connect() as client, pytest.raises(Fault):
        client.call("bad.nest")
    assert server.goes_on()


@pytest.mark.parametrize("method", ["hog", "hog_the_loop"])
def test_what_hogs_its_place_is_told_and_ends(server: Serving, method: str) -> None:
    with server.connect() as client, ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(client.call, f"bad.{method}", 0.8)
        assert f"it is in {method} (" in server.until(f"bad.{method} from 127.0.0.1")
        with suppress(Fault):  # its deadline has passed
            waiting.result(SECONDS)
    assert server.goes_on()


def test_leaked_threads_are_told(server: Serving) -> None:
    with server.connect() as client:
        assert client.call("bad.leak", 120) >= 120
    assert "leak" in server.until("threads of plugins run in this process")
    assert server.goes_on()


def test_stray_prints_reach_no_caller(server: Serving) -> None:
    with server.connect() as client:
        for _ in range(3):
            assert client.call("bad.say", "HTTP/1.1 200 OK\r\n\r\nstray") is None
        server.until("stray")
        assert client.call("bad.shut") is None
        with pytest.raises(Fault, match="closed file"):
            client.call("bad.say", "more")
    assert server.goes_on()


def test_a_method_that_blocks_for_ever_is_told_and_cut_off_in_the_end(server: Serving) -> None:
    with server.connect(timeout=1) as client, pytest.raises(TransportError):
        client.call("bad.block")
    assert "after its caller has given up; it is in wait (" in server.until("bad.block from 127.0.0.1")
    assert server.goes_on()


def test_a_crash_costs_one_worker_and_the_calls_in_it(serve: Serve) -> None:
    with serve("prefork", "--prefork-workers=2") as server:
        for method, how in (("crash", "signal 11"), ("exit", "status 3"), ("abort", "signal 6")):
            with server.connect() as client:
                assert client.call("bad.well", 1) == 1  # so that the connection is one that was kept
                with pytest.raises(TransportError, match="the call may or may not have been made"):
                    client.call(f"bad.{method}")
            assert "the calls that ran in it are lost; another takes its place" in server.until(how)
            assert server.goes_on()
            assert server.said.count(how) == 1, "a call that ends its worker is not made in another"
