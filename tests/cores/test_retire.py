"""`Core.retire`: connections go on, new ones are left to another server, and `run` ends with the last connection."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING

import pytest

from anycore import Plugin, exposed
from anycore.cores.base import CoreLimits
from anycore.testing import running

if TYPE_CHECKING:
    from anycore.testing.server import RunningServer

REQUEST = b"POST /jsonrpc HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
BODY = b'{"jsonrpc": "2.0", "id": 1, "method": "here.answer", "params": []}'
SECONDS = 30


class Here(Plugin):
    def __init__(self) -> None:
        self.stopped = threading.Event()

    def stop(self) -> None:
        self.stopped.set()

    @exposed
    def answer(self) -> int:
        """Answer."""
        return 42


class Caller:
    """A peer that keeps its connection."""

    def __init__(self, server: RunningServer) -> None:
        self.socket: socket.socket = socket.create_connection(server.address, SECONDS)
        if server.context is not None:
            self.socket = server.context.wrap_socket(self.socket, server_hostname="localhost")
        self.file = self.socket.makefile("rb")

    def ask(self) -> bytes:
        """Send a request; return the head of the response."""
        self.socket.sendall(REQUEST % len(BODY) + BODY)
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = self.file.readline()
            assert line, f"no answer, but {head!r}"
            head += line
        length = next(int(line[15:]) for line in head.splitlines() if line.lower().startswith(b"content-length:"))
        assert b"42" in self.file.read(length)
        return head.lower()

    def ended(self) -> bool:
        """Wait for the server to close."""
        try:
            return self.file.read(1) == b""
        except (ConnectionError, ssl.SSLError):
            return True

    def close(self) -> None:
        self.file.close()
        self.socket.close()


@pytest.mark.parametrize("transport", ["tcp", "tls"])
@pytest.mark.parametrize("core", ["asyncio", "threaded", "pool"])
def test_a_silent_connection_goes_on_until_its_next_answer(core: str, transport: str) -> None:
    with running(Here, core=core, transport=transport) as server:
        caller, quiet = Caller(server), Caller(server)
        assert b"connection: close" not in caller.ask()
        assert b"connection: close" not in quiet.ask()
        server.core.retire()
        server.core.retire()  # once more changes nothing
        wait_until_closed(server)
        for one in (caller, quiet):
            assert b"connection: close" in one.ask()
            assert one.ended()
            one.close()


@pytest.mark.parametrize("core", ["asyncio", "threaded", "pool"])
def test_it_ends_with_its_last_connection(core: str) -> None:
    plugin = Here()
    with running(plugin, core=core) as server:
        caller = Caller(server)
        caller.ask()
        server.core.retire()
        wait_until_closed(server)
        assert not plugin.stopped.is_set()
        assert b"connection: close" in caller.ask()
        caller.close()
        assert plugin.stopped.wait(SECONDS)


@pytest.mark.parametrize("core", ["asyncio", "threaded", "pool"])
@pytest.mark.parametrize("how", ["stop", "drain_time"])
def test_it_does_not_wait_for_ever_for_a_silent_peer(core: str, how: str) -> None:
    limits = CoreLimits(drain_time=0.2 if how == "drain_time" else 0.0)
    plugin = Here()
    with running(plugin, core=core, core_limits=limits) as server:
        caller = Caller(server)
        caller.ask()
        server.core.retire()
        if how == "stop":
            server.core.stop()
        assert caller.ended()
        caller.close()
        assert plugin.stopped.wait(SECONDS)


def wait_until_closed(server: RunningServer) -> None:
    """Wait until nobody listens any more: what is accepted until then is served."""
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        with socket.socket() as probe:
            probe.settimeout(SECONDS)
            if probe.connect_ex(server.address):
                return
    pytest.fail("the core goes on listening")
