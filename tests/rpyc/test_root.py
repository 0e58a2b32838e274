"""The plugins behind an RPyC root: reached by name, through the kernel's door, with results that a peer can use."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from anycore import Call, Fault, Peer, Plugin, exposed
from anycore.kernel.kernel import Kernel
from anycore.kernel.policy import AccessPolicy, Decision
from anycore.kernel.registry import verify
from anycore.objects.connection import Connection
from anycore.objects.proxy import is_proxy
from anycore.rpyc.root import PluginRoot, presentable
from anycore.testing.linked import linked
from anycore.wire.rpyc_constants import GETATTR


@dataclass
class Room:
    name: str
    target: float


class Colour(enum.Enum):
    RED = "red"


class House(Plugin):
    """Rooms."""

    @exposed(quick=True)
    def add(self, a: int, b: int = 1) -> int:
        """Add."""
        return a + b

    @exposed
    def room(self, room: Room) -> Room:
        """Return what came."""
        return room

    @exposed
    def rooms(self) -> list[Room]:
        """Return rooms."""
        return [Room("hall", 19.0)]

    @exposed(aliases=("top.level",))
    async def later(self, value: Any) -> Any:
        """Return a value, after a while."""
        await asyncio.sleep(0)
        return value

    @exposed
    def fail(self) -> None:
        """Fail."""
        raise Fault(7, "no")

    @exposed
    def apply(self, function: Any, value: int) -> Any:
        """Call the caller back."""
        return function(value) + 1

    @exposed
    def who(self, call: Call) -> tuple[str, str]:
        """Tell who calls."""
        return call.wire, call.peer.host


class OnlyAdd(Plugin, AccessPolicy):
    """Let callers add, and nothing else."""

    def decide(self, identity: Any, peer: Any, method: str) -> Decision:
        return Decision(allowed=method == "house.add", reason="test")


@contextmanager
def rooted(*plugins: Plugin, peer: Peer | None = None) -> Iterator[tuple[Connection, Kernel]]:
    kernel = Kernel()
    kernel.registry.commit([verify(plugin, "test") for plugin in plugins])
    with linked(PluginRoot(kernel, peer or Peer(), asyncio.run)) as (client, _):
        yield client, kernel


def test_methods_are_attributes_of_their_plugins() -> None:
    with rooted(House()) as (client, kernel):
        assert client.root.house.add(2, 3) == 5
        assert client.root.house.add(a=2) == 3
        assert client.root.house.later(7) == 7
        assert client.root.top.level(8) == 8
        assert dir(client.root) == ["house", "top"]
        assert "add" in dir(client.root.house)
        assert kernel.registry.methods["house.add"].statistics.summary().count == 2


def test_a_held_method_is_the_method_also_after_a_swap() -> None:
    with rooted(House()) as (client, kernel):
        add = client.root.house.add
        assert add(1) == 2

        class Other(Plugin):
            name = "house"

            @exposed
            def add(self, a: int) -> int:
                return a + 100

        kernel.registry.commit([verify(Other(), "test")], without=["house"])
        assert add(1) == 101
        kernel.registry.commit([], without=["house"])
        with pytest.raises(Exception, match="no method"):
            add(1)


def test_arguments_are_checked_and_containers_of_the_peer_fetched() -> None:
    with rooted(House()) as (client, _):
        room = client.root.house.room({"name": "attic", "target": 15})
        assert room["name"] == "attic"
        with pytest.raises(Exception, match=r"parameter 'room\.target': expected `float`"):
            client.root.house.room({"name": "attic", "target": "cold"})
        with pytest.raises(Exception, match="'a': expected `int`"):
            client.root.house.add("x")


def test_records_come_as_the_other_wires_carry_them() -> None:
    with rooted(House()) as (client, _):
        rooms = client.root.house.rooms()
        assert is_proxy(rooms)
        assert rooms[0]["name"] == "hall"


def test_callers_are_called_back() -> None:
    with rooted(House()) as (client, _):
        assert client.root.house.apply(lambda value: value * 10, 4) == 41


def test_faults_arrive_with_code_and_message() -> None:
    with rooted(House()) as (client, _), pytest.raises(Exception, match="no") as raised:
        client.root.house.fail()
    assert raised.value.args[:2] == (7, "no")


@pytest.mark.parametrize(
    "reach",
    [
        lambda root: root.nothing,
        lambda root: root.house.nothing,
        lambda root: root.kernel,
        lambda root: root.peer,
        lambda root: root._names,
        lambda root: root.__dict__,
        lambda root: root.house._root,
        lambda root: root.house.add.__func__,
        lambda root: root.house.add.__self__,
        lambda root: root.house.add.__globals__,
    ],
)
def test_nothing_else_can_be_reached(reach: Callable[[Any], Any]) -> None:
    with rooted(House()) as (client, _), pytest.raises(AttributeError):
        reach(client.root)


@pytest.mark.parametrize("name", ["__class__", "__init__", "__reduce__", "__getattribute__", "__subclasshook__", "mro"])
def test_no_dunder_leads_out(name: str) -> None:
    with rooted(House()) as (client, _):
        for target in (client.root, client.root.house, client.root.house.add):
            with pytest.raises(AttributeError):  # asked of the far end: here, some of them have an answer of their own
                client.sync_request(GETATTR, target, name)


def test_nothing_can_be_set_or_deleted() -> None:
    with rooted(House()) as (client, _):
        with pytest.raises(AttributeError):
            client.root.house = 1
        with pytest.raises(AttributeError):
            client.root.house.add = 1
        with pytest.raises(AttributeError):
            del client.root.house


def test_the_policy_is_asked_and_hides_what_it_denies() -> None:
    with rooted(House(), OnlyAdd()) as (client, _):
        assert client.root.house.add(1) == 2
        assert dir(client.root.house) == ["add"]
        texts = []
        for name in ("rooms", "missing"):
            with pytest.raises(AttributeError) as caught:
                getattr(client.root.house, name)()
            texts.append(str(caught.value).splitlines()[0].replace(name, "NAME"))
        assert (
            texts[0]
            == texts[1]
            == ("there is no plugin or method 'house.NAME' that you may call; system.listMethods names those there are")
        )


def test_callers_elsewhere_may_call_nothing_by_default() -> None:
    with (
        rooted(House(), peer=Peer.of_address(("10.0.0.1", 5))) as (client, _),
        pytest.raises(AttributeError, match="no plugin or method 'house' that you may call"),
    ):
        client.root.house.add(1)


def test_the_call_knows_wire_and_peer() -> None:
    with rooted(House(), peer=Peer("tcp", "127.0.0.1", 5)) as (client, _):
        assert client.root.house.who() == ("rpyc", "127.0.0.1")


class Point(msgspec.Struct):
    x: int


def test_presentable_changes_only_what_a_peer_could_not_read() -> None:
    kept = [1, "x", {"a": (2.0, None)}, {3}, object(), len]
    assert all(presentable(value) is value for value in kept)
    assert presentable(kept) is kept
    assert presentable(Room("a", 1.0)) == {"name": "a", "target": 1.0}
    assert presentable({"p": [Point(1)], "c": (Colour.RED,)}) == {"p": [{"x": 1}], "c": ("red",)}
    assert presentable(Room) is Room
