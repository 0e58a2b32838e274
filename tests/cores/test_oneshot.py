"""The oneshot core."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from anycore.clients.errors import TransportError
from anycore.cores.oneshot import OneshotCore
from anycore.testing import CORE_CHECKS, check_core
from anycore.testing.served import Bench

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cores.conftest import Serving

SEVERAL = {
    "serves_many_connections",
    "lets_blocking_jobs_hold_up_nobody",
    "lets_async_jobs_hold_up_nobody",
    "runs_async_jobs_side_by_side",
    "queues_blocking_jobs_beyond_its_workers",
    "survives_failing_jobs",
    "survives_peers_that_leave",
    "takes_no_stranger_for_local",
    "ends_idle_connections",
    "ends_work_that_takes_too_long",
    "lets_work_take_its_time",
    "delivers_the_last_answer_past_unread_input",
    "answers_after_half_close",
    "ends_slow_handshakes",
    "lets_handshakes_hold_up_nobody",
    "ends_old_handshakes_for_new_ones",
    "takes_the_tls_context_that_there_is",
    "refuses_connections_over_the_limit",
    "counts_handshakes_as_connections",
    "refuses_jobs_over_the_limit",
    "ends_silent_connections_when_it_stops",
    "finishes_what_runs_when_it_stops",
    "cuts_off_what_hangs_when_it_stops",
    "keeps_figures",
}
"""Checks that connect more than once."""


@pytest.mark.parametrize("check", [check for check in CORE_CHECKS if check not in SEVERAL])
def test_it_keeps_the_promises_of_cores(check: str) -> None:
    check_core(OneshotCore, only=[check])


def test_it_ends_with_its_connection() -> None:
    with Bench(OneshotCore, 10).talking() as (served, caller):
        assert caller.ask("say a", "blocking b", "async c") == ["a", "b", "c"]
        with served.connect() as other:
            assert other.line().startswith("refused")
        assert caller.ask("say still") == ["still"]
        assert served.core.figures().refused == 1
        caller.close()
        served.join()
        assert served.calls == ["startup", "shutdown"]


@pytest.mark.parametrize("wire", ["http", "rpyc"])
def test_a_server_ends_with_its_connection(serve: Callable[..., Serving], wire: str) -> None:
    server = serve("oneshot")
    if wire == "http":
        with server.connect() as client:
            assert client.call("work.quick", 1) == 1
            assert client.call("work.coroutine", 2) == 2
            with server.connect() as other, pytest.raises(TransportError, match="503"):
                other.call("work.quick", 1)
    else:
        with contextlib.closing(server.peer()) as peer:
            assert peer.root.work.ask(lambda value: value * 2, 4) == 9
            with pytest.raises(EOFError):
                server.peer().root.work.pid()
    assert server.ended() == 0


def test_a_server_that_nobody_calls_can_be_stopped(serve: Callable[..., Serving]) -> None:
    assert serve("oneshot").stop() == 0
