from __future__ import annotations

import asyncio
import threading
from typing import Any

import msgspec
import pytest

from anycore.conversations.site import Limits
from anycore.kernel.call import Call, Peer
from anycore.kernel.plugin import Plugin, exposed
from anycore.kernel.registry import PluginRefusedError
from anycore.testing import connect
from anycore.wire.faults import (
    ACCESS_DENIED,
    DEADLINE_EXCEEDED,
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    RESULT_NOT_ENCODABLE,
    Fault,
)


class RoomSettings(msgspec.Struct):
    celsius: float = 20.0


class Room(Plugin):
    Settings = RoomSettings

    def __init__(self) -> None:
        self.events: list[str] = []

    def start(self) -> None:
        self.events.append("start")

    async def stop(self) -> None:
        await asyncio.sleep(0)
        self.events.append("stop")

    @exposed
    def celsius(self) -> float:
        return float(self.settings.celsius)

    @exposed
    def echo(self, value: Any) -> Any:
        return value

    @exposed
    async def wait(self, seconds: float) -> float:
        await asyncio.sleep(seconds)
        return seconds

    @exposed
    def left(self, call: Call) -> float | None:
        return call.remaining()

    @exposed
    def bad(self) -> list[Any]:
        return [1, object()]


both = pytest.mark.parametrize("wire", ["jsonrpc", "xmlrpc"])


def code_of(error: pytest.ExceptionInfo[Fault]) -> int:
    return error.value.code


@both
def test_a_plugin_answers_as_it_would_over_a_socket(wire: str) -> None:
    room = Room()
    with connect(room, wire=wire) as client:
        assert room.events == ["start"]
        assert client.room.celsius() == 20.0
        assert client.call("room.echo", {"a": [1, None, "é"]}) == {"a": [1, None, "é"]}
        assert client.room.wait(0.0) == 0.0
        assert "room.echo" in client.methods()
        with pytest.raises(Fault, match=r"there is no method 'room\.missing'") as missing:
            client.room.missing()
        with pytest.raises(Fault, match=r"parameter 'seconds'") as wrong:
            client.room.wait("long")
        with pytest.raises(Fault, match=r"room\.bad: result\[1\]: ") as bad:
            client.room.bad()
        codes = [code_of(missing), code_of(wrong), code_of(bad)]
    assert codes == [METHOD_NOT_FOUND, INVALID_PARAMS, RESULT_NOT_ENCODABLE]
    assert room.events == ["start", "stop"]


def test_a_batch_and_a_notification() -> None:
    room = Room()
    with connect(room) as client:
        client.notify("room.echo", 1)
        assert client.batch([("room.echo", [5]), ("room.wait", [0.0])]) == [5, 0.0]
        assert client.kernel.registry.methods["room.echo"].statistics.summary().count == 2


def test_classes_are_instantiated_and_given_their_settings() -> None:
    with connect(Room, settings={"room": {"celsius": 5}}) as client:
        assert client.room.celsius() == 5.0


def test_access_is_judged_by_who_calls() -> None:
    with connect(Room, peer=Peer("tcp", "192.0.2.1", 7, local=False)) as client:
        with pytest.raises(Fault) as caught:
            client.room.celsius()
        assert code_of(caught) == ACCESS_DENIED


@both
def test_limits_and_deadlines_hold(wire: str) -> None:
    with connect(Room, wire=wire, limits=Limits(call_time=0.02)) as client:
        assert 0 < client.room.left() <= 0.02
        with pytest.raises(Fault) as caught:
            client.room.wait(30.0)
        assert code_of(caught) == DEADLINE_EXCEEDED


def test_plugins_that_a_server_would_refuse_are_refused() -> None:
    class Empty(Plugin):
        pass

    class System(Plugin):
        @exposed
        def ask(self) -> int:
            return 1

    with pytest.raises(PluginRefusedError, match="it exposes no method"):
        connect(Empty)
    with pytest.raises(PluginRefusedError, match="a plugin of that name already"):
        connect(System)
    with pytest.raises(PluginRefusedError, match=r"unknown key 'kelvin'"):
        connect(Room, settings={"room": {"kelvin": 1}})
    with pytest.raises(PluginRefusedError, match=r"there are settings for rooms, but no such plugin"):
        connect(Room, settings={"rooms": {}})


def test_another_wire_is_refused() -> None:
    with pytest.raises(ValueError, match=r"there is no wire 'soap' .* choose one of xmlrpc, jsonrpc"):
        connect(Room, wire="soap")


class Failing(Plugin):
    def start(self) -> None:
        message = "no sensor"
        raise OSError(message)

    @exposed
    def ask(self) -> int:
        return 1


class Unstoppable(Plugin):
    def stop(self) -> None:
        message = "stuck"
        raise OSError(message)

    @exposed
    def ask(self) -> int:
        return 1


def loops() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "anycore-loop"]


def test_when_a_plugin_does_not_start_the_others_are_stopped() -> None:
    room, before = Room(), loops()
    with pytest.raises(OSError, match="no sensor"):
        connect(room, Failing)
    assert room.events == ["start", "stop"]
    assert loops() == before


def test_when_a_plugin_does_not_stop_the_others_are_stopped_all_the_same() -> None:
    room, before = Room(), loops()
    client = connect(room, Unstoppable)
    client.room.wait(0.0)
    with pytest.raises(OSError, match="stuck"):
        client.close()
    assert room.events == ["start", "stop"]
    assert loops() == before
    client.close()
