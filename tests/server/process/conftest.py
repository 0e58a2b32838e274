"""A server as a process of its machine, as an operator starts it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from anycore.clients import connect
from anycore.server.process.control import ask

SECONDS = 40
NOBODY = 65534
PLUGIN = """
import os, time
from anycore import Plugin, exposed

class Sample(Plugin):
    @exposed
    def pid(self) -> int:
        return os.getpid()

    @exposed
    def echo(self, value):
        return value

    @exposed
    def users(self) -> list:
        return [os.getresuid(), os.getresgid(), os.getgroups(), os.environ.get("HOME"), os.getcwd()]

    @exposed
    def status(self) -> str:
        return open("/proc/self/status").read()

    @exposed
    def late(self) -> str:
        import email.mime.audio  # what nobody has imported before
        return "imported"

    @exposed(quick=True)
    def hang(self) -> None:
        open("hanging", "w").close()
        while not os.path.exists("go on"):
            time.sleep(0.01)

    @exposed
    def touch(self, path: str) -> int:
        open(path, "w").close()
        return os.stat(path).st_mode & 0o777

    @exposed
    def listing(self) -> list:
        return sorted(os.listdir("/"))
"""


def wait_until(true: Callable[[], Any], what: str = "it") -> Any:
    until = time.monotonic() + SECONDS
    while not (found := true()):
        assert time.monotonic() < until, f"{what} did not come about"
        time.sleep(0.02)
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Home:
    """A directory with a plugin, and the servers that were started there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.control = str(folder / "c.sock")
        self.pidfile = folder / "p.pid"
        self.log = folder / "log"
        self.pids: set[int] = set()
        self.processes: list[subprocess.Popen[bytes]] = []
        (folder / "sample.py").write_text(PLUGIN)

    def command(
        self, *options: str, listen: str = "http://127.0.0.1:0", paths: tuple[str, ...] = ("sample.py",)
    ) -> list[str]:
        own = ["--control", self.control, "--pidfile", str(self.pidfile)]
        return [sys.executable, "-m", "anycore", "serve", *paths, "--listen", listen, *own, *options]

    def start(
        self,
        *options: str,
        ready: bool = True,
        listen: str = "http://127.0.0.1:0",
        paths: tuple[str, ...] = ("sample.py",),
        **environment: str,
    ) -> subprocess.Popen[bytes]:
        return self.launch(self.command(*options, listen=listen, paths=paths), ready=ready, **environment)

    def launch(self, command: list[str], *, ready: bool = True, **environment: str) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                command, cwd=self.folder, env={**os.environ, **environment},
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log,
            )  # fmt: skip
        self.processes.append(process)
        self.pids.add(process.pid)
        if ready:
            wait_until(lambda: self.answers() == process.pid or process.poll() is not None, "the server")
            assert process.poll() is None, self.log.read_text()
        return process

    def answers(self) -> int:
        """Return the number of the process that answers at the control socket."""
        try:
            return int(self.ask("status")["pid"])
        except OSError:
            return 0

    def ask(self, command: str, **arguments: Any) -> Any:
        found = ask(self.control, command, timeout=SECONDS, **arguments)
        if isinstance(found, dict) and "pid" in found:
            self.pids.add(found["pid"])
        return found

    @property
    def url(self) -> str:
        return str(self.ask("status")["listeners"][0])

    def call(self, name: str, *arguments: Any) -> Any:
        with connect(self.url, timeout=SECONDS) as client:
            return client.call(f"sample.{name}", *arguments)

    def end(self) -> None:
        if Path(self.control).exists():
            self.answers()
        for pid in self.pids:
            if alive(pid) and b"anycore" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)
        for process in self.processes:
            process.wait(SECONDS)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    made = Home(tmp_path)
    yield made
    made.end()


@pytest.fixture
def public(home: Home) -> Home:
    """The home, where everybody may go."""
    folder = home.folder
    while folder != Path("/"):
        folder.chmod(folder.stat().st_mode | 0o055)
        folder = folder.parent
    return home


class Systemd:
    """What listens where systemd would."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.said: list[tuple[int, dict[str, str]]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.bind(str(path))
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while True:
            data, ancillary, _, _ = self._socket.recvmsg(4096, 256)
            if data == b"end":
                return
            pid = int.from_bytes(ancillary[0][2][:4], sys.byteorder)
            with self._changed:
                self.said.append((pid, dict(line.split("=", 1) for line in data.decode().splitlines())))
                self._changed.notify_all()

    def until(self, pid: int, field: str, after: int = 0) -> int:
        """Wait until a process has said something; return how much was said by then."""

        def found() -> int:
            return next(
                (n for n, (who, what) in enumerate(self.said, 1) if n > after and who == pid and field in what), 0
            )

        with self._changed:
            assert self._changed.wait_for(found, SECONDS), f"{pid} has not said {field}: {self.said}"
            return found()

    def close(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"end", str(self.path))
        self._thread.join()
        self._socket.close()


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    made = Systemd(tmp_path / "notify")
    yield made
    made.close()


@pytest.fixture
def until() -> Callable[..., Any]:
    """Wait until something is true."""
    return wait_until


@pytest.fixture
def lives() -> Callable[[int], bool]:
    """Tell whether a process lives."""
    return alive
