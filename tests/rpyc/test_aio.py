"""The asyncio client against our server: awaitable proxies, many tasks, time limits, callbacks, ends, connecting again."""

from __future__ import annotations

import asyncio
import copy
import gc
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any, Self

import pytest

from anycore.rpyc import aio
from anycore.rpyc.aio.proxy import DOTTED
from anycore.rpyc.root import PluginRoot, _Names
from anycore.rpyc.service import Service
from anycore.testing.certificate import client_context, server_context
from anycore.wire.rpyc import FrameDecoder, MessageCodec
from anycore.wire.rpyc_constants import VALUE

Connect = Callable[..., Any]


class Thing:
    def __init__(self) -> None:
        self.exposed_color = "red"
        self.left: Any = None

    def __len__(self) -> int:
        return 7

    def __eq__(self, other: object) -> bool:
        return other == "thing"

    def __hash__(self) -> int:
        return 42

    def __str__(self) -> str:
        return "a thing"

    def __repr__(self) -> str:
        return "Thing()"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> bool:
        self.left = kind
        return kind is not None and issubclass(kind, KeyError)

    def exposed_left(self) -> str:
        return getattr(self.left, "__name__", "nothing")

    def __iter__(self) -> Iterator[int]:
        return iter(range(5))


class Everything(Service):
    exposed_x = 5

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.begun = threading.Event()
        self.ended = threading.Event()
        self.table: dict[str, Any] = {"a": [1, (2, [3])], "b": {4}}
        self.pulled = 0
        self.conn: Any = None

    def on_connect(self, conn: Any) -> None:
        self.conn = conn

    def on_disconnect(self, conn: Any) -> None:
        self.ended.set()

    def exposed_add(self, a: int, b: int = 1) -> int:
        return a + b

    def exposed_thing(self) -> Thing:
        return Thing()

    def exposed_items(self, count: int) -> list[int]:
        return list(range(count))

    def exposed_table(self) -> dict[str, Any]:
        return self.table

    def exposed_loop(self) -> list[Any]:
        items: list[Any] = []
        items.append(items)
        return items

    def exposed_pull(self) -> Iterator[int]:
        for number in range(100):
            self.pulled = number
            yield number

    def exposed_pulled(self) -> int:
        return self.pulled

    def exposed_wait(self) -> Any:
        self.begun.set()
        assert self.gate.wait(20)
        return Thing()

    def exposed_call(self, function: Any, *args: Any) -> Any:
        return function(*args)

    def exposed_fail(self, name: str) -> None:
        raise {"value": ValueError("no", 3), "exit": SystemExit(3), "stop": StopIteration(1)}[name]

    def exposed_objects(self) -> int:
        gc.collect()
        return len(self.conn.table)

    def exposed_hang_up(self) -> None:
        self.conn.close()


@pytest.fixture
async def connected(serve: Connect) -> AsyncIterator[tuple[aio.Connection, Everything]]:
    service = Everything()
    async with await aio.connect("127.0.0.1", serve(service, {"allow_setattr": True, "allow_delattr": True})) as conn:
        yield conn, service
    service.gate.set()
    await asyncio.to_thread(service.ended.wait, 10)


@pytest.fixture
def conn(connected: tuple[aio.Connection, Everything]) -> aio.Connection:
    return connected[0]


@pytest.fixture
def service(connected: tuple[aio.Connection, Everything]) -> Everything:
    return connected[1]


async def test_attributes_and_calls_are_awaited(conn: aio.Connection) -> None:
    assert await conn.root.x == 5
    assert await conn.root.add(2, b=3) == 5
    add = await conn.root.add
    assert await add(4) == 5
    assert await (await conn.root).x == 5


async def test_a_call_below_the_root_is_one_round_trip(conn: aio.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    ask = conn._engine.async_request

    def counting(*args: Any, **options: Any) -> Any:
        asked.append(args[0])
        return ask(*args, **options)

    monkeypatch.setattr(conn._engine, "async_request", counting)
    await conn.root.add(1)
    await conn.root.thing()  # an instance of a class that was never seen: nothing is asked about it
    assert len(asked) == 2


async def test_nothing_is_sent_before_it_is_awaited(conn: aio.Connection, service: Everything) -> None:
    call = conn.root.add(1)
    path = conn.root.add
    assert "await it" in repr(call)
    assert repr(path) == "<path root.add: await it, or call it>"
    call.close()
    with pytest.raises(TypeError, match="has no value yet; await it first"):
        await conn.root.call(path)
    with pytest.raises(RuntimeError):
        await call


async def test_a_call_never_awaited_is_told(conn: aio.Connection) -> None:
    call = conn.root.add(1)
    with pytest.warns(RuntimeWarning, match="'add' was never awaited"):
        del call


async def test_any_number_of_tasks(conn: aio.Connection) -> None:
    assert await asyncio.gather(*(conn.root.add(n) for n in range(300))) == list(range(1, 301))
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(conn.root.add(n)) for n in range(10)]
    assert [task.result() for task in tasks] == list(range(1, 11))


async def test_what_python_does_at_once_is_awaited(conn: aio.Connection) -> None:
    thing = await conn.root.thing()
    assert await aio.length(thing) == 7
    assert (await aio.text(thing), await aio.represent(thing)) == ("a thing", "Thing()")
    assert await aio.hash_of(thing) == 42
    assert await aio.compare(thing, "==", "thing") is True
    assert await aio.compare(thing, "!=", "thing") is False
    assert "exposed_left" in await aio.dir_of(thing)
    await aio.set_attr(thing, "color", "blue")
    assert await thing.color == await aio.get_attr(thing, "exposed_color") == "blue"
    await aio.del_attr(thing, "color")
    with pytest.raises(AttributeError):
        await thing.color
    with pytest.raises(ValueError, match="no operator '<>'; there are =="):
        await aio.compare(thing, "<>", 1)


async def test_items(conn: aio.Connection) -> None:
    table = await conn.root.table()
    await aio.set_item(table, "n", 5)
    assert await table["n"] == 5
    assert await aio.contains(table, "n") is True
    await aio.del_item(table, "n")
    assert await aio.contains(table, "n") is False
    with pytest.raises(KeyError):
        await table["n"]


async def test_what_cannot_wait_is_refused_with_the_cure(conn: aio.Connection) -> None:
    thing = await conn.root.thing()
    with pytest.raises(AttributeError, match=r"await aio.set_attr\(..., 'x', ...\)"):
        thing.x = 1
    with pytest.raises(AttributeError, match=r"await aio.del_attr\(..., 'x'\)"):
        del thing.x
    with pytest.raises(AttributeError, match=r"aio.get_attr\(..., '__wrapped__'\)"):
        _ = thing.__wrapped__
    with pytest.raises(TypeError, match="not iterable"):
        iter(thing)
    with pytest.raises(TypeError):
        _ = 1 in thing
    for remote in (thing, thing.x):
        with pytest.raises(TypeError, match="cannot be copied or pickled"):
            copy.copy(remote)
    with pytest.raises(TypeError, match="write `async with await"):
        async with conn.root.thing:
            pass
    with pytest.raises(TypeError, match="an object of the other side is needed, not int: 5"):
        await conn.root.x.real


async def test_the_same_object_is_the_same_proxy(conn: aio.Connection) -> None:
    assert await conn.root.table() is await conn.root.table()
    ours = object()
    assert await conn.root.call(lambda: ours) is ours


@pytest.mark.parametrize("count", [0, 1, 31, 32, 33, 1000, 3000])
async def test_async_for_reads_ahead(conn: aio.Connection, count: int) -> None:
    assert [item async for item in conn.root.items(count)] == list(range(count))
    assert [item async for item in await conn.root.items(count)] == list(range(count))
    assert await aio.value(conn.root.items(count)) == list(range(count))


async def test_a_generator_is_not_run_ahead_unless_asked_for(conn: aio.Connection) -> None:
    async for number in conn.root.pull():
        assert await conn.root.pulled() == number
        if number == 3:
            break
    numbers = aio.read_ahead(conn.root.pull(), chunk=10)
    assert await anext(numbers) == 0
    assert await conn.root.pulled() == 9
    assert [number async for number in numbers] == list(range(1, 100))
    assert [number async for number in conn.root.thing()] == list(range(5))
    with pytest.raises(ValueError, match="1 or more, not 0"):
        aio.read_ahead(conn.root, chunk=0)


async def test_values_are_copies(conn: aio.Connection) -> None:
    assert await aio.value(conn.root.table()) == {"a": [1, (2, [3])], "b": {4}}
    assert await aio.by_value(conn.root.table)() == {"a": [1, (2, [3])], "b": {4}}
    assert type(await aio.value(conn.root.thing())) is aio.Proxy
    assert await aio.value(5) == 5
    with pytest.raises(ValueError, match="contains itself"):
        await aio.value(conn.root.loop())


async def test_a_context_is_left_with_the_error(conn: aio.Connection) -> None:
    async with conn.root.thing() as thing:
        assert await thing.left() == "nothing"
    async with await conn.root.thing() as thing:
        raise KeyError("taken")
    assert await thing.left() == "KeyError"
    with pytest.raises(LookupError):
        async with conn.root.thing() as thing:
            raise LookupError
    assert await thing.left() == "LookupError"


async def test_exceptions(conn: aio.Connection) -> None:
    with pytest.raises(ValueError, match="Remote Traceback") as raised:
        await conn.root.fail("value")
    assert raised.value.args == ("no", 3)
    with pytest.raises(StopAsyncIteration):
        await conn.root.fail("stop")
    with pytest.raises(Exception, match="the other side raised SystemExit") as raised_too:
        await conn.root.fail("exit")
    assert not isinstance(raised_too.value, SystemExit)


# Time.


async def test_a_call_has_a_time_limit_of_its_own(conn: aio.Connection, service: Everything) -> None:
    with conn.timeout(0.05), pytest.raises(TimeoutError, match=r"no answer came within 0.05 s"):
        await conn.root.wait()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await conn.root.wait()
    service.gate.set()
    assert await conn.root.add(1) == 2
    with pytest.raises(ValueError, match="above 0"), conn.timeout(0):
        pass


async def test_the_time_limit_of_the_configuration(serve: Connect) -> None:
    service = Everything()
    port = serve(service)
    async with await aio.connect("127.0.0.1", port, config={"sync_request_timeout": 0.05}) as conn:
        with pytest.raises(TimeoutError):
            await conn.root.wait()
        service.gate.set()
        with conn.timeout(None):
            await conn.root.wait()


async def test_a_late_answer_gives_its_references_back(conn: aio.Connection, service: Everything) -> None:
    before = await conn.root.objects()
    task = asyncio.ensure_future(conn.root.wait())
    await asyncio.to_thread(service.begun.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    service.gate.set()
    async with asyncio.timeout(10):
        while await conn.root.objects() > before:
            pass
    assert not conn._engine._pending
    assert not conn._engine._given_up


async def test_dropped_proxies_are_given_back(conn: aio.Connection) -> None:
    before = await conn.root.objects()
    things = await asyncio.gather(*(conn.root.thing() for _ in range(50)))
    assert await conn.root.objects() == before + 50
    del things
    gc.collect()
    async with asyncio.timeout(10):
        while await conn.root.objects() > before:
            pass


# Callbacks.


async def test_functions_and_coroutine_functions_are_called_back_on_the_loop(conn: aio.Connection) -> None:
    thread = threading.get_ident()

    def plain(number: int) -> int:
        assert threading.get_ident() == thread
        return number * 2

    async def awaiting(number: int) -> int:
        assert threading.get_ident() == thread
        return int(await conn.root.add(number, 5))  # while the server waits for this one

    async def failing() -> None:
        await asyncio.sleep(0)
        raise LookupError("mine")

    assert await conn.root.call(plain, 3) == 6
    assert await conn.root.call(awaiting, 3) == 8
    with pytest.raises(LookupError, match="mine"):
        await conn.root.call(failing)

    async def leads_on() -> Any:
        return await conn.root.thing()

    assert type(await conn.root.call(leads_on)) is aio.Proxy
    assert await conn.root.call(lambda: conn.root.add(1)) == 2


async def test_a_callback_that_nobody_waits_for_ends_with_the_connection(serve: Connect) -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def endless() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with await aio.connect("127.0.0.1", serve(Everything())) as conn:
        task = asyncio.ensure_future(conn.root.call(endless))
        await begun.wait()
        conn.drop("enough")
    with pytest.raises(EOFError, match="enough"):
        await task
    async with asyncio.timeout(10):
        await cancelled.wait()


# The end.


class Told:
    def __init__(self) -> None:
        self.events: list[str] = []

    async def on_connect(self, conn: aio.Connection) -> None:
        self.events.append(f"connected {await conn.root.x}")

    async def on_disconnect(self, conn: aio.Connection) -> None:
        await asyncio.sleep(0)
        self.events.append(conn.end_reason)


async def test_a_service_is_told(serve: Connect) -> None:
    service = Told()
    async with await aio.connect("127.0.0.1", serve(Everything()), service=service):
        assert service.events == ["connected 5"]
    assert service.events == ["connected 5", "closed by this side"]


async def test_a_service_that_refuses(serve: Connect) -> None:
    class Refusing:
        def on_connect(self, conn: Any) -> None:
            raise PermissionError("not today")

    with pytest.raises(PermissionError, match="not today"):
        await aio.connect("127.0.0.1", serve(Everything()), service=Refusing)


async def test_everybody_who_waits_learns_why_it_ended(conn: aio.Connection, service: Everything) -> None:
    waiting = [asyncio.ensure_future(conn.root.wait()) for _ in range(3)]
    await asyncio.to_thread(service.begun.wait, 10)
    held = conn.root
    await conn.close()
    for task in waiting:
        with pytest.raises(EOFError, match="the connection has ended: closed by this side"):
            await task
    with pytest.raises(EOFError, match="closed by this side"):
        await held.add(1)
    assert conn.closed
    await conn.close()


async def test_the_server_closes(conn: aio.Connection) -> None:
    with pytest.raises(EOFError, match=r"the connection has ended: the other side|closed by the other side"):
        await conn.root.hang_up()
    await conn.wait_closed()
    assert conn.closed


async def test_many_close_at_once(conn: aio.Connection) -> None:
    await asyncio.gather(conn.close(), conn.close(), conn.close())
    assert conn.end_reason == "closed by this side"


async def test_a_connection_belongs_to_one_loop(conn: aio.Connection) -> None:
    async def elsewhere() -> None:
        with pytest.raises(RuntimeError, match="belongs to another event loop"):
            await conn.root.add(1)

    await asyncio.to_thread(asyncio.run, elsewhere())


# Peers that do not behave.


@asynccontextmanager
async def peer(behave: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> AsyncIterator[int]:
    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await behave(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(once, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_another_kind_of_server() -> None:
    async def speaks_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read()

    async with peer(speaks_http) as port:
        with pytest.raises(EOFError, match=r"the other side broke the protocol: .*may not be RPyC"):
            await aio.connect("127.0.0.1", port)


async def test_a_silent_server() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with peer(silent) as port:
        with pytest.raises(TimeoutError, match=r"no connection to an RPyC server within 0.05 s"):
            await aio.connect("127.0.0.1", port, timeout=0.05)


async def test_a_server_that_falls_silent_is_given_up() -> None:
    async def falls_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        decoder, codec = FrameDecoder(), MessageCodec(6)
        while not (payloads := decoder.feed(await reader.read(1000))):
            pass
        writer.write(codec.encode_reply(codec.decode(payloads[0]).seq, (VALUE, None)))
        await reader.read(-1)

    async with peer(falls_silent) as port:
        conn = await aio.connect("127.0.0.1", port, ping_interval=0.05)
        await conn.wait_closed()
        assert "and did not answer a ping" in conn.end_reason


async def test_pings_keep_a_connection(serve: Connect) -> None:
    async with await aio.connect("127.0.0.1", serve(Everything()), ping_interval=0.5, keepalive=5) as conn:
        assert await conn.ping() > 0
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.2):
                await conn.wait_closed()
        assert await conn.root.add(1) == 2
    with pytest.raises(ValueError, match="ping_interval"):
        await aio.connect("127.0.0.1", 1, ping_interval=0)


async def test_nobody_there() -> None:
    with pytest.raises(OSError, match="onnect"):
        await aio.connect("127.0.0.1", 1)
    with pytest.raises(FileNotFoundError):
        await aio.unix_connect("/nowhere/at.all")


async def test_the_older_dialect(serve: Connect) -> None:
    async with await aio.connect("127.0.0.1", serve(Everything()), dialect=5) as conn:
        assert await conn.root.add(1) == 2


async def test_tls(serve: Connect) -> None:
    context = server_context()

    def wrap(accepted: Any) -> Any:
        return context.wrap_socket(accepted, server_side=True)

    port = serve(Everything(), None, wrap)
    async with await aio.connect("localhost", port, ssl=client_context()) as conn:
        assert await conn.root.call(lambda n: n + 1, 2) == 3
    with pytest.raises(ssl.SSLCertVerificationError):
        await aio.connect("localhost", port, ssl=True)


# Connecting again.


async def test_a_client_connects_again_and_repeats_nothing(serve: Connect) -> None:
    service = Everything()
    port = serve(service)
    async with aio.Reconnecting(lambda: aio.connect("127.0.0.1", port), first_delay=0.01) as client:
        assert await client.root.add(1) == 2
        waiting = asyncio.ensure_future(client.root.wait())
        await asyncio.to_thread(service.begun.wait, 10)
        service.begun.clear()
        (await client.connection()).drop("the cable was cut")
        service.gate.set()
        with pytest.raises(EOFError, match="the cable was cut"):
            await waiting
        assert await client.root.add(2) == 3
        assert client.connections == 2
        assert not service.begun.is_set()  # not asked a second time
    with pytest.raises(ConnectionError, match="the client is closed"):
        await client.root.add(1)


async def test_a_call_waits_for_a_connection_with_patience() -> None:
    async with aio.Reconnecting(lambda: aio.connect("127.0.0.1", 1), patience=0.1, first_delay=0.01) as client:
        assert repr(client) == "<reconnecting client, not connected>"
        with pytest.raises(ConnectionError, match=r"no connection within 0.1 s; the last attempt failed: .*onnect"):
            await client.root.add(1)


async def test_a_mistake_is_not_made_again_and_again() -> None:
    async def mistaken() -> aio.Connection:
        raise TypeError("a mistake")

    client = aio.Reconnecting(mistaken)
    with pytest.raises(ConnectionError, match="a mistake"):
        await client.root.add(1)
    await client.close()


def test_the_names_of_objects_with_dotted_attributes() -> None:
    assert {f"{cls.__module__}.{cls.__qualname__}" for cls in (PluginRoot, _Names)} == DOTTED
