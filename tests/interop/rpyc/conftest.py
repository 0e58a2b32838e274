"""The original in two versions, each in a process of its own; 5.3.1 in an environment of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import venv
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from anycore.cores.pump import Pump
from anycore.kernel.call import Peer
from anycore.rpyc.listening import serve_root

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PEER = Path(__file__).with_name("peer.py")
OLD = "5.3.1"


def absent(reason: str) -> None:
    """Skip, or fail where peers are required."""
    if os.environ.get("ANYCORE_REQUIRE_PEERS") == "1":
        pytest.fail(f"ANYCORE_REQUIRE_PEERS=1, but {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def old_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The Python of an environment that has the older original; made once and kept beside the project's own."""
    home = Path(__file__).parents[3] / f".rpyc{OLD}-venv"
    python = home / "bin" / "python"
    if not (home / "complete").exists():
        try:
            venv.create(home, with_pip=True, clear=True)
            subprocess.run(
                [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", f"rpyc=={OLD}", "plumbum"],
                check=True, capture_output=True, timeout=50,
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError) as error:
            absent(f"rpyc {OLD} cannot be installed: {error}")
        (home / "complete").touch()
    return str(python)


@pytest.fixture(params=["6", "5", "6 bound", "5 bound"])
def peer(request: pytest.FixtureRequest) -> tuple[int, bool, str]:
    """The dialect, whether threads are bound, and the Python that runs the peer."""
    version, _, bound = request.param.partition(" ")
    python = sys.executable if version == "6" else request.getfixturevalue("old_python")
    if version == "6":
        try:
            import rpyc  # noqa: F401
        except ImportError:
            absent("rpyc is not installed")
    return int(version), bool(bound), python


def environment(*, bound: bool) -> dict[str, str]:
    return {**os.environ, "RPYC_BIND_THREADS": "true" if bound else "false", "PYTHONPATH": ""}


@pytest.fixture
def their_server(peer: tuple[int, bool, str]) -> Iterator[tuple[int, dict[str, Any], int]]:
    """Run their server; its port, and what our client needs to know: the configuration and the dialect."""
    dialect, bound, python = peer
    with subprocess.Popen(
        [python, PEER, "serve"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment(bound=bound)
    ) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline()), {"bind_threads": bound}, dialect
        finally:
            process.kill()


@pytest.fixture
def their_client(peer: tuple[int, bool, str]) -> Callable[[int], str]:
    """Run their client against a port of ours; returns what it printed."""
    _, bound, python = peer

    def run(port: int) -> str:
        done = subprocess.run(
            [python, PEER, "use", str(port)],
            capture_output=True,
            text=True,
            timeout=30,
            env=environment(bound=bound),
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@contextmanager
def listening(make_root: Callable[[], Any], config: dict[str, Any] | None = None) -> Iterator[int]:
    """Serve a root per connection on a port of ours, each in a thread."""
    threads: list[threading.Thread] = []

    def serve(connected: socket.socket) -> None:
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pump = Pump(connected, serve_root(Peer(), make_root(), config=config))
        pump.begin()
        pump.serve()

    def accept() -> None:
        while True:
            try:
                connected, _ = listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=serve, args=(connected,), name="our-server")
            threads.append(thread)
            thread.start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepting = threading.Thread(target=accept, name="our-listener")
        accepting.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join(5)
            for thread in threads:
                thread.join(10)
                assert not thread.is_alive()


@pytest.fixture
def serving() -> Callable[..., Any]:
    """The context manager that serves a root on a port of ours."""
    return listening
