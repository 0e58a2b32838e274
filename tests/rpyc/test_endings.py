"""A service is told of the end of each connection, once, where the connection was served, however it ended and on every core."""

from __future__ import annotations

import contextlib
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from anycore.rpyc import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVER = Path(__file__).with_name("ending_server.py")
WHERE = {"threaded": "anycore-connection", "asyncio": "anycore-worker", "pool": "anycore-worker", "forking": ""}
"""How the threads are called in which connections are served; the forking core serves in the main thread of a process."""


class Server:
    """The server, and what it has said."""

    def __init__(self, core: str, stop_time: float) -> None:
        command = [sys.executable, str(SERVER), core, str(stop_time)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self.said: list[str] = []
        self.port = int(self.until("port").split()[1])

    def until(self, beginning: str) -> str:
        """Wait until it says something that begins so, and return that."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line.strip())
            if line.startswith(beginning):
                return line
        raise AssertionError(f"the server ended without saying {beginning!r}, but: {self.said}")

    def stop(self) -> None:
        """Tell it to stop, without waiting for that."""
        self.process.terminate()

    def ends(self) -> list[list[str]]:
        """Wait until it has ended; return what it said of the ends of connections: their names and threads."""
        assert self.process.stdout is not None
        self.said += [line.strip() for line in self.process.stdout]
        assert self.process.wait(60) == 0
        return [line.split()[1:] for line in self.said if line.startswith("end")]


@contextlib.contextmanager
def serving(core: str, stop_time: float) -> Iterator[Server]:
    server = Server(core, stop_time)
    try:
        yield server
    finally:
        server.process.kill()
        server.process.wait()
        for stream in (server.process.stdin, server.process.stdout):
            assert stream is not None
            with contextlib.suppress(OSError):
                stream.close()


def reset(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def babble(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\n\r\n")
        raw.settimeout(30)
        with contextlib.suppress(ConnectionError):
            assert raw.recv(1) == b""


def call(port: int, outcome: list[str]) -> None:
    with connect("127.0.0.1", port) as conn:
        try:
            outcome.append(conn.root.wait("busy"))
        except EOFError as error:
            outcome.append(str(error))


@pytest.mark.parametrize("core", list(WHERE))
def test_on_disconnect_is_called_once_where_the_connection_was_served(core: str) -> None:
    outcome: list[str] = []
    with serving(core, 60) as server:
        with connect("127.0.0.1", server.port) as conn:
            conn.root.be("goodbye")
        server.until("end goodbye")
        lost = connect("127.0.0.1", server.port)
        lost.root.be("lost")
        lost.link.close()
        lost.close()
        server.until("end lost")
        reset(server.port)
        babble(server.port)
        idle = connect("127.0.0.1", server.port)
        idle.root.be("idle")
        caller = threading.Thread(target=call, args=(server.port, outcome))
        caller.start()
        server.until("wait busy")
        server.stop()
        server.until("end idle")  # though the other one is still at it
        assert server.process.stdin is not None
        server.process.stdin.write("x")
        server.process.stdin.flush()
        caller.join(60)
        idle.close()
        ends = server.ends()
    assert outcome == ["x"]
    begun = sum(line.startswith("begin") for line in server.said)
    assert sorted(name for name, *_ in ends) == sorted(["busy", "goodbye", "idle", "lost", *["nameless"] * (begun - 4)])
    assert all(" ".join(thread).startswith(WHERE[core]) for _, *thread in ends)


@pytest.mark.parametrize("core", ["threaded", "asyncio", "pool"])
def test_on_disconnect_is_called_though_a_call_outlives_the_server(core: str) -> None:
    outcome: list[str] = []
    with serving(core, 0.2) as server:
        caller = threading.Thread(target=call, args=(server.port, outcome))
        caller.start()
        server.until("wait busy")
        server.stop()
        ends = server.ends()
        caller.join(60)
    assert [name for name, *_ in ends] == ["busy"]
    assert outcome and "ended" in outcome[0]
