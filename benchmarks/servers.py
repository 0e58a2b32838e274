"""Child processes: servers are started on one processor, watched until they listen, and always killed.

Each child is in a process group of its own, which is killed at the end; should the harness itself be killed, the
kernel kills the child (setpriv --pdeathsig).
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from benchmarks.environment import ROOT

START_SECONDS = 20.0
TICKS = os.sysconf("SC_CLK_TCK")


class StartError(Exception):
    """A server did not come up."""


def pinned(command: list[str], processor: int | None) -> list[str]:
    """Return the command line that runs `command` on one processor, on any for None, and dies with the harness."""
    where = [] if processor is None else ["taskset", "-c", str(processor)]
    return ["setpriv", "--pdeathsig", "KILL", *where, *command]


def free_port() -> int:
    """Return a loopback port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


class Server:
    """One server process, from start to kill; a context manager."""

    def __init__(self, name: str, command: list[str], port: int, processor: int | None) -> None:
        """Start `command`, which is expected to listen on the loopback `port`."""
        self.name = name
        self.port = port
        self._output: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed by __exit__)
        self._process = subprocess.Popen(
            pinned(command, processor),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        """Wait until the server accepts connections.

        Raises:
            StartError: it ended, or did not listen in time.
        """
        end = time.monotonic() + START_SECONDS
        while not self._accepts():
            if self._process.poll() is not None or time.monotonic() > end:
                why = self.last_words() or "no output"
                self._kill()
                raise StartError(f"{self.name} did not listen on port {self.port}: {why}")
            time.sleep(0.02)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Kill the server and whatever it started."""
        self._kill()

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    def cpu_seconds(self) -> float:
        """Return the processor time that the process has used, in seconds, by its own count of all its threads."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def last_words(self) -> str:
        """Return the end of what the server has printed."""
        self._output.seek(max(0, self._output.seek(0, os.SEEK_END) - 600))
        return self._output.read().decode(errors="replace").strip()

    def _accepts(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def _kill(self) -> None:
        with suppress(ProcessLookupError):  # where it ended by itself
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._output.close()
