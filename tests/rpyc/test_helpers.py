"""The helpers: asynchronous and timed calls, calls by value, cancelling, chunks, restricted objects, serving in the background."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import rpyc
from rpyc.utils.server import ThreadedServer

from anycore.objects.proxy import is_proxy
from anycore.rpyc.connecting import connect
from anycore.rpyc.helpers import (
    BgServingThread,
    async_,
    bg_serve,
    buffiter,
    by_value,
    cancelled,
    restricted,
    spawn,
    timed,
)
from anycore.testing.linked import linked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from anycore.objects.connection import Connection

ALL = {"allow_all_attrs": True, "allow_setattr": True, "allow_delattr": True}


class Root:
    """What is called."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.free = threading.Event()
        self.ended: list[str] = []
        self.requests = 0
        self.saw: list[bool] = []

    def add(self, a: Any, b: Any = 1) -> Any:
        return a + b

    def call(self, function: Any) -> Any:
        return function()

    def numbers(self) -> Any:
        return (number for number in range(100))

    def deep(self) -> Any:
        return {"list": [1, [2, (3, {4}), bytearray(b"5")]], "none": None, 6: frozenset({7})}

    def thing(self) -> Any:
        return [self]

    def endless(self) -> Any:
        made: list[Any] = []
        made.append(made)
        return made

    def block(self) -> None:
        self.entered.set()
        self.free.wait(5)
        self.saw.append(cancelled())

    async def sleep(self) -> None:
        self.entered.set()
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            self.ended.append("cancelled")
            raise

    def note(self, what: str) -> None:
        self.ended.append(what)

    def __iter__(self) -> Any:
        return iter(range(25))


def wait_for(condition: Callable[[], Any], seconds: float = 5.0) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.001)
    return bool(condition())


def test_async_and_timed() -> None:
    root = Root()
    with linked(root, config=ALL) as (conn, _):
        add = async_(conn.root.add)
        assert [result.value for result in [add(n, b=n) for n in range(5)]] == [0, 2, 4, 6, 8]
        late = timed(conn.root.block, 0.02)
        with pytest.raises(TimeoutError, match="expired"):
            _ = late().value
        root.free.set()
        assert "async_" in repr(add) and "timed" in repr(late)
        for wrong in (len, 5, "text"):
            with pytest.raises(TypeError, match="proxy of a remote function"):
                async_(wrong)
        with pytest.raises(TypeError, match="cannot be called"):
            async_(conn.root.thing())


def test_results_by_value() -> None:
    root = Root()
    with linked(root, config=ALL) as (conn, _):
        deep = by_value(conn.root.deep)()
        assert deep == root.deep()
        assert type(deep["list"][1][2]) is bytearray and not is_proxy(deep["list"])
        mixed = by_value(conn.root.thing)()
        assert type(mixed) is list and is_proxy(mixed[0])
        with pytest.raises(ValueError, match="40 levels"):
            by_value(conn.root.endless)()
        assert by_value(conn.root.add)(1, b=2) == 3


@pytest.fixture
def serve_theirs() -> Callable[[Any], Any]:
    """Serve a service by the original's server, in a thread, and connect to it by ours."""

    @contextmanager
    def serve(service: Any) -> Iterator[Connection]:
        server = ThreadedServer(service, hostname="127.0.0.1", port=0, logger=logging.getLogger("theirs"))
        thread = server._start_in_thread()
        try:
            with connect("127.0.0.1", server.port) as conn:
                yield conn
        finally:
            server.close()
            thread.join(5)

    return serve


class Theirs(rpyc.Service):
    """A service of the original's."""

    def exposed_deep(self) -> Any:
        return [1, [2, (3, [4])]]


def test_results_by_value_of_a_peer_of_another_maker(serve_theirs: Callable[[Any], Any]) -> None:
    with serve_theirs(Theirs) as conn:
        assert conn.extended() is False
        assert by_value(conn.root.deep)() == [1, [2, (3, [4])]]


def test_a_call_given_up_before_its_turn_is_not_made() -> None:
    root = Root()
    with linked(root, config=ALL) as (conn, _):
        block, note = conn.root.block, conn.root.note
        first = async_(block)()
        assert root.entered.wait(5)
        second = timed(note, 0.01)("second")
        with pytest.raises(TimeoutError):
            second.wait()
        third = async_(note)("third")
        # The server's thread is in `block`, so it reads the cancellation together with what is to be cancelled.
        root.free.set()
        first.wait()
        third.wait()
        assert root.ended[-1] == "third"
        conn.ping()
        assert conn.extended() is True


def test_a_peer_of_another_maker_sees_a_ping_and_no_cancellation(serve_theirs: Callable[[Any], Any]) -> None:
    with serve_theirs(Theirs) as conn:
        deep = conn.root.deep
        for _ in range(3):
            assert timed(deep, 0)().expired
        conn.ping()
        assert conn.root.deep()[0] == 1
        assert conn.extended() is False


def test_chunks() -> None:
    with linked(Root(), config=ALL) as (conn, _):
        assert list(buffiter(conn.root)) == list(range(25))
        assert list(buffiter(conn.root.numbers(), chunk=3, max_chunk=20, factor=1.5)) == list(range(100))
        with pytest.raises(ValueError, match="1 or more"):
            buffiter(conn.root, factor=0.5)
        with pytest.raises(TypeError):
            list(buffiter([1]))


class Target:
    """What is restricted."""

    def __init__(self) -> None:
        self.a, self.b, self.c = 1, 2, 3


def test_restricted_objects() -> None:
    target = Target()
    with linked(restricted(target, ["a", "b"], ["b"]), config=ALL) as (conn, _):
        root = conn.root
        assert (root.a, root.b) == (1, 2)
        root.b = 5
        assert target.b == 5
        for action in (lambda: root.c, lambda: root._obj, lambda: setattr(root, "a", 1), lambda: delattr(root, "a")):
            with pytest.raises(AttributeError, match="cannot access"):
                action()
    assert target.a == 1


def test_serving_in_the_background() -> None:
    with linked(Root(), Root(), config=ALL) as (conn, server):
        with BgServingThread(conn) as serving:
            assert server.root is not None
            assert conn.root.add(1, 2) == 3
            assert conn.root.call(lambda: 5) == 5
        assert not serving._thread.is_alive()


def test_the_end_of_a_connection_served_in_the_background_is_told() -> None:
    told = threading.Event()
    with linked(Root(), Root(), config=ALL) as (conn, server):
        serving = bg_serve(conn, callback=told.set)
        server.close()
        assert told.wait(5)
        serving.stop()


def test_spawn() -> None:
    done: list[Any] = []
    thread = spawn(lambda *args, **kwargs: done.append((args, kwargs)), 1, a=2)
    thread.join(5)
    assert done == [((1,), {"a": 2})] and thread.daemon
