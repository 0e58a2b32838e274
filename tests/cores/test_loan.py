"""Connections that the event loop lends to a worker thread: all promises hold, and it is worth it."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from anycore.cores import asyncio_connection, busy_poll
from anycore.cores.asyncio import AsyncioCore
from anycore.cores.loan import Loan
from anycore.cores.loop_poll import LoopPoll
from anycore.rpyc import Service, async_, cancelled, connect
from anycore.rpyc.listening import serve_root
from anycore.testing import CORE_CHECKS, check_core
from anycore.testing.lines import Journal, Lines
from anycore.testing.served import Bench

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from anycore.conversations.base import Conversation, Job
    from anycore.cores.base import CoreLimits, Listener
    from anycore.kernel.call import Peer
    from anycore.testing.served import Caller, Served

LOOK = 0.01


@pytest.fixture(autouse=True)
def able(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let threads look wherever this runs."""
    monkeypatch.setattr(busy_poll, "processors", lambda: 2)
    monkeypatch.setattr(busy_poll, "_interpreter", busy_poll._Interpreter())


@pytest.fixture
def loans(monkeypatch: pytest.MonkeyPatch) -> list[Loan]:
    """Return a list that grows by each loan."""
    made: list[Loan] = []

    class Noted(Loan):
        __slots__ = ()

        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            made.append(self)

    monkeypatch.setattr(asyncio_connection, "Loan", Noted)
    return made


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every connection taken for a quick one, and the only one."""
    monkeypatch.setattr(LoopPoll, "due", lambda *_: True)
    monkeypatch.setattr(LoopPoll, "last", lambda *_: True)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("uvloop", [False, True], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("check", CORE_CHECKS)
def test_a_core_that_lends_keeps_the_promises_of_cores(check: str, uvloop: bool) -> None:
    check_core(lambda listeners, limits: AsyncioCore(listeners, limits, uvloop=uvloop), only=[check])


def ask(caller: Caller, count: int, verb: str = "blocking") -> None:
    for number in range(count):
        assert caller.ask(f"{verb} {number}") == [str(number)]


def lent_for(loans: list[Loan], jobs: int, caller: Caller) -> None:
    """Ask until a loan has lasted so long; whatever else this machine does."""
    deadline = time.monotonic() + 10
    while max((loan.jobs for loan in loans), default=0) < jobs:
        ask(caller, 20)
        assert time.monotonic() < deadline


def test_a_worker_keeps_the_connection_of_a_quick_peer(loans: list[Loan]) -> None:
    with Bench(AsyncioCore, 10).talking(busy_poll_time=LOOK) as (served, caller):
        ask(caller, 4)
        assert not loans
        lent_for(loans, 30, caller)
        ask(caller, 1, "say")
        assert not served.core.figures().in_flight


def test_a_slow_peer_is_lent_less_and_less(loans: list[Loan]) -> None:
    with Bench(AsyncioCore, 10).talking(busy_poll_time=0.0001) as (_, caller):
        for _ in range(200):
            ask(caller, 1)
            time.sleep(0.001)
        assert sum(loan.jobs for loan in loans) < 60


@pytest.mark.parametrize("limits", [{"busy_poll_time": 0.0}, {"busy_poll_time": LOOK, "in_flight": 1}])
def test_nothing_is_lent_without_busy_polling_and_near_a_limit(loans: list[Loan], limits: dict[str, float]) -> None:
    with Bench(AsyncioCore, 10).talking(**limits) as (_, caller):
        ask(caller, 100)
        assert not loans


def test_two_peers_that_speak_in_turn_are_served_by_the_loop(loans: list[Loan]) -> None:
    with Bench(AsyncioCore, 10).talking(busy_poll_time=LOOK) as (served, caller), served.connect() as other:
        for _ in range(50):
            ask(caller, 1)
            ask(other, 1)
        assert not loans


@pytest.mark.parametrize("wanted", [False, True])
def test_a_worker_that_is_wanted_elsewhere_leaves_what_waits_to_the_loop(wanted: bool) -> None:
    here, there = socket.socketpair()
    with here, there:
        here.setblocking(False)
        conversation = Lines(Journal(10))
        (job,) = conversation.feed(b"chain blocking,blocking,blocking\n")
        loan = Loan(job, conversation, here.fileno(), LOOK, lambda: wanted)
        loan.run()
        assert (loan.jobs, len(loan.left)) == ((1, 1) if wanted else (3, 0))
        assert not loan.running


@pytest.mark.usefixtures("eager")
def test_quick_jobs_stay_on_the_loop(loans: list[Loan]) -> None:
    with Bench(AsyncioCore, 10).talking(busy_poll_time=LOOK) as (served, caller):
        for _ in range(20):
            assert caller.ask("blocking a", "say b", "async c") == ["a", "b", "c"]
            ask(caller, 1)
            ask(caller, 1, "say")
        assert {(record.verb, record.on_loop) for record in served.journal.jobs} == {
            ("blocking", False),
            ("say", True),
            ("async", True),
        }
        assert loans


@pytest.mark.usefixtures("eager")
def test_the_peer_is_heard_while_its_job_runs(loans: list[Loan]) -> None:
    with Bench(AsyncioCore, 10).talking(busy_poll_time=LOOK) as (served, caller):
        ask(caller, 3)
        caller.send("gate blocking g")
        assert served.journal.entered("g").wait(10)
        before = served.journal.received
        caller.send("say h")
        served.until(lambda: served.journal.received > before, "the loop must take the connection back")
        served.journal.open_gate("g")
        assert [caller.line(), caller.line()] == ["g", "h"]
        assert loans[-1].undone is not None


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("pause", [0.001, 2 * LOOK])
def test_the_rest_of_a_message_may_come_to_the_worker_or_to_the_loop(pause: float, loans: list[Loan]) -> None:
    with Bench(AsyncioCore, 10).talking(busy_poll_time=LOOK) as (_, caller):
        for _ in range(20):
            ask(caller, 1)
            caller.socket.sendall(b"block")
            time.sleep(pause)
            caller.socket.sendall(b"ing x\n")
            assert caller.line() == "x"
        assert loans


@pytest.mark.usefixtures("eager")
def test_a_peer_that_drips_is_sent_away_from_a_loan_as_well(loans: list[Loan]) -> None:
    with Bench(AsyncioCore, 10).talking(busy_poll_time=LOOK, receive_time=0.2) as (_, caller):
        caller.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        ask(caller, 3)
        began = time.monotonic()
        with contextlib.suppress(OSError):
            while time.monotonic() < began + 10:
                caller.socket.sendall(b"x")
                if select.select([caller.socket], [], [], 0.0002)[0]:
                    break
        assert time.monotonic() < began + 5
        assert loans


@pytest.mark.usefixtures("loans")
def test_others_are_served_while_a_connection_is_lent() -> None:
    with Bench(AsyncioCore, 10).talking(busy_poll_time=LOOK, workers=1) as (served, caller), served.connect() as other:
        over = threading.Event()

        def go_on() -> None:
            while not over.is_set():
                ask(caller, 1)

        thread = threading.Thread(target=go_on)
        thread.start()
        try:
            for _ in range(20):
                time.sleep(0.01)  # let the other one be lent
                for verb in ("say", "blocking", "async"):
                    ask(other, 1, verb)
        finally:
            over.set()
            thread.join(10)


@pytest.mark.usefixtures("eager")
def test_without_descriptors_it_goes_on_without_loans(loans: list[Loan], monkeypatch: pytest.MonkeyPatch) -> None:
    def dup(_: int) -> int:
        raise OSError(24, "Too many open files")

    with Bench(AsyncioCore, 10).talking(busy_poll_time=LOOK) as (_, caller):
        with monkeypatch.context() as patch:
            patch.setattr(os, "dup", dup)
            ask(caller, 20)
            assert not loans
        ask(caller, 1)
        assert loans


class Fragile(Lines):
    """Raises where it must not."""

    def feed(self, data: bytes) -> Sequence[Job]:
        if data.startswith(b"explode"):
            raise RuntimeError("this conversation is broken")
        return super().feed(data)


@pytest.mark.usefixtures("eager")
def test_a_conversation_that_fails_in_a_worker_costs_its_own_connection(caplog: pytest.LogCaptureFixture) -> None:
    def opener(journal: Journal, _: object) -> Lines:
        return Fragile(journal)

    made = Bench(AsyncioCore, 10).talking(busy_poll_time=LOOK, opener=opener)
    with caplog.at_level(logging.ERROR, "anycore.core"), made as (served, caller):
        ask(caller, 3)
        caller.send("explode")
        assert caller.gone()
        assert "this conversation is broken" in caplog.text
        with served.connect() as other:
            ask(other, 3)
        served.forgets()
        assert not served.core.figures().in_flight


@pytest.mark.usefixtures("eager")
def test_what_the_peer_does_not_take_at_once_is_left_to_the_loop(loans: list[Loan]) -> None:
    with Bench(AsyncioCore, 10).serving(busy_poll_time=LOOK, buffers=4096) as served:
        with served.connect(receive_buffer=4096) as caller:
            word = "z" * 1_000_000
            assert caller.ask("blocking a", f"blocking {word}") == ["a", word]
            assert caller.ask(f"blocking {word}") == [word]
            ask(caller, 3)
        assert any(loan.unsent for loan in loans)


class Root:
    """What is called over RPyC."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.free = threading.Event()
        self.ended = threading.Event()

    def exposed_echo(self, value: Any) -> Any:
        return value

    def exposed_call(self, function: Callable[..., Any], *args: Any) -> Any:
        return function(*args)

    def exposed_block(self) -> str:
        self.entered.set()
        end = time.monotonic() + 10
        while not cancelled() and time.monotonic() < end:
            time.sleep(0.001)
        self.free.set()
        return "freed"

    def exposed_tell(self, function: Callable[..., Any], count: int) -> None:
        tell = async_(function)

        def go_on() -> None:
            for number in range(count):
                tell(number)
                time.sleep(0.001)

        threading.Thread(target=go_on, daemon=True).start()

    def on_disconnect(self, _: object) -> None:
        self.ended.set()


@contextmanager
def calling(root: Any) -> Iterator[tuple[Served, Any]]:
    """Serve a root over RPyC, and call it."""

    def opener(_: Journal, peer: Peer) -> Conversation:
        return serve_root(peer, root)

    with Bench(AsyncioCore, 10).serving(busy_poll_time=LOOK, opener=opener) as served:
        host, port = served.address
        with connect(host, port, config={"sync_request_timeout": 10, "busy_poll_time": 0}) as conn:
            yield served, conn
        served.forgets()
        assert not served.core.figures().in_flight


@pytest.mark.usefixtures("eager")
def test_look_ups_of_a_service_do_not_end_a_loan(loans: list[Loan]) -> None:
    with calling(Root()) as (_, conn):
        for number in range(50):
            assert conn.root.echo(number) == number
        assert max(loan.jobs for loan in loans) > 20


@pytest.mark.usefixtures("eager")
def test_calls_back_come_through_while_a_connection_is_lent(loans: list[Loan]) -> None:
    with calling(Root()) as (_, conn):
        for number in range(50):
            assert conn.root.call(lambda value: conn.root.echo(value + 1), number) == number + 1
        assert loans


@pytest.mark.usefixtures("eager")
def test_a_call_that_its_caller_gives_up_is_told_while_the_connection_is_lent() -> None:
    root = Root()
    with calling(root) as (_, conn):
        assert conn.extended()
        conn.root.echo(1)
        began = time.monotonic()
        with pytest.raises(TimeoutError), conn.timeout(0.2):
            conn.root.block()
        assert root.free.wait(10)
        assert time.monotonic() < began + 9
        assert conn.root.echo(2) == 2


@pytest.mark.usefixtures("eager")
def test_what_other_threads_send_goes_out_while_a_connection_is_lent(loans: list[Loan]) -> None:
    told: list[int] = []
    with calling(Root()) as (_, conn):
        conn.root.tell(told.append, 100)
        deadline = time.monotonic() + 10
        while len(told) < 100:
            assert conn.root.echo("x") == "x"
            assert time.monotonic() < deadline
        assert told == list(range(100))
        assert loans


@pytest.mark.usefixtures("eager")
def test_a_service_is_told_of_a_peer_that_leaves_a_loan(loans: list[Loan]) -> None:
    root = Root()

    class Told(Service):
        exposed_echo = root.exposed_echo
        on_disconnect = root.on_disconnect  # type: ignore[assignment] # it takes more than that

    with calling(Told()) as (served, conn):
        conn.root.echo(1)
        conn.close()
        assert root.ended.wait(10)
        assert loans
        served.forgets()


@pytest.mark.parametrize("uvloop", [False, True], ids=["asyncio", "uvloop"])
@pytest.mark.usefixtures("eager")
def test_connections_that_come_and_go_in_all_ways_disturb_nobody(uvloop: bool) -> None:
    """Callers that leave in the middle of a call, by a reset or well, beside those that call on."""

    def core(listeners: Sequence[Listener], limits: CoreLimits) -> AsyncioCore:
        return AsyncioCore(listeners, limits, uvloop=uvloop)

    with Bench(core, 20).serving(busy_poll_time=0.001) as served:
        failed: list[Exception] = []

        def visit(number: int) -> None:
            try:
                for visited in range(40):
                    with served.connect() as caller:
                        ask(caller, 5)
                        if (number + visited) % 4 == 0:
                            caller.send("blocking lost")
                            caller.vanish()
                        elif (number + visited) % 4 == 1:
                            caller.send("blocking lost")
                        elif (number + visited) % 4 == 2:
                            caller.send("blocking last")
                            caller.end()
                            assert caller.line() == "last"
            except Exception as error:  # noqa: BLE001 - it is shown by the test
                failed.append(error)

        threads = [threading.Thread(target=visit, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not failed
        served.forgets()
        served.until(lambda: not served.core.figures().in_flight, "nothing may stay in flight")
        assert all(record.runs == 1 and record.finishes <= 1 for record in served.journal.jobs)
