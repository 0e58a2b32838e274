"""A server in a process of its own, as a user starts it, and the command line in this one."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from anycore.cli import main

PLUGIN = '''
import datetime
from anycore import Fault, Plugin, exposed

class Sample(Plugin):
    @exposed
    def add(self, a: int, b: int = 1) -> int:
        """Add two numbers.

        The second is 1 unless given.
        """
        return a + b

    @exposed
    def echo(self, value):
        return value

    @exposed
    def times(self) -> dict:
        return {"when": datetime.datetime(2024, 1, 2, 3, 4, 5), "data": b"\\x00\\xff"}

    @exposed
    def data(self) -> bytes:
        return b"\\x00\\xff"

    @exposed
    def fail(self):
        raise Fault(7, "nothing \\x1b[31mworks", {"detail": [1]})
'''


@pytest.fixture(autouse=True)
def _in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("ANYCORE_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def run() -> Callable[..., Result]:
    """Run a command in this process."""

    def invoke(*args: str, **environment: str) -> Result:
        return CliRunner().invoke(main, list(args), env=environment, prog_name="anycore")

    return invoke


class Served:
    """A server that was started by `anycore serve`."""

    def __init__(self, *args: str, cwd: Path) -> None:
        self.log = cwd / "log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "anycore", "serve", "--listen", "http://127.0.0.1:0", *args],
                cwd=cwd, stdout=subprocess.PIPE, stderr=log, text=True,
                env={name: value for name, value in os.environ.items() if not name.startswith("ANYCORE_")},
            )  # fmt: skip
        self.banner = ""
        assert self.process.stdout is not None
        for line in self.process.stdout:  # pytest's time-out bounds it
            self.banner += line
            if "Ctrl-C" in line:
                break
        found = re.search(r"http://127\.0\.0\.1:[1-9][0-9]*", self.banner)
        if not found:
            self.stop()
        assert found, self.banner + self.log.read_text()
        self.url = found[0]
        rpyc = re.search(r"rpyc://127\.0\.0\.1:[1-9][0-9]*", self.banner)
        self.rpyc_url = rpyc[0] if rpyc else ""

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(timeout=20)
        finally:
            self.process.kill()
            assert self.process.stdout is not None
            self.process.stdout.close()


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with the plugin above."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "sample.py").write_text(PLUGIN)
    server = Served("sample.py", "--listen", "rpyc://127.0.0.1:0", cwd=folder)
    yield server
    assert server.stop() == 0


@pytest.fixture(scope="session")
def start() -> type[Served]:
    """Start a server, which the test stops."""
    return Served


@pytest.fixture
def plugin_source() -> str:
    """The source of the plugin `sample`."""
    return PLUGIN
