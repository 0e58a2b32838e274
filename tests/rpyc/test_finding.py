from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from anycore.discovery import (
    LeaseTable,
    ListingRefusedError,
    RegistryClient,
    RegistryServer,
    RegistryService,
    Server,
    UdpRegistryClient,
)
from anycore.rpyc.finding import DiscoveryError, connect_by_service, discover, list_services
from anycore.rpyc.service import Service
from anycore.rpyc.starting import serve_socket

SECONDS = 10


class Echo(Service):
    def exposed_echo(self, text: str) -> str:
        return text


@pytest.fixture
def registrar() -> Iterator[RegistryClient]:
    with RegistryServer(RegistryService(LeaseTable(), listing=True), host="127.0.0.1", port=0) as server:
        server.start()
        yield UdpRegistryClient([f"127.0.0.1:{server.port}"])


def serve_one(listener: socket.socket) -> threading.Thread:
    thread = threading.Thread(target=lambda: serve_socket(listener.accept()[0], Echo))
    thread.start()
    return thread


def test_a_service_is_found_and_connected_to_by_its_name(registrar: RegistryClient) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        closed = gone.getsockname()[1]
    registrar.register(["ECHO"], closed)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        registrar.register(["ECHO"], port)
        assert discover("echo", registrar=registrar) == [Server("127.0.0.1", closed), Server("127.0.0.1", port)]
        assert list_services(registrar) == ("ECHO",)
        thread = serve_one(listener)
        with connect_by_service("echo", "127.0.0.1", registrar, config={"sync_request_timeout": SECONDS}) as connection:
            assert connection.root.echo("hello") == "hello"
        thread.join(SECONDS)


def test_a_service_on_a_unix_socket(registrar: RegistryClient, tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        registrar.register(["ECHO"], path)
        thread = serve_one(listener)
        with connect_by_service("echo", registrar=registrar) as connection:
            assert connection.root.echo("hello") == "hello"
        thread.join(SECONDS)


def test_nobody_offers_it(registrar: RegistryClient) -> None:
    with pytest.raises(DiscoveryError, match="knows no server of ECHO; check the name"):
        connect_by_service("echo", registrar=registrar)


def test_nobody_offers_it_there(registrar: RegistryClient) -> None:
    registrar.register(["ECHO"], 1)
    with pytest.raises(DiscoveryError, match=r"knows no server of ECHO on 192\.0\.2\.1, but on 127\.0\.0\.1"):
        discover("echo", "192.0.2.1", registrar)


def test_nobody_who_offers_it_answers(registrar: RegistryClient) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        registrar.register(["ECHO"], gone.getsockname()[1])
    with pytest.raises(DiscoveryError, match=r"none of the servers of ECHO can be connected to: .*refused"):
        connect_by_service("echo", registrar=registrar)


def test_a_registry_that_does_not_list() -> None:
    with RegistryServer(RegistryService(LeaseTable()), host="127.0.0.1", port=0) as server:
        server.start()
        with pytest.raises(ListingRefusedError):
            list_services(UdpRegistryClient([f"127.0.0.1:{server.port}"]))
