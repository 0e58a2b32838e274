"""When a server is registered, with a wait that the test ends and a registry that answers as the test says."""

from __future__ import annotations

import logging
import queue
from typing import TYPE_CHECKING

import pytest

from anycore.discovery import NoAnswerError, Registration, RegistryAddress, RegistryServer, Server, UdpRegistryClient
from anycore.wire.errors import LocalProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from anycore.wire.registry import Port

SECONDS = 10


class Script(UdpRegistryClient):
    """Answers as written, and writes down what it was asked."""

    def __init__(self, *answers: bool) -> None:
        super().__init__()
        self.answers = list(answers)
        self.asked: list[str] = []

    def register(self, names: Iterable[str], port: Port) -> tuple[RegistryAddress, ...]:
        self.asked.append(f"register {' '.join(names)} {port}")
        return self._next()

    def unregister(self, port: Port) -> tuple[RegistryAddress, ...]:
        self.asked.append(f"unregister {port}")
        return self._next()

    def _next(self) -> tuple[RegistryAddress, ...]:
        if self.answers.pop(0):
            return tuple(self.registries)
        raise NoAnswerError("no answer", "udp://test")


def waits(client: Script, *, until: int) -> list[float]:
    """Run a registration for so many waits and return them, in seconds."""
    waited: list[float] = []

    def wait(seconds: float) -> bool:
        waited.append(seconds)
        return len(waited) == until

    registration = Registration(client, ["echo", "SUM"], 7, wait=wait)
    registration.start()
    assert registration._thread is not None
    registration._thread.join(SECONDS)
    registration.stop()
    assert not registration.registered.is_set()
    return waited


def test_every_second_until_one_succeeds_then_every_minute(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="anycore.discovery")
    client = Script(False, False, True, True, False, True, True)
    assert waits(client, until=6) == [1, 1, 60, 60, 1, 60]
    assert client.asked == ["register ECHO SUM 7"] * 6 + ["unregister 7"]
    said = [record.getMessage().partition(":")[0] for record in caplog.records]
    assert said == ["ECHO, SUM is not registered", "registered ECHO, SUM with 255.255.255.255"] * 2


def test_what_never_was_registered_is_not_taken_back() -> None:
    client = Script(False, False)
    assert waits(client, until=2) == [1, 1]
    assert client.asked == ["register ECHO SUM 7"] * 2


def test_a_registration_that_cannot_be_taken_back_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    waits(Script(True, False), until=1)
    assert "ECHO, SUM may still be listed for some minutes: udp://test: no answer" in caplog.text


def test_names_that_do_not_fit_are_refused_before_it_starts() -> None:
    with pytest.raises(LocalProtocolError, match="use fewer names"):
        Registration(Script(), [f"SERVICE{number}" for number in range(500)], 7)


def test_with_a_registry(serve: Callable[..., RegistryServer]) -> None:
    changes: queue.Queue[object] = queue.Queue()
    server = serve("udp", on_change=lambda change: changes.put(str(change)))
    client = UdpRegistryClient([f"127.0.0.1:{server.port}"])
    with Registration(client, ["echo"], 7) as registration:
        assert registration.registered.wait(SECONDS)
        assert client.discover("ECHO") == (Server("127.0.0.1", 7),)
    assert changes.get(timeout=SECONDS) == "ECHO at 127.0.0.1:7 registered"
    assert changes.get(timeout=SECONDS) == "ECHO at 127.0.0.1:7 unregistered"
