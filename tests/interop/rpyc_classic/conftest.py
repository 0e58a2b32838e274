"""Classic servers of both makers, each in a process of its own, and the streams of people who sit at a master."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

OURS = ("import sys\nfor name in sys.argv[1].split(): sys.modules[name] = None\n"
        "from anycore.cli import main\nmain(['classic', *sys.argv[2:]])")  # fmt: skip
THEIRS = Path(sys.executable).with_name("rpyc_classic.py")


class Process:
    """A classic server on a port that the system chose."""

    def __init__(self, *command: str) -> None:
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.pid = self._process.pid
        assert self._process.stderr is not None
        for line in self._process.stderr:  # pytest's time-out bounds it
            if found := re.search(r"127\.0\.0\.1\]?:(\d+)", line):
                self.port = int(found[1])
                return
        raise AssertionError(command)

    def stop(self) -> None:
        self._process.terminate()
        self._process.communicate(timeout=20)


@pytest.fixture(scope="session", params=["threaded", "forking", "threaded, no rpyc installed"])
def ours(request: pytest.FixtureRequest) -> Iterator[Process]:
    """Our server, also as on a machine where RPyC is not installed."""
    mode, _, without = request.param.partition(", ")
    started = Process(sys.executable, "-c", OURS, "rpyc distutils plumbum" if without else "", "-m", mode, "-p", "0")
    yield started
    started.stop()


@pytest.fixture(scope="session")
def theirs() -> Iterator[Process]:
    """The original's server."""
    if not THEIRS.exists():
        if os.environ.get("ANYCORE_REQUIRE_PEERS") == "1":
            pytest.fail(f"ANYCORE_REQUIRE_PEERS=1, but there is no {THEIRS}")
        pytest.skip(f"there is no {THEIRS}; install rpyc")
    started = Process(sys.executable, "-u", str(THEIRS), "-p", "0")
    yield started
    started.stop()


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], io.StringIO]:
    """Type something at this process's standard input; returns what is printed."""

    def type_in(text: str) -> io.StringIO:
        out = io.StringIO()
        monkeypatch.setattr(sys, "stdin", io.StringIO(textwrap.dedent(text)))
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", io.StringIO())
        return out

    return type_in
