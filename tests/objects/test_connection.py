"""The two ends of a connection: all requests, results, time-outs, nesting, ends."""

from __future__ import annotations

import gc
import os
import socket
import subprocess
import sys
import threading
import time
import tracemalloc
from typing import Any

import pytest

from anycore.objects.connection import Connection
from anycore.objects.proxy import is_proxy
from anycore.rpyc.connecting import connect_socket
from anycore.testing.linked import linked
from anycore.wire import rpyc_constants as wire
from anycore.wire.errors import LocalProtocolError

ALL = {"allow_all_attrs": True, "allow_setattr": True, "allow_delattr": True}


class Thing:
    """A thing."""

    colour = "red"

    def __init__(self) -> None:
        self.parts = [1, 2, 3]

    def double(self, number: int) -> int:
        """Twice."""
        return number * 2

    def __len__(self) -> int:
        return 7

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Thing) or other == 5

    def __hash__(self) -> int:
        return 99

    def __repr__(self) -> str:
        return "<thing>"

    def __str__(self) -> str:
        return "a thing"


class Root:
    """What the tests call."""

    def __init__(self) -> None:
        self.thing = Thing()
        self.kept: list[Any] = []
        self.gone = 0
        self.events: list[str] = []

    def add(self, a: Any, b: Any = 1) -> Any:
        return a + b

    def echo(self, value: Any) -> Any:
        return value

    def items(self, *values: Any) -> list[Any]:
        return list(values)

    def new(self) -> Thing:
        return Thing()

    def call(self, function: Any, *args: Any) -> Any:
        return function(*args)

    def keep(self, value: Any) -> None:
        self.kept.append(value)

    def forget(self) -> None:
        self.kept.clear()

    def down(self, other: Any, depth: int) -> int:
        """Calls back and forth."""
        return 0 if depth == 0 else int(other(depth - 1)) + 1

    async def later(self, value: int) -> int:
        return value + 1

    def on_disconnect(self, conn: Connection) -> None:
        self.gone += 1
        self.events.append(conn.end_reason)


def test_every_request() -> None:
    root = Root()
    with linked(root, config={**ALL, "allow_pickle": True}) as (conn, server):
        conn.ping()
        thing = conn.root.thing
        assert is_proxy(thing)
        assert thing.colour == "red"
        thing.size = 3
        assert root.thing.size == 3  # type: ignore[attr-defined]
        del thing.size
        assert not hasattr(root.thing, "size")
        assert thing.double(4) == 8
        assert len(thing) == 7
        assert (repr(thing), str(thing), hash(thing)) == ("<thing>", "a thing", 99)
        assert thing == 5
        assert thing != 6
        assert "double" in dir(thing)
        assert conn.sync_request(wire.PICKLE, conn.root.thing.parts, 2).startswith(b"\x80\x02")
        assert (
            dict(conn.sync_request(wire.INSPECT, object.__getattribute__(thing, "____id_pack__")))["double"] == "Twice."
        )
        iterator = conn.sync_request(wire.CALLATTR, thing.parts, "__iter__", (), ())
        assert conn.sync_request(wire.BUFFITER, iterator, 2) == (1, 2)
        assert conn.sync_request(wire.BUFFITER, iterator, 2) == (3,)
        assert conn.sync_request(wire.BUFFITER, iterator, 2) == ()
        assert list(conn.sync_request(wire.OLDSLICING, thing.parts, "__getitem__", "x", 0, 2, ())) == [1, 2]
        assert conn.sync_request(wire.INSTANCECHECK, conn.root.items().__class__, ("builtins.int", 5, 6)) is False
        assert conn.sync_request(wire.CMP, thing, 5, "__eq__") is True
        assert conn.root.later(4) == 5
        assert server.table
    assert root.gone == 1


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        5,
        -(10**40),
        1.5,
        2j,
        b"bytes",
        "text",
        "",
        (),
        (1, (2, "x")),
        frozenset({1}),
        slice(1, 2),
        ...,
        NotImplemented,
    ],
)
def test_plain_values_travel_by_value(value: Any) -> None:
    with linked(Root(), config=ALL) as (conn, _):
        assert conn.root.echo(value) == value or value is NotImplemented


def test_what_is_not_plain_travels_by_reference_and_comes_home_as_itself() -> None:
    class Number(int):
        pass

    with linked(Root(), config=ALL, client_config=ALL) as (conn, _):
        for value in ([1], {"a": 1}, {1}, bytearray(b"x"), Number(5), object(), len, Thing, Thing(), conn, {}.keys()):
            assert conn.root.echo(value) is value
        mixed = conn.root.echo((1, [2], (3, [4])))
        assert mixed == (1, [2], (3, [4]))
        assert type(conn.root.echo((1, 2))) is tuple
        proxy = conn.root.new()
        assert conn.root.echo(proxy) is proxy
        remote = conn.root.items(1, [2])
        assert is_proxy(remote) and remote[0] == 1


def test_keyword_arguments() -> None:
    with linked(Root(), config=ALL) as (conn, _):
        assert conn.root.add(1, b=5) == 6
        assert conn.root.add(a="x", b="y") == "xy"


def wait_for(condition: Any, seconds: float = 5.0) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.001)
    return True


def served(conn: Connection, condition: Any, seconds: float = 5.0) -> bool:
    """Serve a connection until a condition holds."""

    def look() -> bool:
        conn.poll(0.005)
        return bool(condition())

    return wait_for(look, seconds)


def test_references_are_given_back() -> None:
    with linked(Root(), config=ALL, client_config=ALL) as (conn, server):
        root = conn.root
        before, mine = len(server.table), len(conn.table)
        for _ in range(20):
            thing = root.new()
            same = root.echo(thing)
            root.echo([1])
            root.echo((thing, [2], thing))
            del thing, same
        gc.collect()
        conn.ping()
        assert served(conn, lambda: len(server.table) == before)
        assert served(conn, lambda: len(conn.table) == mine)


def test_an_answer_nobody_looks_at_gives_its_references_back() -> None:
    with linked(Root(), config=ALL) as (conn, server):
        new = conn.root.new
        before = len(server.table)
        results = [conn.async_request(wire.CALL, new, (), ()) for _ in range(10)]
        assert served(conn, lambda: all(result.settled for result in results))
        assert len(server.table) >= before + 10
        results.clear()
        assert served(conn, lambda: len(server.table) == before)


def test_a_late_answer_gives_its_references_back() -> None:
    entered, free = threading.Event(), threading.Event()

    class Slow:
        def make(self) -> list[int]:
            entered.set()
            free.wait(5)
            return [1]

    with linked(Slow(), config=ALL) as (conn, server):
        make = conn.root.make
        before = len(server.table)
        result = conn.async_request(wire.CALL, make, (), (), timeout=0.02)
        assert repr(result).endswith("(pending)>")
        with pytest.raises(TimeoutError, match="expired"):
            result.wait()
        assert result.expired and not result.ready and not result.error
        with pytest.raises(TimeoutError):
            _ = result.value
        called: list[Any] = []
        result.add_callback(called.append)
        assert entered.wait(5)
        free.set()
        assert served(conn, lambda: len(server.table) == before)
        assert not called


def test_a_request_that_cannot_be_sent_keeps_nothing() -> None:
    with linked(Root(), config=ALL, client_config={"max_objects": 2}) as (conn, _):
        echo = conn.root.echo
        with pytest.raises(LocalProtocolError):
            echo(([1], "\ud800"))
        assert len(conn.table) == 0
        with pytest.raises(Exception, match="holds 2 objects"):
            echo(([1], [2], [3]))
        assert len(conn.table) == 0
        assert echo(5) == 5


def test_an_answer_that_cannot_be_sent_keeps_nothing() -> None:
    class Odd:
        def odd(self) -> Any:
            return [1], "\ud800"

        def long(self) -> Any:
            return 10**5000

    with linked(Odd(), config=ALL) as (conn, server):
        odd, long = conn.root.odd, conn.root.long
        before = len(server.table)
        with pytest.raises(Exception, match="surrogate"):
            odd()
        with pytest.raises(Exception, match="digits"):
            long()
        assert wait_for(lambda: len(server.table) == before)


def test_async_results() -> None:
    with linked(Root(), config=ALL) as (conn, _):
        add = conn.root.add
        results = [conn.async_request(wire.CALL, add, (n, n), ()) for n in range(50)]
        told: list[Any] = []
        results[3].add_callback(told.append)
        assert [result.value for result in results] == [2 * n for n in range(50)]
        assert results[0].ready and not results[0].error and not results[0].expired
        results[4].add_callback(told.append)
        assert told == [results[3], results[4]]
        failed = conn.async_request(wire.CALL, add, (1, "x"), ())
        failed.wait()
        assert failed.error
        with pytest.raises(TypeError):
            _ = failed.value
        with pytest.raises(TypeError):
            _ = failed.value


def test_a_callback_about_a_result_may_ask_the_peer() -> None:
    with linked(Root(), config=ALL) as (conn, _):
        new = conn.root.new
        got: list[Any] = []
        result = conn.async_request(wire.CALL, new, (), ())
        result.add_callback(lambda done: got.append(done.value.double(4)))
        assert served(conn, lambda: got == [8])


def test_a_callback_that_fails_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with linked(Root(), config=ALL) as (conn, _):
        result = conn.async_request(wire.PING, 1)
        result.add_callback(lambda _: 1 // 0)
        assert result.value == 1
        conn.ping()
    assert "callback" in caplog.text


def test_fifty_calls_deep_in_both_directions() -> None:
    client, server = Root(), Root()
    with linked(server, client, config=ALL, client_config=ALL) as (conn, there):

        def back(depth: int) -> int:
            return int(conn.root.down(back, depth))

        assert conn.root.down(back, 50) == 50
        got: list[int] = []

        def forth(depth: int) -> int:
            return int(there.root.down(forth, depth))

        other = threading.Thread(target=lambda: got.append(there.root.down(forth, 50)))
        other.start()
        assert served(conn, lambda: got)
        other.join()
        assert got == [50]


def test_many_threads_on_one_connection() -> None:
    with linked(Root(), config=ALL) as (conn, _):
        add, new = conn.root.add, conn.root.new
        wrong: list[Any] = []

        def work(mine: int) -> None:
            for n in range(60):
                wrong.extend([n] * (add(mine, n) != mine + n or new().double(n) != 2 * n))

        threads = [threading.Thread(target=work, args=(number * 1000,)) for number in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert not any(thread.is_alive() for thread in threads)
        assert not wrong


def test_many_threads_with_callbacks() -> None:
    with linked(Root(), config=ALL, concurrency=16) as (conn, _):
        call = conn.root.call
        lock = threading.Lock()
        wrong: list[Any] = []

        def work(mine: int) -> None:
            def back(n: int) -> int:
                with lock:
                    return n + mine

            for n in range(20):
                got = call(back, n)
                if got != n + mine:
                    wrong.append((mine, n, got))

        threads = [threading.Thread(target=work, args=(number * 1000,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert not any(thread.is_alive() for thread in threads)
        assert not wrong


def test_a_callback_that_waits_for_a_lock_of_another_caller_does_not_keep_that_one_from_its_answer() -> None:
    lock = threading.Lock()
    inside = threading.Event()
    with linked(Root(), config=ALL, concurrency=4) as (conn, _):
        call, echo = conn.root.call, conn.root.echo

        def back() -> str:
            inside.set()
            with lock:
                return "had it"

        got: list[Any] = []
        with lock:
            other = threading.Thread(target=lambda: got.append(call(back)))
            other.start()
            assert inside.wait(5)
            assert echo(1) == 1  # while the callback waits for the lock that this thread holds
        other.join(5)
        assert got == ["had it"]


def test_the_collector_in_the_middle_of_everything() -> None:
    class Cycle:
        def __init__(self, proxy: Any) -> None:
            self.proxy, self.me = proxy, self

    thresholds = gc.get_threshold()
    gc.set_threshold(3, 2, 2)
    try:
        with linked(Root(), config=ALL, client_config=ALL) as (conn, server):
            new, echo = conn.root.new, conn.root.echo
            before = len(server.table)

            def work() -> None:
                for _ in range(40):
                    Cycle(new())
                    Cycle(echo(Cycle(new())))

            threads = [threading.Thread(target=work) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(40)
            assert not any(thread.is_alive() for thread in threads)

            def all_gone() -> bool:
                gc.collect()  # each time: what the server gives back leaves more cycles here
                return len(server.table) == before and len(conn.table) == 0

            assert served(conn, all_gone)
    finally:
        gc.set_threshold(*thresholds)


def test_what_is_echoed_is_not_dropped_before_the_answer_is_there() -> None:
    with linked(Root(), config=ALL) as (conn, _):
        echo = conn.root.echo
        for n in range(300):
            assert conn.async_request(wire.CALL, echo, ([n],), ()).value == [n]
        results = [conn.async_request(wire.CALL, echo, ([n],), ()) for n in range(100)]
        assert [result.value for result in results] == [[n] for n in range(100)]


@pytest.mark.parametrize("how", ["client", "server", "socket", "with"])
def test_every_way_of_ending_tells_both_services_once(how: str) -> None:
    client, server = Root(), Root()
    with linked(server, client, config=ALL) as (conn, there):
        conn.ping()
        if how == "client":
            conn.close()
            conn.close()
        elif how == "server":
            there.config["close_timeout"] = 0.05
            there.close()
        elif how == "socket":
            conn.link._stream.shut()  # type: ignore[attr-defined]
        else:
            with conn:
                pass
        assert served(conn, lambda: client.gone and server.gone)
        with pytest.raises(EOFError, match="ended"):
            conn.sync_request(wire.PING, 1)
        assert conn.closed and conn.end_reason and conn.fileno() == -1
        assert "closed" in repr(conn)
    assert (client.gone, server.gone) == (1, 1)


def test_whoever_waits_is_told_of_the_end_and_its_reason() -> None:
    started, release = threading.Event(), threading.Event()

    class Blocking:
        def block(self) -> None:
            started.set()
            release.wait(5)

    with linked(Blocking(), config=ALL, client_config={"close_timeout": 0.05}) as (conn, _):
        block = conn.root.block
        failures: list[BaseException] = []

        def work() -> None:
            try:
                block()
            except EOFError as error:
                failures.append(error)

        threads = [threading.Thread(target=work) for _ in range(5)]
        for thread in threads:
            thread.start()
        assert started.wait(5)
        told: list[Any] = []
        conn.async_request(wire.PING, 1).add_callback(told.append)
        conn.close()
        for thread in threads:
            thread.join(5)
        release.set()
        assert len(failures) == 5
        assert all("closed by this side" in str(error) for error in failures)
        assert len(told) == 1


def test_before_closed_sees_the_root_and_its_failure_closes_all_the_same() -> None:
    seen: list[Any] = []
    with linked(Root(), config=ALL, client_config={"before_closed": lambda root: seen.append(root.add(1, 2))}) as (
        conn,
        _,
    ):
        conn.close()
    assert seen == [3]
    with linked(Root(), client_config={"before_closed": lambda _: 1 // 0}) as (conn, _):
        with pytest.raises(ZeroDivisionError):
            conn.close()
        assert conn.closed
    with linked(Root(), client_config={"before_closed": lambda _: 1 // 0, "close_catchall": True}) as (conn, _):
        conn.close()


def test_calls_sent_before_the_close_are_done() -> None:
    root = Root()
    with linked(root, config=ALL) as (conn, _):
        keep = conn.root.keep
        for n in range(50):
            conn.async_request(wire.CALL, keep, (n,), ())
        conn.close()
    assert root.kept == list(range(50))


def test_unknown_requests_and_broken_arguments_are_answered() -> None:
    with linked(Root(), config=ALL) as (conn, _):
        for handler in (0, 21, 99, -5, 10**30):
            with pytest.raises(ValueError, match="no request number"):
                conn.sync_request(handler)
        with pytest.raises(KeyError):
            conn.sync_request(wire.INSPECT, ("x", 1, 2))
        with pytest.raises(ValueError, match="DEL takes"):
            conn.sync_request(wire.DEL, 5)
        with pytest.raises(TypeError):
            conn.sync_request(wire.GETATTR, conn.root, 5)
        with pytest.raises(TypeError):
            conn.sync_request(wire.CALL)
        with pytest.raises(ValueError, match="pickling is disabled"):
            conn.sync_request(wire.PICKLE, conn.root, 2)
        conn.ping()


def test_too_many_open_requests_are_refused_here() -> None:
    with linked(Root(), config=ALL, client_config={"max_pending": 2}) as (conn, _):
        first, second = conn.async_request(wire.PING, 1), conn.async_request(wire.PING, 2)
        with pytest.raises(OverflowError, match="max_pending"):
            conn.async_request(wire.PING, 3)
        assert (first.value, second.value) == (1, 2)


def test_serving_by_hand() -> None:
    with linked(Root(), config=ALL) as (conn, there):
        result = conn.async_request(wire.PING, 1)
        assert wait_for(lambda: conn.serve(0.01) and result.settled)
        assert conn.serve(0) is False
        assert conn.poll_all(0.001) is False
        there.async_request(wire.CLOSE)
        conn.serve_all()
        assert conn.closed
        with pytest.raises(EOFError):
            conn.serve()


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_exits_are_told_and_raised_where_the_configuration_says_so(kind: type[BaseException]) -> None:
    def stop() -> None:
        raise kind("now")

    config = {"propagate_KeyboardInterrupt_locally": False, "propagate_SystemExit_locally": False}
    there = {**ALL, **config}
    with linked(Root(), config=there, client_config=config) as (conn, _):
        with pytest.raises(kind, match="now"):
            conn.root.call(stop)
        conn.ping()
    config = dict.fromkeys(config, True)
    with linked(Root(), config=there, client_config=config) as (conn, _):
        call = conn.root.call
        with pytest.raises(kind) as caught:
            call(stop)
        assert caught.type is kind  # ours itself, not what the server made of it
        conn.ping()


def test_stop_iteration_passes() -> None:
    def stop() -> None:
        raise StopIteration

    with linked(Root(), config=ALL) as (conn, _), pytest.raises(StopIteration):
        conn.root.call(stop)


def test_a_configuration_that_is_asked_for_is_live_and_nobody_elses() -> None:
    given = {"allow_public_attrs": True, "connid": "mine"}
    one, other = Connection(config=given), Connection(config=given)
    assert one.config is one.config
    assert type(one.config) is dict
    assert one.config["connid"] == "mine"
    one.config["safe_attrs"].add("numbers")
    one.config.update(allow_public_attrs=False, permit=lambda use, _: use != "call")
    assert "numbers" not in other.config["safe_attrs"]
    assert other.config["allow_public_attrs"]
    with pytest.raises(PermissionError):
        one.policy.check("call", one)
    other.policy.check("call", one)
    assert Connection().config["connid"] != Connection().config["connid"]
    assert given == {"allow_public_attrs": True, "connid": "mine"}


def test_a_set_of_safe_attributes_that_was_given_is_taken_as_it_is() -> None:
    safe = {"numbers"}
    assert Connection(config={"safe_attrs": safe}).config["safe_attrs"] is safe


def test_handlers_may_be_changed_for_one_connection() -> None:
    one, other = Connection(), Connection()
    one.handlers[wire.PING] = lambda _, data: (data, "changed")
    one.codec.dialect = other.codec.dialect = 6
    frames = [conn.handle(1, wire.PING, (wire.VALUE, (5,))) for conn in (one, other)]
    assert b"changed" in frames[0]
    assert b"changed" not in frames[1]


def test_an_idle_connection_is_small() -> None:
    Connection()
    tracemalloc.start()
    kept = [Connection() for _ in range(100)]
    size = tracemalloc.get_traced_memory()[0] / len(kept)
    tracemalloc.stop()
    assert size < 3000


class Meeting:
    """Returns only when two are there."""

    def __init__(self) -> None:
        self.barrier = threading.Barrier(2, timeout=10)

    def meet(self) -> int:
        return self.barrier.wait()


@pytest.mark.parametrize("together", [False, True])
def test_several_threads_serve_several_requests_at_once(together: bool) -> None:
    here, there = socket.socketpair()
    server = connect_socket(there, Meeting(), {"allow_all_attrs": True})
    serving = threading.Thread(target=server.serve_threaded, args=(2,))
    serving.start()
    with connect_socket(here) as client:
        proxy = client.root.meet
        send = client.link.send
        sent: list[bytes] = []
        if together:
            client.link.send = sent.append  # type: ignore[assignment, method-assign]
        first = client.async_request(wire.CALL, proxy, ())
        second = client.async_request(wire.CALL, proxy, ())
        client.link.send = send  # type: ignore[method-assign]
        if together:
            send(b"".join(sent))
        assert sorted([first.value, second.value]) == [0, 1]
    serving.join(10)
    assert not serving.is_alive()
    with pytest.raises(ValueError, match="1 thread or more"):
        server.serve_threaded(0)


@pytest.mark.parametrize(("value", "bound"), [("true", True), ("TRUE", True), ("0", False), (None, False)])
def test_threads_are_bound_where_the_environment_says_so(value: str | None, bound: bool) -> None:
    environment = {name: text for name, text in os.environ.items() if name != "RPYC_BIND_THREADS"}
    if value is not None:
        environment["RPYC_BIND_THREADS"] = value
    program = "from anycore.objects.config import make_config, shared_config as s; print(make_config()['bind_threads'], s()['bind_threads'])"
    printed = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert printed.stdout.split() == [str(bound)] * 2
