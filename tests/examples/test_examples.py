"""Every example is loaded as a server would load it, and called."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from anycore import Fault, Peer
from anycore.dialects.loader import load_plugins
from anycore.testing import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anycore.kernel.plugin import Plugin
    from anycore.testing import MemoryClient

EXAMPLES = Path(__file__).parents[2] / "examples"


def load(folder: str, settings: dict[str, dict[str, object]] | None = None) -> list[Plugin]:
    return [entry.plugin for loaded in load_plugins([str(EXAMPLES / folder)], settings) for entry in loaded.entries]


@pytest.fixture(params=["xmlrpc", "jsonrpc"])
def client(request: pytest.FixtureRequest) -> Iterator[MemoryClient]:
    with connect(*load("plugins"), wire=request.param) as made:
        yield made


def test_the_thermostat_keeps_what_it_was_told(client: MemoryClient) -> None:
    assert client.thermostat.set(21.5, "kitchen") == {"name": "kitchen", "target": 21.5, "occupied": False}
    assert [room["name"] for room in client.thermostat.rooms()] == ["hall", "kitchen"]


def test_the_thermostat_refuses_heat(client: MemoryClient) -> None:
    with pytest.raises(Fault, match="more than") as raised:
        client.thermostat.set(31.0)
    assert raised.value.code == 100


def test_the_machine_tells_about_itself(client: MemoryClient) -> None:
    disk = client.machine.disk("/")
    assert disk["used"] <= disk["total"]
    assert len(client.machine.load()) == 3
    assert client.machine.uptime() > 0


def test_the_timer_runs_on_the_loop_and_knows_its_deadline(client: MemoryClient) -> None:
    assert client.timer.sleep(0.001) == 0.001
    assert 0 < client.timer.remaining() <= 30


def test_the_networks_policy_opens_what_it_says_and_no_more() -> None:
    settings = {"networks": {"networks": ["10.1.0.0/16"], "methods": ["machine.*"]}}
    plugins = [*load("plugins"), *load("policies")]
    near = Peer.of_address(("10.1.2.3", 40000))
    far = Peer.of_address(("10.2.2.3", 40000))
    with connect(*plugins, settings=settings, peer=near) as client:
        assert len(client.machine.load()) == 3
        with pytest.raises(Fault, match="may not call"):
            client.thermostat.rooms()
    with (
        connect(*load("plugins"), *load("policies"), settings=settings, peer=far) as client,
        pytest.raises(Fault, match="may not"),
    ):
        client.machine.load()
