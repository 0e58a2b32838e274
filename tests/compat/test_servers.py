"""The servers of the facade: their life, and that the original's defects have not come along."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from anycore.compat import rpyc
from anycore.compat.rpyc.utils.authenticators import SSLAuthenticator
from anycore.compat.rpyc.utils.server import (
    ForkingServer,
    OneShotServer,
    Server,
    ThreadedServer,
    ThreadPoolServer,
    serve_socket,
)
from anycore.testing.certificate import CERTIFICATE

ALL: list[type[Server]] = [ThreadedServer, ThreadPoolServer, ForkingServer, OneShotServer]
THREADS: list[type[Server]] = [ThreadedServer, ThreadPoolServer]
Serve = Callable[..., Any]


class Echo(rpyc.Service):
    ended = threading.Event()

    def on_connect(self, conn: Any) -> None:
        self.conn = conn

    def on_disconnect(self, conn: Any) -> None:
        Echo.ended.set()

    def exposed_echo(self, value: Any) -> Any:
        return value

    def exposed_config(self, name: str) -> Any:
        return self.conn._config[name]

    def exposed_wait(self, started: Any, gate: Any) -> str:
        started()
        gate()
        return "waited"


@pytest.fixture
def serve() -> Iterator[Serve]:
    with ExitStack() as stack:

        def start(kind: type[Server], service: Any = Echo, **options: Any) -> Server:
            made = kind(service, hostname="127.0.0.1", **options)
            stack.callback(made.close)
            made._start_in_thread()
            return made

        yield start


@pytest.fixture
def certificate(tmp_path: Path) -> str:
    path = tmp_path / "certificate.pem"
    path.write_text(CERTIFICATE)
    return str(path)


def connect(server: Server, **options: Any) -> Any:
    return rpyc.connect("127.0.0.1", server.port, **options)


@pytest.mark.parametrize("kind", ALL)
def test_closing_ends_every_connection(kind: type[Server], serve: Serve) -> None:
    server = serve(kind)
    with connect(server) as conn:
        assert conn.root.echo(1) == 1
        assert server.active
        server.close()
        with pytest.raises(EOFError):
            conn.root.echo(2)
    assert not server.active
    assert not server.clients
    server.close()


@pytest.mark.parametrize("kind", ALL)
def test_a_server_that_never_started_can_be_closed(kind: type[Server]) -> None:
    kind(Echo, hostname="127.0.0.1").close()


@pytest.mark.parametrize("kind", THREADS)
def test_the_configuration_is_looked_at_for_each_connection(kind: type[Server], serve: Serve) -> None:
    server = serve(kind, protocol_config={"mine": 1})
    with connect(server) as conn:
        assert conn.root.config("mine") == 1
    server.protocol_config["mine"] = 2
    with connect(server) as conn:
        assert conn.root.config("mine") == 2
        assert conn.root.config("endpoints")[0] == ("127.0.0.1", server.port)


@pytest.mark.parametrize("kind", THREADS)
def test_closing_ends_tls_connections_as_well(kind: type[Server], serve: Serve, certificate: str) -> None:
    server = serve(kind, authenticator=SSLAuthenticator(certificate, certificate))
    with rpyc.ssl_connect("127.0.0.1", server.port) as conn:
        assert conn.root.echo(1) == 1
        assert any(isinstance(client, ssl.SSLSocket) for client in server.clients)
        server.close()
        with pytest.raises(EOFError):
            conn.root.echo(2)


@pytest.mark.parametrize("kind", THREADS)
def test_silent_tls_clients_are_in_nobodys_way_and_are_cut(kind: type[Server], serve: Serve, certificate: str) -> None:
    server = serve(kind, authenticator=SSLAuthenticator(certificate, certificate), authentication_timeout=1.0)
    with ExitStack() as stack:
        silent = [
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=10)) for _ in range(30)
        ]
        conn = stack.enter_context(rpyc.ssl_connect("127.0.0.1", server.port))
        assert conn.root.echo(1) == 1
        assert [one.recv(1) for one in silent] == [b""] * 30
        assert conn.root.echo(2) == 2


def test_the_pool_serves_more_connections_than_it_has_threads(serve: Serve) -> None:
    server = serve(ThreadPoolServer, nbThreads=2, requestBatchSize=2)
    with ExitStack() as stack:
        conns = [stack.enter_context(connect(server)) for _ in range(20)]
        assert [conn.root.echo(number) for number, conn in enumerate(conns) for _ in range(3)] == [
            number for number in range(20) for _ in range(3)
        ]
        assert len(server.fd_to_conn) == 20
        assert len(server.clients) == 20


def test_a_full_pool_queues(serve: Serve) -> None:
    server = serve(ThreadPoolServer, nbThreads=1)
    started, gate = threading.Event(), threading.Event()
    with connect(server) as busy, connect(server) as waiting:
        wait, echo = rpyc.async_(busy.root.wait), rpyc.async_(waiting.root.echo)
        background = rpyc.BgServingThread(busy)
        waits = wait(started.set, gate.wait)
        assert started.wait(10)
        queued = echo(3)
        assert not queued.ready
        gate.set()
        assert waits.value == "waited"
        assert queued.value == 3
        background.stop()


@pytest.mark.parametrize("kind", [ThreadedServer, ThreadPoolServer])
def test_connections_above_the_limit_are_refused(kind: type[Server], serve: Serve) -> None:
    server = serve(kind, max_clients=1)
    with connect(server) as conn:
        assert conn.root.echo(1) == 1
        with pytest.raises((EOFError, OSError)):
            connect(server).root.echo(1)
        assert conn.root.echo(2) == 2


@pytest.mark.parametrize("kind", THREADS)
def test_a_service_is_told_when_its_connection_breaks(kind: type[Server], serve: Serve) -> None:
    Echo.ended.clear()
    conn = connect(serve(kind))
    assert conn.root.echo(1) == 1
    conn._channel.stream.sock.shutdown(socket.SHUT_RDWR)
    assert Echo.ended.wait(10)
    conn.close()


def test_a_forking_server_takes_nobody_elses_children(serve: Serve) -> None:
    server = serve(ForkingServer)
    other = subprocess.Popen([sys.executable, "-c", "raise SystemExit(7)"])
    with connect(server) as conn:
        assert conn.root.echo(1) == 1
    with connect(server) as conn:
        assert conn.root.echo(1) == 1
    assert other.wait(10) == 7


def test_a_forking_server_leaves_no_processes(serve: Serve) -> None:
    server = serve(ForkingServer)
    with connect(server) as conn:
        conn.root.echo(1)
        children = set(server._children)
        assert children
        server.close()
    for child in children:
        with pytest.raises(ProcessLookupError):
            os.kill(child, 0)


def test_serve_socket_serves_one_socket_until_it_closes() -> None:
    ours, theirs = socket.socketpair()
    serving = threading.Thread(target=serve_socket, args=(theirs, Echo, {"mine": 3}))
    serving.start()
    with rpyc.connect_stream(rpyc.SocketStream(ours)) as conn:
        assert conn.root.config("mine") == 3
    serving.join(10)
    assert not serving.is_alive()
    assert theirs.fileno() == -1


def test_serve_socket_with_a_namespace() -> None:
    ours, theirs = socket.socketpair()
    names: dict[str, Any] = {"x": 5}
    serving = threading.Thread(target=serve_socket, args=(theirs, rpyc.SlaveService, {}, names))
    serving.start()
    with rpyc.classic.connect_stream(rpyc.SocketStream(ours)) as conn:
        assert conn.eval("x + 1") == 6
        conn.execute("y = 7")
    serving.join(10)
    assert names["y"] == 7


def test_services_of_other_makers_are_served(serve: Serve) -> None:
    import rpyc as original

    class Theirs(original.Service):
        def on_connect(self, conn: Any) -> None:
            self.conn = conn

        def exposed_double(self, x: int) -> int:
            return 2 * x

    with connect(serve(ThreadedServer, Theirs)) as conn:
        assert conn.root.double(4) == 8
        assert conn.root.get_service_name() == "THEIRS"


def test_a_name_may_be_given_back_by_a_registry_that_is_away() -> None:
    from anycore.compat.rpyc.utils.registry import UDPRegistryClient

    client = UDPRegistryClient("127.0.0.1", port=1, timeout=0.2)
    assert client.discover("x") == ()
    assert client.register(("X",), 1) is False
    client.unregister(1)
