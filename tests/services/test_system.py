from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import pytest

from anycore.kernel.call import Call, Identity, Peer
from anycore.kernel.kernel import Kernel
from anycore.kernel.plugin import Plugin, exposed
from anycore.kernel.policy import AccessPolicy, Decision
from anycore.kernel.registry import verify
from anycore.services.system import System
from anycore.wire.faults import (
    ACCESS_DENIED,
    APPLICATION_ERROR,
    DEADLINE_EXCEEDED,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    Fault,
)

STRANGER = Peer("tcp", "192.0.2.1", 7, local=False)
GUEST = Peer("tcp", "192.0.2.2", 7, local=False)


class Room(Plugin):
    @exposed(aliases=("heat",))
    def celsius(self, at: int = 0) -> float:
        """Return the temperature.

        In degrees.
        """
        return 20.0 + at

    @exposed
    async def wait(self, value: int) -> int:
        await asyncio.sleep(0)
        return value

    @exposed
    def fail(self) -> None:
        message = "cold"
        raise ValueError(message)

    @exposed
    def who(self, call: Call) -> str:
        return f"{call.peer.host} {call.wire}"


class Rules(Plugin, AccessPolicy):
    """Those on this machine may everything; the guest may `system.` and `room.celsius`."""

    def decide(self, identity: Identity, peer: Peer, method: str) -> Decision:
        guest = peer is GUEST and (method == "room.celsius" or method.startswith("system."))
        return Decision(allowed=peer.local or guest, reason="test")


@pytest.fixture
def kernel() -> Kernel:
    kernel = Kernel()
    system = System(kernel, asyncio.run)
    kernel.registry.commit([verify(system, "anycore"), verify(Room(), "test"), verify(Rules(), "test")])
    return kernel


def ask(kernel: Kernel, name: str, *args: Any, peer: Peer | None = None, deadline: float | None = None) -> Any:
    return kernel.handle(Call(name, args, None, peer or Peer(), "xmlrpc", deadline)).unwrap()


SYSTEM = ["discover", "getCapabilities", "listMethods", "methodHelp", "methodSignature", "multicall", "properties",
          "statistics"]  # fmt: skip


def test_all_methods_are_listed_with_their_aliases(kernel: Kernel) -> None:
    names = ask(kernel, "system.listMethods")

    assert sorted(names) == sorted(
        [*(f"system.{name}" for name in SYSTEM), "rpc.discover", "heat", *(f"room.{n}" for n in ("celsius", "wait", "fail", "who"))]
    )  # fmt: skip


def test_a_caller_is_told_of_what_it_may_call_only(kernel: Kernel) -> None:
    expected = {*(f"system.{name}" for name in SYSTEM), "rpc.discover", "room.celsius", "heat"}

    assert set(ask(kernel, "system.listMethods", peer=GUEST)) == expected
    assert {method["name"] for method in ask(kernel, "rpc.discover", peer=GUEST)["methods"]} == expected
    assert set(ask(kernel, "system.statistics", peer=GUEST)) == {
        "room", "room.celsius", "system", *(f"system.{name}" for name in SYSTEM)
    }  # fmt: skip
    with pytest.raises(Fault) as caught:
        ask(kernel, "system.listMethods", peer=STRANGER)
    assert caught.value.code == ACCESS_DENIED


@pytest.mark.parametrize("question", ["system.methodHelp", "system.methodSignature"])
def test_what_a_caller_may_not_call_is_as_if_it_were_not_there(kernel: Kernel, question: str) -> None:
    told = []
    for name in ("room.wait", "room.missing"):
        with pytest.raises(Fault) as caught:
            ask(kernel, question, name, peer=GUEST)
        told.append((caught.value.code, caught.value.message.replace(name, "NAME")))

    assert told[0] == told[1]
    assert told[0][0] == METHOD_NOT_FOUND


def test_help_and_signatures_also_by_alias(kernel: Kernel) -> None:
    assert ask(kernel, "system.methodHelp", "heat") == "Return the temperature.\n\nIn degrees."
    assert ask(kernel, "system.methodHelp", "room.fail") == ""
    assert ask(kernel, "system.methodSignature", "heat", peer=GUEST) == [["double"], ["double", "int"]]


def test_several_calls_in_one(kernel: Kernel) -> None:
    names = [("room.celsius", [1]), ("room.wait", [5]), ("room.fail", []), ("room.missing", []), ("room.celsius", ["x"]),
             ("room.who", []), ("system.multicall", [[]])]  # fmt: skip
    results = ask(kernel, "system.multicall", [{"methodName": name, "params": params} for name, params in names])

    assert [results[0], results[1], results[5]] == [[21.0], [5], [" xmlrpc"]]
    faults = [results[index] for index in (2, 3, 4, 6)]
    assert [set(fault) for fault in faults] == [{"faultCode", "faultString"}] * 4
    assert [fault["faultCode"] for fault in faults] == [
        APPLICATION_ERROR, METHOD_NOT_FOUND, INVALID_PARAMS, INVALID_REQUEST,
    ]  # fmt: skip
    assert faults[0]["faultString"] == "room.fail: ValueError: cold"


def test_each_of_several_calls_is_judged_by_itself(kernel: Kernel) -> None:
    calls = [{"methodName": "room.celsius"}, {"methodName": "room.wait", "params": [1]}]
    allowed, denied = ask(kernel, "system.multicall", calls, peer=GUEST)

    assert allowed == [20.0]
    assert denied["faultCode"] == ACCESS_DENIED


def test_several_calls_share_one_deadline(kernel: Kernel) -> None:
    class Slow(Plugin):
        @exposed
        def until_it_is_over(self, call: Call) -> None:
            while (call.remaining() or 0) > 0:
                pass

    kernel.registry.commit([verify(Slow(), "test")])
    calls = [{"methodName": "room.celsius"}, {"methodName": "slow.until_it_is_over"}, {"methodName": "room.celsius"}]
    first, _, last = ask(kernel, "system.multicall", calls, deadline=time.monotonic() + 0.05)

    assert first == [20.0]
    assert last["faultCode"] == DEADLINE_EXCEEDED


@pytest.mark.parametrize(
    ("calls", "message"),
    [
        ([{"methodName": "a.b"}] * 1001, "system.multicall: 1001 calls were given; send at most 1000 at once"),
        (
            [{"methodName": "a.b"}, {"methodName": 5}],
            "system.multicall: parameter 'calls[1].methodName': expected `str`",
        ),
        ([{"params": []}], "system.multicall: parameter 'calls[0]': object missing required field `methodName`"),
        ({}, "system.multicall: parameter 'calls': expected `array`, got `object`"),
    ],
)
def test_several_calls_must_be_calls(kernel: Kernel, calls: Any, message: str) -> None:
    with pytest.raises(Fault) as caught:
        ask(kernel, "system.multicall", calls)
    assert caught.value.code == INVALID_PARAMS
    assert caught.value.message.startswith(message)


def test_what_the_server_follows(kernel: Kernel) -> None:
    found = ask(kernel, "system.getCapabilities")

    assert {"xmlrpc", "introspection", "system.multicall", "nil", "faults_interop"} <= set(found)
    assert all(set(one) == {"specUrl", "specVersion"} for one in found.values())


def test_what_the_server_is(kernel: Kernel) -> None:
    found = ask(kernel, "system.properties")

    assert found["version"] == version("anycore")
    assert found["plugins"] == ["room", "system"]  # and none of which the caller may call nothing
    assert found["uptime"] >= 0
    assert found["start_time"] <= found["server_time"] <= datetime.now(UTC)


def test_how_it_fares(kernel: Kernel) -> None:
    ask(kernel, "room.celsius")
    ask(kernel, "heat")
    with pytest.raises(Fault):
        ask(kernel, "room.fail")
    found = ask(kernel, "system.statistics")

    assert (found["room.celsius"]["count"], found["room.celsius"]["errors"]) == (2, 0)
    assert (found["room"]["count"], found["room"]["errors"]) == (3, 1)
    assert found["system.statistics"]["running"] == 1
    assert 0 < found["room"]["min"] <= found["room"]["p50"] <= found["room"]["max"] < 10


def test_the_document_has_the_version_of_the_server(kernel: Kernel) -> None:
    assert ask(kernel, "rpc.discover")["info"]["version"] == version("anycore")
    assert ask(kernel, "rpc.discover") == ask(kernel, "system.discover")
