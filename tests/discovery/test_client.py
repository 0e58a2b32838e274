"""The clients against our servers, and against what answers wrongly or not at all."""

from __future__ import annotations

import socket
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from anycore.clients.errors import TransportError
from anycore.discovery import (
    ListingRefusedError,
    NoAnswerError,
    RegistryClient,
    RegistryServer,
    Server,
    TcpRegistryClient,
    UdpRegistryClient,
)
from anycore.discovery.address import RegistryAddress
from anycore.discovery.asking import UdpExchange, ask
from anycore.wire.errors import LocalProtocolError
from anycore.wire.registry import decode_servers, encode_servers

if TYPE_CHECKING:
    from collections.abc import Callable

    Serve = Callable[..., RegistryServer]

CLIENTS = {"udp": UdpRegistryClient, "tcp": TcpRegistryClient}


def client(*servers: RegistryServer, mode: str = "udp", **options: Any) -> RegistryClient:
    return CLIENTS[mode]([RegistryAddress("127.0.0.1", server.port) for server in servers], **options)


@pytest.mark.parametrize("mode", CLIENTS)
def test_a_life(mode: str, serve: Serve) -> None:
    server = serve(mode)
    asker = client(server, mode=mode)
    assert asker.discover("echo") == ()
    assert asker.register(["Echo", "sum"], 7) == (RegistryAddress("127.0.0.1", server.port),)
    asker.register(["Echo"], "/run/echo.sock")
    assert asker.discover("echo") == (Server("127.0.0.1", 7), Server("127.0.0.1", "/run/echo.sock"))
    assert asker.list() == ("ECHO", "SUM")
    assert asker.list("127.0.0.1") == ("ECHO", "SUM")
    assert asker.list("10.0.0.1") == ()
    asker.unregister(7)
    assert asker.list() == ("ECHO",)


@pytest.mark.parametrize("mode", CLIENTS)
def test_a_registration_is_of_the_interface_that_it_is_sent_from(mode: str, serve: Serve) -> None:
    server = serve(mode)
    client(server, mode=mode, interface="127.0.0.5").register(["ECHO"], 7)
    assert client(server, mode=mode).discover("ECHO") == (Server("127.0.0.5", 7),)


@pytest.mark.parametrize("mode", CLIENTS)
def test_several_registries_are_asked_and_what_they_say_is_put_together(mode: str, serve: Serve) -> None:
    one, two, shut = serve(mode), serve(mode), serve(mode, listing=False)
    client(one, two, mode=mode).register(["BOTH"], 1)
    client(one, mode=mode).register(["ECHO"], 1)
    client(two, mode=mode).register(["ECHO"], 2)
    client(shut, mode=mode).register(["ECHO", "SECRET"], 1)
    everyone = client(one, two, shut, mode=mode)
    assert set(everyone.discover("ECHO")) == {Server("127.0.0.1", 1), Server("127.0.0.1", 2)}
    assert everyone.discover("BOTH") == (Server("127.0.0.1", 1),)
    assert set(everyone.list()) == {"BOTH", "ECHO"}
    with pytest.raises(ListingRefusedError, match=rf"{mode}://127\.0\.0\.1:{shut.port}: .*start it with --listing"):
        client(shut, mode=mode).list()


def test_registries_that_are_dead_keep_nobody_from_those_that_live(serve: Serve) -> None:
    server = serve("tcp")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        dead = closed.getsockname()[1]
        asker = TcpRegistryClient(["no-such-host.invalid", f"127.0.0.1:{dead}", f"127.0.0.1:{server.port}"])
        assert len(asker.register(["ECHO"], 7)) == 1
        with pytest.raises(NoAnswerError, match="nothing listens there") as caught:
            TcpRegistryClient([f"127.0.0.1:{dead}"]).discover("ECHO")
        with pytest.raises(NoAnswerError, match=r"no answer; .*cannot be resolved.*; .*nothing listens there"):
            TcpRegistryClient(["no-such-host.invalid", f"127.0.0.1:{dead}"]).discover("ECHO")
    assert isinstance(caught.value, TransportError)
    assert caught.value.url == f"tcp://127.0.0.1:{dead}"


def test_all_addresses_of_a_name_are_tried(serve: Serve) -> None:
    server = serve("udp")
    asker = UdpRegistryClient([f"localhost:{server.port}"], timeout=10)
    asker.register(["ECHO"], 7)
    assert asker.discover("ECHO") == (Server("127.0.0.1", 7),)


def test_no_answer_is_an_error_that_says_how_long_was_waited() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        asker = UdpRegistryClient([f"127.0.0.1:{silent.getsockname()[1]}"], timeout=0.05)
        with pytest.raises(NoAnswerError, match=r"udp://127\.0\.0\.1:\d+: no answer within 0\.05 s; check the address"):
            asker.register(["ECHO"], 7)


def test_nonsense_from_a_registry_is_waited_out() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as fake, ExitStack() as stack:
        fake.bind(("127.0.0.1", 0))
        fake.settimeout(10)

        def answer() -> None:
            _, address = fake.recvfrom(2000)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
                stranger.sendto(encode_servers([Server("6.6.6.6", 6)]), address)
            for data in (
                b"",
                b"\xff" * 20_000,
                encode_servers([])[:-1] + b"\xff",
                encode_servers([Server("1.2.3.4", 5)]),
            ):
                fake.sendto(data, address)

        thread = threading.Thread(target=answer)
        thread.start()
        stack.callback(thread.join)
        asker = UdpRegistryClient([f"127.0.0.1:{fake.getsockname()[1]}"], timeout=10)
        assert asker.discover("ECHO") == (Server("1.2.3.4", 5),)


def test_of_a_broadcast_the_first_answer_that_says_something_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as fake:
        fake.bind(("127.0.0.1", 0))
        fake.settimeout(10)
        registry = RegistryAddress("127.255.255.255", fake.getsockname()[1])
        loopback = [(socket.AF_INET, socket.SOCK_DGRAM, 0, "", ("127.0.0.1", registry.port))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_: loopback)

        def answer() -> None:
            _, address = fake.recvfrom(2000)
            for servers in ([], [Server("1.2.3.4", 5)], [Server("6.6.6.6", 6)]):
                fake.sendto(encode_servers(servers), address)

        thread = threading.Thread(target=answer)
        thread.start()
        answers = ask(UdpExchange, [registry], b"?", decode_servers, timeout=10)
        thread.join()
    assert [given for _, given in answers.given] == [(), (Server("1.2.3.4", 5),)]


def test_a_tcp_registry_that_hangs_up_has_not_answered() -> None:
    with socket.create_server(("127.0.0.1", 0)) as fake:

        def answer() -> None:
            connected, _ = fake.accept()
            with connected:
                connected.recv(2000)

        thread = threading.Thread(target=answer)
        thread.start()
        asker = TcpRegistryClient([f"127.0.0.1:{fake.getsockname()[1]}"], timeout=10)
        with pytest.raises(NoAnswerError, match="hung up without a whole answer"):
            asker.discover("ECHO")
        thread.join()


def test_what_cannot_be_asked_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="no registry was given"):
        TcpRegistryClient([])
    with pytest.raises(LocalProtocolError, match="use fewer names"):
        UdpRegistryClient().register(["X" * 2000], 7)
    with pytest.raises(NoAnswerError, match=r"udp://127\.0\.0\.1:18811: "):
        UdpRegistryClient(["127.0.0.1"], interface="192.0.2.1", timeout=0.05).discover("ECHO")
