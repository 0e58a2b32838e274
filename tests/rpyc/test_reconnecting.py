"""A synchronous client that outlives its connections, and pings that find out when one has gone."""

from __future__ import annotations

import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from anycore.objects.connection import Connection
from anycore.rpyc import LoginError, Reconnecting, connect, keep_alive
from anycore.rpyc.service import Service

if TYPE_CHECKING:
    from collections.abc import Callable


class Desk(Service):
    """Answers, or lets wait."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.gate = threading.Event()
        self.waited = 0

    def exposed_add(self, number: int) -> int:
        return number + 1

    def exposed_wait(self) -> None:
        self.waited += 1
        self.begun.set()
        assert self.gate.wait(60)

    def exposed_ask(self, function: Callable[[int], int]) -> int:
        return function(4)


def test_it_connects_again_and_repeats_nothing(serve: Callable[..., int]) -> None:
    desk = Desk()
    port = serve(desk)
    raised: list[BaseException] = []

    def wait() -> None:
        try:
            client.root.wait()
        except EOFError as error:
            raised.append(error)

    with Reconnecting(lambda: connect("127.0.0.1", port), first_delay=0.01) as client:
        assert not client.connected
        assert client.root.add(1) == 2
        waiter = threading.Thread(target=wait)
        waiter.start()
        assert desk.begun.wait(60)
        client.connection().ended("the cable was cut")
        waiter.join(60)
        desk.gate.set()
        assert [str(error) for error in raised] == ["the connection has ended: the cable was cut"]
        assert client.root.add(2) == 3
        assert (client.connections, client.connected, desk.waited) == (2, True, 1)
    assert repr(client) == "<reconnecting client, closed>"
    with pytest.raises(ConnectionError, match="the client is closed"):
        _ = client.root


def test_patience_ends_with_the_reason() -> None:
    with Reconnecting(lambda: connect("127.0.0.1", 1), patience=0.1, first_delay=0.01) as client:
        assert repr(client) == "<reconnecting client, not connected>"
        with pytest.raises(ConnectionError, match=r"no connection within 0.1 s; the last attempt failed: .*refused"):
            _ = client.root


def test_threads_share_one_connection_and_one_attempt(serve: Callable[..., int]) -> None:
    port = serve(Desk())
    failing = [OSError("not yet"), EOFError("nor now")]

    def dial() -> Connection:
        if failing:
            raise failing.pop()
        return connect("127.0.0.1", port)

    with Reconnecting(dial, first_delay=0.01, patience=None) as client:
        sums: list[int] = []
        threads = [threading.Thread(target=lambda: sums.append(client.root.add(1))) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert sums == [2] * 5
        assert client.connections == 1


def test_who_waits_for_another_thread_has_patience_of_its_own() -> None:
    dialling, hangs_up = threading.Event(), threading.Event()

    def dial() -> Connection:
        dialling.set()
        assert hangs_up.wait(60)
        raise OSError("nobody there")

    client = Reconnecting(dial, patience=0.05, first_delay=0.01)
    errors: list[BaseException] = []

    def ask() -> None:
        try:
            client.connection()
        except ConnectionError as error:
            errors.append(error)

    first = threading.Thread(target=ask)
    first.start()
    assert dialling.wait(60)
    ask()
    assert [str(error) for error in errors] == ["no connection within 0.05 s"]
    hangs_up.set()
    first.join(60)
    assert str(errors[1]) == "no connection within 0.05 s; the last attempt failed: nobody there"


@pytest.mark.parametrize("error", [LoginError("wrong password"), TypeError("a mistake")])
def test_what_would_fail_again_is_not_tried_again(error: Exception) -> None:
    tried: list[None] = []

    def dial() -> Connection:
        tried.append(None)
        raise error

    client = Reconnecting(dial)
    with pytest.raises(type(error), match=str(error)):
        _ = client.root
    assert len(tried) == 1
    client.close()


def test_closing_ends_an_attempt_under_way(serve: Callable[..., int]) -> None:
    port = serve(Desk())
    dialling, go_on = threading.Event(), threading.Event()
    made: list[Connection] = []

    def dial() -> Connection:
        dialling.set()
        assert go_on.wait(60)
        made.append(connect("127.0.0.1", port))
        return made[0]

    client = Reconnecting(dial)
    errors: list[BaseException] = []

    def ask() -> None:
        try:
            client.connection()
        except ConnectionError as error:
            errors.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    assert dialling.wait(60)
    client.close()
    go_on.set()
    thread.join(60)
    assert str(errors[0]) == "the client is closed"
    assert made[0].closed


class Silent:
    """Takes connections, and says nothing."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]


def test_a_peer_that_answers_no_ping_is_given_up_with_the_reason() -> None:
    silent = Silent()
    with silent.listener, Reconnecting(lambda: connect("127.0.0.1", silent.port), ping_interval=0.1) as client:
        with pytest.raises(EOFError, match=r"the other side did not answer a ping within 0\.1 s"):
            _ = client.connection().async_request(1, "", timeout=60).value
        assert not client.connected


def test_a_peer_at_a_long_call_is_not_given_up(serve: Callable[..., int]) -> None:
    """Not even while this side is busy with a request of the peer's, in the very thread that pings."""
    with connect("127.0.0.1", serve(Desk())) as conn:
        keep_alive(conn, 0.2)
        began = time.monotonic()

        def take_time(number: int) -> int:
            while time.monotonic() < began + 0.7:
                time.sleep(0.01)
            return number

        assert conn.root.ask(take_time) == 4
        assert not conn.closed


@pytest.mark.parametrize("interval", [0, -1, float("nan")])
def test_an_interval_that_makes_no_sense(interval: float) -> None:
    connection: Any = None
    with pytest.raises(ValueError, match="ping_interval is a number of seconds above 0"):
        keep_alive(connection, interval)
