"""A whole server in a process of its own, started from the command line as its users start it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Self

import pytest

from anycore.testing.certificate import CERTIFICATE

PLUGIN = '''
import asyncio
import os
from typing import Any
from anycore import Call, Plugin, exposed


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
    def back(self, function: Any, depth: int) -> Any:
        """Call back, which calls again."""
        return function(depth)

    @exposed
    def who(self, call: Call) -> tuple[str, str, bool]:
        """Tell how the call came."""
        return call.wire, call.peer.transport, bool(call.peer.tls)

    @exposed
    def process(self) -> int:
        """Return the number of the process."""
        return os.getpid()
'''

Launch = Callable[..., AbstractContextManager["Banner"]]


class Banner(str):  # noqa: SLOT000 - there is one
    """What a server has said when it was ready, and the number of its process."""

    def __new__(cls, text: str, pid: int) -> Self:
        made = super().__new__(cls, text)
        made.pid = pid
        return made

    pid: int


@pytest.fixture(scope="module")
def launch() -> Launch:
    """Start a server with the plugin `modes`: `launch(core, folder, urls, *options)`. Yields its banner; it must end well and quietly.

    Over TLS it shows `server.pem` in the folder, which is made if it is not there.
    """

    @contextmanager
    def start(core: str, folder: Path, urls: Sequence[str], *options: str) -> Iterator[Banner]:
        (folder / "modes.py").write_text(PLUGIN)
        if not (folder / "server.pem").exists():
            (folder / "server.pem").write_text(CERTIFICATE)
        command = [sys.executable, "-m", "anycore", "serve", "modes.py", "--core", core, "--certificate", "server.pem"]
        command += [word for url in urls for word in ("--listen", url)] + [*options]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, cwd=folder, stdout=pipe, stderr=pipe, text=True) as process:
            assert process.stdout is not None
            lines = []
            for line in process.stdout:
                lines.append(line)
                if "Ctrl-C" in line:
                    break
            try:
                yield Banner("".join(lines), process.pid)
            finally:
                process.terminate()
                _, log = process.communicate(timeout=60)
        assert process.returncode == 0, log
        assert "Traceback" not in log, log

    return start
