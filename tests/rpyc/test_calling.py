"""The client by URL: what it takes for a URL, servers that list no methods, and time limits of synchronous connections."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from anycore.clients import CallTimeoutError, TransportError
from anycore.rpyc.calling import RpycClient, parse_rpyc
from anycore.rpyc.service import Service
from anycore.wire.faults import APPLICATION_ERROR, METHOD_NOT_FOUND, Fault


class PaperJam(Fault):
    """A kind of fault that only the server knows."""


class Plain(Service):
    """Knows nothing of system.listMethods."""

    def __init__(self) -> None:
        self.gate = threading.Event()

    def exposed_items(self, count: int = 2) -> list[object]:
        """Return some items."""
        return [*range(count), {"a": (1, [2])}]

    def exposed_fail(self) -> None:
        raise LookupError("not here")

    def exposed_jam(self) -> None:
        raise PaperJam(17, "the paper is stuck", {"tray": 2})

    def exposed_wait(self) -> None:
        self.gate.wait(20)

    def hidden(self) -> None:
        """Return nothing; nobody calls it."""


@pytest.fixture
def service() -> Iterator[Plain]:
    made = Plain()
    yield made
    made.gate.set()


@pytest.fixture
def url(serve: Callable[..., int], service: Plain) -> str:
    return f"rpyc://127.0.0.1:{serve(service)}"


def test_urls() -> None:
    assert parse_rpyc("rpyc://host").port == 18812
    assert (parse_rpyc("rpycs://host").port, parse_rpyc("rpycs://host/").tls) == (18821, True)
    assert parse_rpyc("rpyc://[::1]:5").host == "::1"
    assert parse_rpyc("unix+rpyc:///run/a%20b.sock").socket == "/run/a b.sock"
    with pytest.raises(ValueError, match="no place for a name and password") as raised:
        parse_rpyc("rpyc://ada:secret@host")
    assert "secret" not in str(raised.value)
    with pytest.raises(ValueError, match="above 0"):
        RpycClient("rpyc://host", timeout=0)


def test_a_service_of_its_own_kind(url: str) -> None:
    with RpycClient(url) as client:
        assert client.items(count=1) == [0, {"a": (1, [2])}]
        names = client.methods()
        assert {"items", "fail", "wait"} <= set(names)
        assert "hidden" not in names
        assert client.help("items") == "Return some items."
        with pytest.raises(Fault, match="LookupError: not here") as raised:
            client.fail()
        assert raised.value.code == APPLICATION_ERROR
        assert "Traceback" not in raised.value.message
        with pytest.raises(Fault) as raised:
            client.jam()
        assert (raised.value.code, raised.value.message) == (17, "the paper is stuck")
        for name in ("nothing", "items.nothing"):
            with pytest.raises(Fault) as raised:
                client.call(name)
            assert raised.value.code == METHOD_NOT_FOUND
        with pytest.raises(Fault, match="no method 'nothing'"):
            client.help("nothing")


def test_time(url: str, service: Plain) -> None:
    with RpycClient(url, timeout=0.1) as client:
        with pytest.raises(CallTimeoutError, match=r"no answer within 0.1 seconds"):
            client.wait()
        service.gate.set()


def test_the_time_limit_of_a_block(url: str, service: Plain) -> None:
    with RpycClient(url) as client:
        connection = client.connection
        with connection.timeout(0.05), pytest.raises(TimeoutError):
            connection.root.wait()
        service.gate.set()
        assert connection.root.items() is not None


def test_a_connection_that_has_ended_is_made_anew(url: str) -> None:
    with RpycClient(url) as client:
        client.items()
        client.connection.close()
        assert client.items(count=0) == [{"a": (1, [2])}]


def test_nobody_there() -> None:
    with RpycClient("rpyc://127.0.0.1:1") as client, pytest.raises(TransportError, match="nothing listens there"):
        client.items()
