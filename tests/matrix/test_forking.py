"""Both HTTP wires on the forking core over every transport. It forks, so it runs as its users run it: in a process without threads."""

from __future__ import annotations

import asyncio
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from anycore.clients import aconnect, connect
from anycore.testing.certificate import client_context

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator
    from pathlib import Path

MODES = ("quick", "plain", "coroutine")
PREFIXES = {"xmlrpc": "", "jsonrpc": "jsonrpc+"}


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory, launch: Callable[..., Any]) -> Iterator[dict[str, str]]:
    folder: Path = tmp_path_factory.mktemp("forking")
    listen = ["http://127.0.0.1:0", "https://127.0.0.1:0", f"unix+http://{folder}/s"]
    with launch("forking", folder, listen) as banner, mutual(launch, folder) as asking:
        found = dict(re.findall(r"((?:unix\+)?https?)(://\S+)", banner.partition("Try")[0]))
        tls = {"tls": f"https{found['https']}", "mtls": asking}
        yield {"tcp": f"http{found['http']}", **tls, "unix": f"http{found['unix+http']}"}


@contextmanager
def mutual(launch: Callable[..., Any], folder: Path) -> Iterator[str]:
    asking = ("--client-ca", "server.pem", "--client-certificate", "required")
    with launch("forking", folder, ["https://127.0.0.1:0"], *asking) as banner:
        yield re.findall(r"https://\S+", banner)[0]


def _context(transport: str) -> ssl.SSLContext | None:
    return client_context(show=transport == "mtls") if transport in ("tls", "mtls") else None


def _url(urls: dict[str, str], transport: str, wire: str) -> str:
    return f"{'unix+' if transport == 'unix' else ''}{PREFIXES[wire]}{urls[transport]}"


each_wire = pytest.mark.parametrize("wire", PREFIXES)
each_transport = pytest.mark.parametrize("transport", ["tcp", "tls", "mtls", "unix"])


@each_wire
@each_transport
def test_every_mode_answers(urls: dict[str, str], transport: str, wire: str) -> None:
    context = _context(transport)
    with connect(_url(urls, transport, wire), context=context) as client:
        for mode in MODES:
            assert client.call(f"modes.{mode}", {"a": [1, "ü", "x" * 10_000]}) == {"a": [1, "ü", "x" * 10_000]}


@each_wire
@each_transport
def test_each_connection_has_a_process(urls: dict[str, str], transport: str, wire: str) -> None:
    context = _context(transport)
    url = _url(urls, transport, wire)
    with connect(url, context=context) as one, connect(url, context=context) as other:
        assert one.call("modes.process") == one.call("modes.process") != other.call("modes.process")


@each_wire
@each_transport
def test_many_calls_at_once(urls: dict[str, str], transport: str, wire: str) -> None:
    async def many() -> list[int]:
        async with aconnect(_url(urls, transport, wire), context=_context(transport)) as client:
            return await asyncio.gather(*(client.call(f"modes.{MODES[number % 3]}", number) for number in range(30)))

    assert asyncio.run(many()) == list(range(30))
