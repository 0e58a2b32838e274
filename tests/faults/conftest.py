"""A server with a plugin that does what plugins must not do, started from the command line as its users start it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest

from anycore.clients import Client, Fault, connect
from anycore.wire.faults import DEADLINE_EXCEEDED

PLUGIN = '''
import ctypes
import os
import sys
import threading
import time

from anycore import Plugin, exposed


class Bad(Plugin):
    """Does what plugins must not do."""

    def __init__(self):
        self.never = threading.Event()

    @exposed
    def pid(self) -> int:
        return os.getpid()

    @exposed
    def well(self, value: int) -> int:
        return value

    @exposed
    async def coroutine(self, value: int) -> int:
        return value

    @exposed
    def rest(self, seconds: float) -> bool:
        time.sleep(seconds)
        return True

    @exposed
    def block(self) -> None:
        self.never.wait()

    @exposed(quick=True)
    def hog(self, seconds: float) -> None:
        time.sleep(seconds)

    @exposed
    async def hog_the_loop(self, seconds: float) -> None:
        time.sleep(seconds)

    @exposed
    def leave(self) -> None:
        raise SystemExit(3)

    @exposed(quick=True)
    def leave_at_once(self) -> None:
        sys.exit("now")

    @exposed
    async def leave_the_loop(self) -> None:
        raise SystemExit

    @exposed
    def interrupt(self) -> None:
        raise KeyboardInterrupt

    @exposed
    def descend(self, depth: int) -> int:
        return 1 + self.descend(depth + 1)

    @exposed(quick=True)
    def descend_at_once(self, depth: int) -> int:
        return 1 + self.descend_at_once(depth + 1)

    @exposed
    def nest(self) -> list:
        found = []
        for _ in range(100_000):
            found = [found]
        return found

    @exposed
    def leak(self, count: int) -> int:
        for _ in range(count):
            threading.Thread(target=self.never.wait).start()
        return threading.active_count()

    @exposed
    def say(self, text: str) -> None:
        print(text)
        print(text, file=sys.stderr)
        sys.stdout.write("no end of line")
        os.write(1, text.encode())

    @exposed
    def shut(self) -> None:
        sys.stdout.close()

    @exposed
    def crash(self) -> None:
        ctypes.string_at(0)

    @exposed
    def exit(self) -> None:
        os._exit(3)

    @exposed
    def abort(self) -> None:
        os.abort()
'''
_URL = re.compile(r"\b(http://127\.0\.0\.1:\d+)\s")
SECONDS = 30


class Serving:
    """`anycore serve` with the bad plugin, in a process of its own."""

    def __init__(self, folder: Path, core: str, *options: str) -> None:
        plugin = folder / "bad.py"
        plugin.write_text(PLUGIN)
        command = [
            sys.executable,
            "-m",
            "anycore",
            "serve",
            str(plugin),
            f"--core={core}",
            "--listen=http://127.0.0.1:0",
        ]
        self.process = subprocess.Popen(
            [*command, *options],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.said = ""
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.until("Ctrl-C stops it.")
        self.url = _URL.findall(self.said)[0]

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                with self._changed:
                    self.said += line
                    self._changed.notify_all()

    def until(self, text: str) -> str:
        """Wait until the server has said something; return the line."""
        with self._changed:
            assert self._changed.wait_for(lambda: text in self.said, SECONDS), f"no {text!r} in:\n{self.said}"
            return next(line for line in self.said.splitlines() if text in line)

    def connect(self, timeout: float = SECONDS) -> Client:
        """Return a client."""
        return connect(self.url, timeout=timeout)

    def goes_on(self) -> bool:
        """Whether it answers new callers, several at once, in each way. On a busy machine one may be too late for its deadline."""
        deadline = time.monotonic() + SECONDS
        while True:
            try:
                return self._answers()
            except Fault as fault:
                if fault.code != DEADLINE_EXCEEDED or time.monotonic() > deadline:
                    raise

    def _answers(self) -> bool:
        with ExitStack() as stack:
            clients = [stack.enter_context(self.connect()) for _ in range(4)]
            found = [client.call("bad.well", number) for number, client in enumerate(clients)]
            found += [client.call("bad.coroutine", number) for number, client in enumerate(clients)]
            return found == [0, 1, 2, 3] * 2

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


Serve = Callable[..., AbstractContextManager[Serving]]


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Serve:
    """Starts servers: `with serve(core, *options) as server`. Each must end well."""

    @contextmanager
    def start(core: str, *options: str) -> Iterator[Serving]:
        made = Serving(tmp_path_factory.mktemp(core), core, *options)
        try:
            yield made
            assert made.stop() == 0, made.said
        finally:
            made.process.kill()
            made.ended()

    return start
