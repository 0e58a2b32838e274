"""Our asyncio client against the original's server, in both dialects, with and without bound threads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from anycore.objects.exceptions import GenericException
from anycore.rpyc import aio
from anycore.wire import rpyc_constants as wire

Server = tuple[int, dict[str, Any], int]


@pytest.fixture
async def conn(their_server: Server) -> AsyncIterator[aio.Connection]:
    port, config, dialect = their_server
    async with await aio.connect("127.0.0.1", port, config=config, dialect=dialect) as made:
        yield made


async def test_calls_and_values(conn: aio.Connection) -> None:
    root = conn.root
    assert await root.add(1, b=2) == 3
    assert await root.x == 5
    foo = await root.foo()
    assert (await foo.get(), await aio.length(foo)) == (3, 7)
    items = await root.items()
    assert await items[3] == 3
    assert [item async for item in items] == [item async for item in root.items()] == list(range(1000))
    assert sum([item async for item in aio.read_ahead(items)]) == 499500
    assert await aio.value(items) == await aio.by_value(root.items)() == list(range(1000))
    assert await aio.value(root.table()) == {"a": 1}
    assert await aio.compare(items, "==", await root.echo(items)) is True
    assert (await aio.represent(items))[:3] == "[0,"
    assert "exposed_add" in await aio.dir_of(root)
    assert isinstance(await aio.hash_of(root), int)
    same = object()
    assert await root.echo(same) is same
    assert await aio.value((await root.echo((1, [2], "x")))[1]) == [2]


async def test_exceptions(conn: aio.Connection) -> None:
    with pytest.raises(ValueError, match="Remote Traceback") as raised:
        await conn.root.fail()
    assert raised.value.args == ("oops", 7)
    with pytest.raises(GenericException, match="because"):
        await conn.root.demand()
    with pytest.raises(StopAsyncIteration):
        await conn.root.stop()
    with pytest.raises(AttributeError, match="cannot access"):
        await conn.root.secret


async def test_callbacks(conn: aio.Connection) -> None:
    root = conn.root

    async def deeper(depth: int) -> Any:
        return await root.down(deeper, depth)

    assert await root.call(lambda n: n * 2, 10) == 20
    assert await root.down(deeper, 20) == 20


async def test_many_tasks(conn: aio.Connection) -> None:
    assert await asyncio.gather(*(conn.root.add(n) for n in range(200))) == list(range(1, 201))


async def test_contexts(conn: aio.Connection) -> None:
    async with conn.root.foo() as foo:
        assert await aio.length(foo) == 7
    assert await foo.get() is None


async def test_a_call_that_is_given_up(conn: aio.Connection) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await conn.root.call(asyncio.Event().wait)
    assert await conn.root.add(1) == 2


async def test_proxies_that_go_are_given_back(conn: aio.Connection) -> None:
    first = await conn.root.foo()
    pack = object.__getattribute__(first, "____id_pack__")
    del first
    await conn.ping()  # until a task waits again, its loop keeps the last thing it waited for
    with pytest.raises(KeyError):
        await conn._engine.ask(wire.INSPECT, pack)


async def test_pings(conn: aio.Connection) -> None:
    assert await conn.ping() > 0


async def test_the_other_dialect_is_told(their_server: Server) -> None:
    port, config, dialect = their_server
    with pytest.raises((EOFError, TimeoutError)):
        await aio.connect("127.0.0.1", port, config=config, dialect=11 - dialect, timeout=5)
