"""`running`: a whole server for a test."""

from __future__ import annotations

import socket
import threading

import pytest

from anycore import Plugin, exposed
from anycore.cores.threaded import ThreadedCore
from anycore.kernel.registry import PluginRefusedError
from anycore.testing import running


class Sample(Plugin):
    """A plugin."""

    def __init__(self) -> None:
        self.life: list[str] = []

    async def start(self) -> None:
        self.life.append("start")

    def stop(self) -> None:
        self.life.append("stop")

    @exposed
    def add(self, a: int, b: int) -> int:
        """Add."""
        return a + b


@pytest.mark.parametrize("core", ["asyncio", "threaded", ThreadedCore])
@pytest.mark.parametrize("transport", ["tcp", "tls", "mtls", "unix"])
def test_it_serves(core: str, transport: str) -> None:
    plugin = Sample()
    with running(plugin, core=core, transport=transport) as server:
        assert set(server.urls) == {"xmlrpc", "jsonrpc"}
        for wire in server.urls:
            with server.connect(wire) as client:
                assert client.call("sample.add", 2, 3) == 5
                assert "sample.add" in client.methods()
        assert plugin.life == ["start"]
    assert plugin.life == ["start", "stop"]


def test_nothing_is_left() -> None:
    before = set(threading.enumerate())
    with running(Sample) as server, server.connect() as client:
        client.call("sample.add", 2, 3)
    assert not [t for t in threading.enumerate() if t not in before and not t.name.startswith("anycore-starter")]
    with socket.socket() as probe:
        assert probe.connect_ex(server.address) != 0


def test_what_start_raises_is_raised() -> None:
    class Broken(Sample):
        """Broken."""

        async def start(self) -> None:
            raise KeyError("no")

    sample = Sample()
    with pytest.raises(KeyError), running(sample, Broken):
        pytest.fail("it must not start")
    assert sample.life == ["start", "stop"]


def test_what_stop_raises_is_raised_after_all_have_stopped() -> None:
    class Broken(Sample):
        """Broken."""

        def stop(self) -> None:
            raise KeyError("no")

    sample = Sample()
    with pytest.raises(KeyError), running(sample, Broken):
        pass
    assert sample.life == ["start", "stop"]


def test_a_plugin_is_refused_as_by_any_server() -> None:
    class Nothing(Plugin):
        """Nothing."""

    with pytest.raises(PluginRefusedError), running(Nothing):
        pytest.fail("it must not start")


def test_unknown_words_are_refused() -> None:
    with pytest.raises(ValueError, match="no transport 'udp'"), running(Sample, transport="udp"):
        pass
    with running(Sample) as server, pytest.raises(ValueError, match="no wire 'x'"):
        server.url("x")
