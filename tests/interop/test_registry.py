"""RPyC's own registry servers with our clients, and its own clients, servers and factories with our registry."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import rpyc
from rpyc.utils import factory
from rpyc.utils import registry as theirs
from rpyc.utils.server import ThreadedServer

from anycore.discovery import (
    Change,
    LeaseTable,
    ListingRefusedError,
    RegistryClient,
    RegistryServer,
    RegistryService,
    Server,
    State,
    TcpRegistryClient,
    UdpRegistryClient,
)

MODES = ["udp", "tcp"]
OUR_CLIENTS = {"udp": UdpRegistryClient, "tcp": TcpRegistryClient}
THEIR_CLIENTS = {"udp": theirs.UDPRegistryClient, "tcp": theirs.TCPRegistryClient}
THEIR_SERVERS = {"udp": theirs.UDPRegistryServer, "tcp": theirs.TCPRegistryServer}
HOST = "127.0.0.1"

Ours = Callable[..., RegistryServer]
Their = Callable[..., tuple[RegistryClient, Any]]


@pytest.fixture
def ours() -> Iterator[Ours]:
    """Our registry."""
    with ExitStack() as stack:

        def start(mode: str, *, on_change: Any = None, listing: bool = False, **table: Any) -> RegistryServer:
            service = RegistryService(LeaseTable(**table), listing=listing, on_change=on_change)
            server = stack.enter_context(RegistryServer(service, modes=(mode,), host=HOST, port=0))
            server.start()
            return server

        yield start


@contextmanager
def _their_server(mode: str, **options: Any) -> Iterator[Any]:
    kind = THEIR_SERVERS[mode]
    running = threading.Event()

    class Ready(kind):  # type: ignore[misc, valid-type]
        TIMEOUT = 0.1  # how soon it sees that it is to close

        def _work(self) -> None:
            running.set()
            super()._work()

    server = Ready(host=HOST, port=0, **options)
    thread = threading.Thread(target=server.start, daemon=True)
    thread.start()
    assert running.wait(10)
    try:
        yield server
    finally:
        server.close()
        thread.join(10)


@pytest.fixture
def their() -> Iterator[Their]:
    """RPyC's registry, and our client for it."""
    with ExitStack() as stack:

        def start(mode: str, **options: Any) -> tuple[RegistryClient, Any]:
            server = stack.enter_context(_their_server(mode, **options))
            return OUR_CLIENTS[mode]([f"{HOST}:{server.port}"], timeout=10), server

        yield start


@pytest.mark.parametrize("mode", MODES)
def test_our_client_with_their_registry(mode: str, their: Their) -> None:
    client, _ = their(mode, allow_listing=True)
    assert client.discover("echo") == ()
    assert len(client.register(["Echo", "sum"], 7)) == 1
    client.register(["Echo"], "/run/echo.sock")
    assert client.discover("echo") == (Server(HOST, 7), Server(HOST, "/run/echo.sock"))
    assert set(client.list()) == {"ECHO", "SUM"}
    assert set(client.list(HOST)) == {"ECHO", "SUM"}
    assert client.list("10.0.0.1") == ()
    client.unregister(7)
    assert client.discover("echo") == (Server(HOST, "/run/echo.sock"),)
    client.unregister("/run/echo.sock")
    assert client.discover("echo") == ()


@pytest.mark.parametrize("mode", MODES)
def test_our_client_is_told_when_they_do_not_list(mode: str, their: Their) -> None:
    client, _ = their(mode)
    with pytest.raises(ListingRefusedError):
        client.list()


@pytest.mark.parametrize("mode", MODES)
def test_our_client_sees_what_their_registry_prunes(mode: str, their: Their) -> None:
    client, server = their(mode)
    client.register(["ECHO"], 7)
    assert client.discover("ECHO") == (Server(HOST, 7),)
    server.pruning_timeout = -1  # of the past: whatever is registered has been for too long
    assert client.discover("ECHO") == ()


@pytest.mark.parametrize("mode", MODES)
def test_their_client_with_our_registry(mode: str, ours: Ours) -> None:
    ended = threading.Event()

    def watch(change: Change) -> None:
        if change.state is State.UNREGISTERED:
            ended.set()

    server = ours(mode, listing=True, on_change=watch)
    client = THEIR_CLIENTS[mode](HOST, server.port)
    assert client.discover("echo") == ()
    assert client.register(("Echo", "sum"), 7) is True
    assert client.register(("Echo",), "/run/echo.sock", interface=HOST) is True
    assert client.discover("echo") == ((HOST, 7), (HOST, "/run/echo.sock"))
    assert client.list() == ("ECHO", "SUM")
    assert client.list(HOST) == ("ECHO", "SUM")
    assert client.list("10.0.0.1") == ()
    client.unregister(7)  # it does not wait for the answer
    assert ended.wait(10)
    assert client.discover("echo") == ((HOST, "/run/echo.sock"),)
    assert server.service.incidents.counts() == {}


@pytest.mark.parametrize("mode", MODES)
def test_their_client_with_more_names_than_it_reads(mode: str, ours: Ours) -> None:
    server = ours(mode, listing=True)
    client = THEIR_CLIENTS[mode](HOST, server.port)
    names = [f"SERVICE-NUMBER-{number:03}" for number in range(200)]
    for start in range(0, 200, 50):
        assert client.register(tuple(names[start : start + 50]), 7) is True
    found = client.list()
    assert found == tuple(names[: len(found)])
    assert len(found) == (200 if mode == "udp" else 71)  # 1500 bytes are all that their TCP client takes
    for port in range(1000, 1200):
        client.register(("MANY",), port)
    many = client.discover("many")
    assert many == tuple((HOST, port) for port in range(1000, 1000 + len(many)))
    assert len(many) > 50


@pytest.mark.parametrize("mode", MODES)
def test_their_client_is_told_when_we_do_not_list(mode: str, ours: Ours) -> None:
    client = THEIR_CLIENTS[mode](HOST, ours(mode).port)
    client.register(("ECHO",), 7)
    assert client.list() is None
    with pytest.raises(factory.ForbiddenError):
        factory.list_services(registrar=client)


@pytest.mark.parametrize("mode", MODES)
def test_their_client_does_not_see_what_we_have_pruned(mode: str, ours: Ours) -> None:
    now = [0.0]
    client = THEIR_CLIENTS[mode](HOST, ours(mode, clock=lambda: now[0], lifetime=240).port)
    client.register(("ECHO",), 7)
    now[0] = 239
    assert client.discover("ECHO") == ((HOST, 7),)
    now[0] = 240
    assert client.discover("ECHO") == ()


class EchoService(rpyc.Service):
    ALIASES = ("echo", "parrot")

    def exposed_echo(self, value: Any) -> Any:
        return value


@pytest.mark.parametrize("mode", MODES)
def test_their_server_and_factories_with_our_registry(mode: str, ours: Ours) -> None:
    there, gone = threading.Event(), threading.Event()

    def watch(change: Change) -> None:
        {State.REGISTERED: there, State.UNREGISTERED: gone}.get(change.state, threading.Event()).set()

    registry = ours(mode, listing=True, on_change=watch)
    client = THEIR_CLIENTS[mode](HOST, registry.port)
    server = ThreadedServer(EchoService, hostname=HOST, port=0, registrar=client, auto_register=True)
    thread = threading.Thread(target=server.start, daemon=True)
    thread.start()
    assert there.wait(20)
    assert set(factory.list_services(registrar=client)) == {"ECHO", "PARROT"}
    assert factory.discover("parrot", registrar=client) == ((HOST, server.port),)
    with pytest.raises(factory.DiscoveryError):
        factory.discover("nobody", registrar=client)
    connection = factory.connect_by_service("Echo", registrar=client)
    assert connection.root.echo("said") == "said"
    connection.close()
    server.close()
    thread.join(10)
    assert gone.wait(10)
    assert OUR_CLIENTS[mode]([f"{HOST}:{registry.port}"]).discover("ECHO") == ()
