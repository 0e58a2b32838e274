"""`anycore serve --register`: clients find the server by the name of a plugin, until it stops."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from anycore.discovery import LeaseTable, RegistryServer, RegistryService, TcpRegistryClient, UdpRegistryClient
from anycore.rpyc.finding import connect_by_service

from .conftest import PLUGIN, Served

SECONDS = 30.0


@pytest.mark.parametrize(("mode", "kind"), [("udp", UdpRegistryClient), ("tcp", TcpRegistryClient)])
def test_a_client_finds_it_by_the_name_of_a_plugin_until_it_stops(
    start: type[Served], tmp_path: Path, mode: str, kind: type[UdpRegistryClient | TcpRegistryClient]
) -> None:
    (tmp_path / "sample.py").write_text(PLUGIN)
    with RegistryServer(RegistryService(LeaseTable()), modes=("udp", "tcp"), host="127.0.0.1", port=0) as registry:
        registry.start()
        where = f"127.0.0.1:{registry.port}"
        client = kind([where], timeout=10.0)
        listen = ("--listen", "rpyc://127.0.0.1:0", "--register", "--registry", where, "--registry-mode", mode)
        server = start("sample.py", *listen, cwd=tmp_path)
        try:
            end = time.monotonic() + SECONDS
            while not client.discover("sample"):
                assert time.monotonic() < end, server.log.read_text()
            with connect_by_service("sample", registrar=client) as connection:
                assert connection.root.sample.add(1, 2) == 3
            assert client.discover("anycore") == client.discover("system") == client.discover("sample")
        finally:
            assert server.stop() == 0
        assert client.discover("sample") == ()


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["--listen", "http://127.0.0.1:0"], 3, "add one with --listen rpyc://127.0.0.1:18812"),
        (["--listen", "rpyc://127.0.0.1:0", "--registry-mode", "tcp"], 3, "name a registry with --registry HOST"),
        (["--listen", "rpyc://127.0.0.1:0", "--registry", "a b"], 3, "'a b' is no address of a registry"),
        (["--listen", "rpyc://127.0.0.1:0", "--service", "x" * 2000], 5, "use fewer names"),
    ],
)
def test_what_cannot_be_registered_is_refused_with_the_cure(
    run: Callable[..., Result], args: list[str], code: int, message: str
) -> None:
    result = run("serve", "--register", *args)
    assert result.exit_code == code, result.output
    assert message in " ".join(result.output.split())
