"""The asyncio client: tasks, cancellation, and methods as attributes."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import TYPE_CHECKING, Any

import pytest

from anycore.clients import aconnect
from anycore.wire import jsonrpc

if TYPE_CHECKING:
    from collections.abc import Callable


def echo(peer: Any) -> None:
    message = json.loads(peer.request()[2])
    peer.reply(jsonrpc.encode_result(message["id"], [message["method"], message["params"]]))


async def test_methods_are_attributes(serve: Callable[..., Any]) -> None:
    async with aconnect(f"jsonrpc+http://{serve(echo).address}") as client:
        assert await client.thermostat.set(21.5) == ["thermostat.set", [21.5]]
        assert repr(client.thermostat).startswith("<method thermostat of <asyncio client of jsonrpc+http://127.0.0.1:")
        assert not hasattr(client, "__wrapped__")


async def test_tasks_share_a_client(serve: Callable[..., Any]) -> None:
    together = threading.Barrier(4)

    def script(peer: Any) -> None:
        together.wait()
        echo(peer)
        echo(peer)

    server = serve(*[script] * 4)
    async with aconnect(f"jsonrpc+http://{server.address}") as client:
        for name in ("first", "later"):
            answers = await asyncio.gather(*(client.call(name, number) for number in range(4)))
            assert answers == [[name, [number]] for number in range(4)]
    assert server.connections == 4


async def test_a_cancelled_call_takes_its_connection_along(serve: Callable[..., Any]) -> None:
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    ended = threading.Event()

    def script(peer: Any) -> None:
        peer.request()
        loop.call_soon_threadsafe(asked.set)
        peer.socket.recv(1)
        ended.set()

    server = serve(script, echo)
    async with aconnect(f"jsonrpc+http://{server.address}") as client:
        call = asyncio.create_task(client.call("m"))
        await asked.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await asyncio.to_thread(ended.wait)
        assert await client.call("n") == ["n", []]


async def test_a_connection_closed_while_idle_is_not_used(serve: Callable[..., Any]) -> None:
    server = serve(echo, echo)
    async with aconnect(f"jsonrpc+http://{server.address}") as client:
        await client.call("m")
        (idle,) = client._idle
        await idle.closed
        assert await client.call("n") == ["n", []]
