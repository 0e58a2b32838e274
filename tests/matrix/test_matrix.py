"""Every wire on every core over every transport: calls of methods of every mode, made by both clients over real sockets."""

from __future__ import annotations

import asyncio
import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from anycore import Call, Plugin, exposed
from anycore.clients import Fault, aconnect
from anycore.cores.asyncio import AsyncioCore
from anycore.cores.foreign.base import FOREIGN
from anycore.cores.prefork import PreforkCore
from anycore.cores.prefork_options import PreforkOptions
from anycore.testing import running
from anycore.testing.server import TRANSPORTS, WIRES
from anycore.wire.faults import APPLICATION_ERROR, INTERNAL_ERROR, INVALID_PARAMS, METHOD_NOT_FOUND

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from anycore.cores import CoreLimits, Listener
    from anycore.testing import RunningServer


def _without_uvloop(listeners: Sequence[Listener], limits: CoreLimits) -> AsyncioCore:
    return AsyncioCore(listeners, limits, uvloop=False)


def _two_processes(listeners: Sequence[Listener], limits: CoreLimits) -> PreforkCore:
    return PreforkCore(listeners, limits, PreforkOptions(workers=2))


CORES: dict[str, Any] = {
    "asyncio": _without_uvloop,
    "uvloop": "asyncio",
    "threaded": "threaded",
    "pool": "pool",
    "prefork": _two_processes,
    **{name: name for name in FOREIGN},
}
MODES = ("quick", "plain", "coroutine")
VALUE = {
    "text": "grüße, 世界 \U0001f600 <&>\"'",
    "numbers": [0, -1, 2**31 - 1, -(2**31), 1.5, -0.25],
    "truth": [True, False],
    "nested": [[[{"a": [{}]}]], []],
    "": "the empty key",
    "long": "x" * 10_000,
}


class Modes(Plugin):
    """The same methods in each mode."""

    def __init__(self) -> None:
        self.gate = multiprocessing.Event()  # also where the calls are made in several processes

    @exposed(quick=True)
    def quick(self, value: Any, times: int = 1) -> Any:
        """Return a value."""
        return _result(value, times)

    @exposed
    def plain(self, value: Any, times: int = 1) -> Any:
        """Return a value."""
        return _result(value, times)

    @exposed
    async def coroutine(self, value: Any, times: int = 1) -> Any:
        """Return a value."""
        await asyncio.sleep(0)
        return _result(value, times)

    @exposed
    def whoami(self, call: Call) -> list[Any]:
        """Tell how the call came."""
        return [call.wire, call.peer.transport, call.peer.local, bool(call.peer.tls)]

    @exposed
    def wait(self) -> bool:
        """Wait for others to pass."""
        return self.gate.wait(20)

    @exposed
    async def pass_by(self) -> bool:
        """Let the waiting one go."""
        self.gate.set()
        return True

    @exposed
    async def cancelled(self) -> None:
        """Fail as a coroutine does that waits for something that is cancelled."""
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    @exposed
    def exits(self) -> None:
        """Fail with what is no Exception."""
        raise GeneratorExit


def _result(value: Any, times: int) -> Any:
    if value == "fail":
        raise ValueError("on purpose")
    if value == "fault":
        raise Fault(1234, "a fault of its own")
    return value if times == 1 else [value] * times


EMPTY = {("granian", "mtls")}
"""Cells that cannot be: docs/reference/matrix.md says why."""
CELLS = [f"{core}-{transport}" for core in CORES for transport in TRANSPORTS if (core, transport) not in EMPTY]


@pytest.fixture(params=CELLS, scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[RunningServer]:
    core, _, transport = request.param.partition("-")
    with running(Modes, core=CORES[core], transport=transport) as made:
        yield made


each_wire = pytest.mark.parametrize("wire", WIRES)
each_mode = pytest.mark.parametrize("mode", MODES)


@each_wire
@each_mode
def test_values_come_back(server: RunningServer, wire: str, mode: str) -> None:
    with server.connect(wire) as client:
        assert client.call(f"modes.{mode}", VALUE) == VALUE
        assert client.call(f"modes.{mode}", None) is None
        assert client.call(f"modes.{mode}", "a", 3) == ["a"] * 3
        if wire == "jsonrpc":
            assert client.call(f"modes.{mode}", value=2**80, times=2) == [2**80] * 2
        else:
            then = datetime(2024, 2, 29, 12, 30, tzinfo=UTC)
            assert client.call(f"modes.{mode}", then).replace(tzinfo=UTC) == then
            assert client.call(f"modes.{mode}", b"\0\xff") == b"\0\xff"


@each_wire
@each_mode
def test_faults_come_back(server: RunningServer, wire: str, mode: str) -> None:
    with server.connect(wire) as client:
        for args, code, said in (
            (["fault"], 1234, "a fault of its own"),
            (["fail"], APPLICATION_ERROR, "on purpose"),
            (["a", "many"], INVALID_PARAMS, "times"),
            ([], INVALID_PARAMS, "value"),
        ):
            with pytest.raises(Fault, match=said) as caught:
                client.call(f"modes.{mode}", *args)
            assert caught.value.code == code
        with pytest.raises(Fault) as caught:
            client.call(f"modes.{mode}_not")
        assert caught.value.code == METHOD_NOT_FOUND
        assert client.call(f"modes.{mode}", "still") == "still"


@each_wire
@pytest.mark.parametrize("method", ["cancelled", "exits"])
def test_a_method_that_fails_beyond_exceptions_gives_a_fault(
    server: RunningServer, wire: str, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    with server.connect(wire) as client:
        for _ in range(3):
            with pytest.raises(Fault) as caught:
                client.call(f"modes.{method}")
            assert caught.value.code in (INTERNAL_ERROR, APPLICATION_ERROR)
        assert client.call("modes.plain", "still") == "still"
    assert caplog.records or server.core.several  # those of other processes are not seen here


@each_wire
@each_mode
def test_large_values_come_back(server: RunningServer, wire: str, mode: str) -> None:
    text = "0123456789" * 100_000
    with server.connect(wire) as client, server.connect(wire, compress=True) as compressing:
        assert client.call(f"modes.{mode}", text) == text
        assert compressing.call(f"modes.{mode}", text, 2) == [text] * 2


@each_wire
def test_a_batch_mixes_modes(server: RunningServer, wire: str) -> None:
    calls: list[Any] = [(f"modes.{mode}", [number]) for number in range(10) for mode in MODES]
    with server.connect(wire) as client:
        assert client.batch(calls) == [number for number in range(10) for _ in MODES]


@each_wire
def test_the_call_knows_how_it_came(server: RunningServer, wire: str) -> None:
    with server.connect(wire) as client:
        transport = "unix" if server.transport == "unix" else "tcp"
        assert client.call("modes.whoami") == [wire, transport, True, server.tls]


@each_wire
def test_many_threads_share_a_client(server: RunningServer, wire: str) -> None:
    with server.connect(wire) as client, ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda number: client.call(f"modes.{MODES[number % 3]}", number), range(120)))
    assert found == list(range(120))


@each_wire
def test_a_waiting_call_holds_up_nobody(server: RunningServer, wire: str) -> None:
    with server.connect(wire) as client, ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(client.call, "modes.wait")
        assert client.call("modes.pass_by") is True
        assert waiting.result(20) is True


@each_wire
async def test_the_asyncio_client_calls(server: RunningServer, wire: str) -> None:
    async with aconnect(server.url(wire), context=server.context) as client:
        calls = (client.call(f"modes.{MODES[number % 3]}", number) for number in range(30))
        assert await asyncio.gather(*calls) == list(range(30))
