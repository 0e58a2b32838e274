"""Starts the real server, once for each core, and the other makers' clients; decides what happens when one is missing."""

from __future__ import annotations

import json
import os
import queue
import re
import runpy
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

HERE = Path(__file__).parent
CLIENTS = HERE / "clients"
NODE = HERE / "node"
START_SECONDS = 20
CLIENT_SECONDS = 30
INHERITED = {name: value for name, value in os.environ.items() if not name.startswith("ANYCORE_")}
ENVIRONMENT = {**INHERITED, "LC_ALL": "C.UTF-8", "TZ": "UTC", "no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1"}


def missing(reason: str) -> NoReturn:
    """Skip the test for want of a peer, or fail it where all peers must be there."""
    if os.environ.get("ANYCORE_REQUIRE_PEERS") == "1":
        pytest.fail(f"ANYCORE_REQUIRE_PEERS=1, but {reason}")
    pytest.skip(reason)


class ServerProcess:
    """`anycore serve` in a process of its own."""

    def __init__(self, core: str, log: Path) -> None:
        self._log = log
        program = Path(sys.executable).with_name("anycore")
        command = [str(program), "serve", str(HERE / "plugin.py")]
        command += ["--core", core, "--listen", "http://127.0.0.1:0"]
        self._process = subprocess.Popen(
            command,
            cwd=log.parent,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=ENVIRONMENT,
        )
        self._found: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, name=f"log of {core}", daemon=True)
        self._reader.start()
        self.url = self._wait()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines, self._log.open("wb") as log:
            for line in lines:
                log.write(line)
                log.flush()
                if match := re.search(rb"http://127\.0\.0\.1:[1-9][0-9]*", line):
                    self._found.put(match[0].decode())
        self._found.put(None)

    def _wait(self) -> str:
        try:
            url = self._found.get(timeout=START_SECONDS)
        except queue.Empty:
            url = None
        if url is None:
            self._process.kill()
            self._process.wait()
            pytest.fail(f"the server did not say where it listens:\n{self._log.read_text()}")
        return url

    def stop(self) -> None:
        self._process.terminate()
        try:
            status = self._process.wait(timeout=START_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        self._reader.join(timeout=START_SECONDS)
        assert status == 0, f"exit status {status} after SIGTERM:\n{self._log.read_text()}"


@pytest.fixture(scope="session", params=["asyncio", "threaded"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a running server, without a path."""
    started = ServerProcess(request.param, tmp_path_factory.mktemp(f"server-{request.param}") / "log")
    yield started.url
    started.stop()


@pytest.fixture(scope="session")
def values() -> dict[str, dict[str, Any]]:
    """The tables of values of the plugin."""
    found = runpy.run_path(str(HERE / "plugin.py"))
    return {name: found[name] for name in ("SCALARS", "COMPOUNDS", "EXTENSIONS", "VALUES")}


@pytest.fixture(scope="session")
def run() -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """Runs a client program."""

    def run(command: Sequence[str | Path], **options: Any) -> subprocess.CompletedProcess[bytes]:
        program = str(command[0])
        if shutil.which(program) is None:
            missing(f"there is no {program} on this machine")
        return subprocess.run(
            command, capture_output=True, timeout=CLIENT_SECONDS, env=ENVIRONMENT, check=False, **options
        )

    return run


Report = dict[str, Any]


def _report(result: subprocess.CompletedProcess[bytes]) -> Report:
    assert result.returncode == 0, result.stderr.decode(errors="replace")
    return json.loads(result.stdout)


@pytest.fixture(scope="session")
def perl(run: Callable[..., Any], server: str) -> Callable[..., Report]:
    """Runs a Perl client, which needs a module, and returns its report."""

    def perl(module: str, script: str, *names: str) -> Report:
        if run(["perl", f"-M{module}", "-MJSON::PP", "-e", "1"]).returncode:
            missing(f"Perl has no {module} here; see CONTRIBUTING.md")
        return _report(run(["perl", CLIENTS / script, server, *names]))

    return perl


@pytest.fixture(scope="session")
def node_folder(tmp_path_factory: pytest.TempPathFactory, run: Callable[..., Any]) -> Path:
    """A folder with the Node.js clients and the packages that they need."""
    folder = tmp_path_factory.mktemp("node")
    for path in [*NODE.glob("*.json"), *NODE.glob("*.js")]:
        shutil.copy(path, folder)
    npm = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
    npm += ["--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-timeout=10000"]
    try:
        result = run(npm, cwd=folder)
    except subprocess.TimeoutExpired:
        missing(f"npm ci did not finish within {CLIENT_SECONDS} s")
    if result.returncode:
        missing(f"npm ci failed: {' '.join(result.stderr.decode(errors='replace').split())[:500]}")
    return folder


@pytest.fixture(scope="session")
def node(run: Callable[..., Any], server: str, node_folder: Path) -> Callable[..., Report]:
    """Runs a Node.js client and returns its report."""
    return lambda script, *names: _report(run(["node", "--no-deprecation", node_folder / script, server, *names]))
