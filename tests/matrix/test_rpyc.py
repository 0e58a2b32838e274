"""RPyC on every core over every transport: a whole server, run as its users do, called by both makers' clients."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
import rpyc
from rpyc.utils.factory import unix_connect

from anycore.rpyc import connecting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CORES = ["asyncio", "threaded", "forking", "pool", "prefork"]
TRANSPORTS = ["tcp", "tls", "mtls", "unix"]
_PORTS = re.compile(r"(rpycs?)://127.0.0.1:(\d+)")


class Served:
    """A running server: where it listens, by transport, and how to connect with each maker's client."""

    def __init__(self, ports: dict[str, int], path: str, certificate: str) -> None:
        self.ports = ports
        self.path = path
        self.certificate = certificate

    def ours(self, transport: str) -> Any:
        if transport == "unix":
            return connecting.unix_connect(self.path)
        if transport in ("tls", "mtls"):
            return connecting.ssl_connect("localhost", self.ports[transport], **self._files(transport))
        return connecting.connect("127.0.0.1", self.ports["tcp"])

    def theirs(self, transport: str) -> Any:
        if transport == "unix":
            return unix_connect(self.path)
        if transport in ("tls", "mtls"):
            return rpyc.ssl_connect("localhost", self.ports[transport], **self._files(transport))
        return rpyc.connect("127.0.0.1", self.ports["tcp"])

    def _files(self, transport: str) -> dict[str, Any]:
        own = {"keyfile": self.certificate, "certfile": self.certificate} if transport == "mtls" else {}
        return {"ca_certs": self.certificate, **own}


@pytest.fixture(scope="module", params=CORES)
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, launch: Callable[..., Any]
) -> Iterator[Served]:
    folder: Path = tmp_path_factory.mktemp("rpyc")
    urls = ["rpyc://127.0.0.1:0", "rpycs://127.0.0.1:0", f"unix+rpyc://{folder}/s"]
    asking = ("--client-ca", "server.pem", "--client-certificate", "required")
    with (
        launch(request.param, folder, urls) as banner,
        launch(request.param, folder, ["rpycs://127.0.0.1:0"], *asking) as other,
    ):
        names = {"rpyc": "tcp", "rpycs": "tls"}
        ports = {names[scheme]: int(port) for scheme, port in _PORTS.findall(banner)}
        ports["mtls"] = int(_PORTS.findall(other)[0][1])
        yield Served(ports, f"{folder}/s", str(folder / "server.pem"))


@pytest.fixture(params=["ours", "theirs"])
def client(request: pytest.FixtureRequest, served: Served) -> Callable[[str], Any]:
    return getattr(served, request.param)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_every_mode_answers(client: Callable[[str], Any], transport: str) -> None:
    with client(transport) as connection:
        modes = connection.root.modes
        for mode in ("quick", "plain", "coroutine"):
            method = getattr(modes, mode)
            assert [method(value) for value in (1, "ü", b"x" * 100_000, (1, (2.5, None)))][3] == (1, (2.5, None))
            assert list(method([1, 2])) == [1, 2]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_calls_go_back_and_forth(client: Callable[[str], Any], transport: str) -> None:
    with client(transport) as connection:
        back = connection.root.modes.back

        def descend(depth: int) -> int:
            return 0 if depth == 0 else 1 + int(back(descend, depth - 1))

        assert back(descend, 10) == 10


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_the_plugin_knows_how_it_was_called(client: Callable[[str], Any], transport: str) -> None:
    with client(transport) as connection:
        expected = ("rpyc", "unix" if transport == "unix" else "tcp", transport in ("tls", "mtls"))
        assert connection.root.modes.who() == expected


def test_many_connections_at_once(client: Callable[[str], Any]) -> None:
    connections = [client("tcp") for _ in range(8)]
    methods = [connection.root.modes.plain for connection in connections]
    assert [method(number) for number, method in enumerate(methods)] == list(range(8))
    for connection in connections:
        connection.close()
