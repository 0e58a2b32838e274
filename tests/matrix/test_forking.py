"""Both HTTP wires on the forking core over every transport. It forks, so it runs as its users run it: in a process without threads."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from anycore.clients import aconnect, connect
from anycore.testing.certificate import CERTIFICATE, client_context

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PLUGIN = '''
import asyncio
import os
from typing import Any
from anycore import Plugin, exposed


class Modes(Plugin):
    """The same method in each mode."""

    @exposed(quick=True)
    def quick(self, value: Any) -> Any:
        """Return a value."""
        return value

    @exposed
    def plain(self, value: Any) -> Any:
        """Return a value."""
        return value

    @exposed
    async def coroutine(self, value: Any) -> Any:
        """Return a value."""
        await asyncio.sleep(0)
        return value

    @exposed
    def process(self) -> int:
        """Return the number of the process."""
        return os.getpid()
'''
MODES = ("quick", "plain", "coroutine")
PREFIXES = {"xmlrpc": "", "jsonrpc": "jsonrpc+"}


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    folder: Path = tmp_path_factory.mktemp("forking")
    (folder / "modes.py").write_text(PLUGIN)
    (folder / "server.pem").write_text(CERTIFICATE)
    listen = ["http://127.0.0.1:0", "https://127.0.0.1:0", f"unix+http://{folder}/s"]
    command = [sys.executable, "-m", "anycore", "serve", "modes.py", "--core", "forking", "--certificate", "server.pem"]
    command += [word for url in listen for word in ("--listen", url)]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        banner = "".join(iter(process.stdout.readline, "Ctrl-C stops it.\n"))
        found = dict(re.findall(r"((?:unix\+)?https?)(://\S+)", banner.partition("Try")[0]))
        try:
            yield {"tcp": f"http{found['http']}", "tls": f"https{found['https']}", "unix": f"http{found['unix+http']}"}
        finally:
            process.terminate()
            _, log = process.communicate(timeout=20)
    assert process.returncode == 0, log
    assert "Traceback" not in log, log


def _url(urls: dict[str, str], transport: str, wire: str) -> str:
    return f"{'unix+' if transport == 'unix' else ''}{PREFIXES[wire]}{urls[transport]}"


each_wire = pytest.mark.parametrize("wire", PREFIXES)
each_transport = pytest.mark.parametrize("transport", ["tcp", "tls", "unix"])


@each_wire
@each_transport
def test_every_mode_answers(urls: dict[str, str], transport: str, wire: str) -> None:
    context = client_context() if transport == "tls" else None
    with connect(_url(urls, transport, wire), context=context) as client:
        for mode in MODES:
            assert client.call(f"modes.{mode}", {"a": [1, "ü", "x" * 10_000]}) == {"a": [1, "ü", "x" * 10_000]}


@each_wire
@each_transport
def test_each_connection_has_a_process(urls: dict[str, str], transport: str, wire: str) -> None:
    context = client_context() if transport == "tls" else None
    url = _url(urls, transport, wire)
    with connect(url, context=context) as one, connect(url, context=context) as other:
        assert one.call("modes.process") == one.call("modes.process") != other.call("modes.process")


@each_wire
@each_transport
def test_many_calls_at_once(urls: dict[str, str], transport: str, wire: str) -> None:
    async def many() -> list[int]:
        async with aconnect(
            _url(urls, transport, wire), context=client_context() if transport == "tls" else None
        ) as client:
            return await asyncio.gather(*(client.call(f"modes.{MODES[number % 3]}", number) for number in range(30)))

    assert asyncio.run(many()) == list(range(30))
