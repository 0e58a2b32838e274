"""What the tests of cores share: the log kept quiet, and servers in processes of their own."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import rpyc

from anycore.clients import Client, connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PLUGIN = """
import os
import signal
import subprocess
import sys
import threading
import time

from anycore import Plugin, exposed


class Work(Plugin):
    def __init__(self):
        self.child = None
        self.codes = []

    def start(self):
        self.child = subprocess.Popen([sys.executable, "-c", "input(); raise SystemExit(7)"], stdin=subprocess.PIPE)
        threading.Thread(target=lambda: print("child returned", self.child.wait(), flush=True), daemon=True).start()

    @exposed
    def pid(self) -> int:
        return os.getpid()

    @exposed(quick=True)
    def quick(self, value: int) -> int:
        return value

    @exposed
    def plain(self, value: int) -> int:
        return value

    @exposed(quick=True)
    def hog(self, seconds: float) -> float:
        time.sleep(seconds)
        return seconds

    @exposed
    async def coroutine(self, value: int) -> int:
        return value

    @exposed
    def end_the_child(self) -> None:
        os.write(self.child.stdin.fileno(), b"\\n")

    @exposed
    def shoot(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    @exposed
    def sleep(self, seconds: float) -> float:
        print("sleeping", flush=True)
        time.sleep(seconds)
        return seconds

    @exposed
    def run(self, code: int) -> int:
        return subprocess.run([sys.executable, "-c", f"raise SystemExit({code})"]).returncode

    @exposed
    def ask(self, callback: object, value: int) -> int:
        return callback(value) + 1

    @exposed
    def fail(self) -> None:
        raise ValueError("on purpose")
"""
_URL = re.compile(r"\b((?:http|rpyc)://127\.0\.0\.1:\d+)\s")
SECONDS = 20


class Serving:
    """`anycore serve` in a process of its own, with an HTTP and an RPyC listener."""

    def __init__(self, folder: Path, core: str, *options: str) -> None:
        plugin = folder / "work.py"
        plugin.write_text(PLUGIN)
        listen = [f"--listen={scheme}://127.0.0.1:0" for scheme in ("http", "rpyc")]
        command = [sys.executable, "-m", "anycore", "serve", str(plugin), f"--core={core}", *listen, *options]
        self.process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.said = ""
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.until("Ctrl-C stops it.")
        self.http, self.rpyc = _URL.findall(self.said)[:2]

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                with self._changed:
                    self.said += line
                    self._changed.notify_all()

    def until(self, text: str) -> None:
        """Wait until the server has said something."""
        with self._changed:
            assert self._changed.wait_for(lambda: text in self.said, SECONDS), f"no {text!r} in:\n{self.said}"

    def connect(self, **settings: Any) -> Client:
        """Return a client over HTTP."""
        return connect(self.http, timeout=SECONDS, **settings)

    def peer(self) -> Any:
        """Return a connection of RPyC's own."""
        return rpyc.connect("127.0.0.1", int(self.rpyc.rpartition(":")[2]), config={"sync_request_timeout": SECONDS})

    def children(self) -> dict[int, str]:
        """Return the processes that the server has started, and their states, as the system shows them."""
        found = {}
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                state, parent = path.read_text().rpartition(")")[2].split()[:2]
            except OSError:
                continue
            if int(parent) == self.process.pid:
                found[int(path.parent.name)] = state
        return found

    def stop(self) -> int:
        """End it as an operator would; return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.ended()

    def ended(self) -> int:
        """Wait for its end; return its exit code."""
        try:
            return self.process.wait(SECONDS)
        finally:
            self.process.kill()
            self.process.wait()
            self._reader.join(SECONDS)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Serving]]:
    """Starts servers: `serve(core, *options)`. They are ended after the test."""
    with ExitStack() as stack:

        def start(core: str, *options: str) -> Serving:
            made = Serving(tmp_path, core, *options)
            stack.callback(made.ended)
            stack.callback(made.process.kill)
            return made

        yield start


@pytest.fixture(autouse=True)
def _failures_are_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Keep what cores log about jobs that fail on purpose out of the way."""
    with caplog.at_level("CRITICAL", logger="anycore.core"):
        yield
