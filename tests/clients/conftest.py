"""Real servers for the clients: the standard library's, and one that plays a script; and both clients under one face."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
import threading
from typing import TYPE_CHECKING, Any
from xmlrpc.server import SimpleXMLRPCRequestHandler, SimpleXMLRPCServer

import pytest

from anycore.clients import aconnect, connect
from anycore.testing.certificate import client_context, server_context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Peer:
    """The server's end of one connection."""

    def __init__(self, connection: socket.socket, over: threading.Event) -> None:
        self.socket = connection
        self._file = connection.makefile("rb")
        self._over = over

    def request(self) -> tuple[str, dict[str, str], bytes]:
        start = self._file.readline().decode().rstrip()
        headers = {}
        while line := self._file.readline().decode().rstrip():
            name, _, value = line.partition(": ")
            headers[name.lower()] = value
        return start, headers, self._file.read(int(headers.get("content-length", "0")))

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def reply(self, body: bytes, status: str = "200 OK", **headers: str) -> None:
        fields = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        self.send(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{fields}\r\n".encode() + body)

    def hold(self) -> None:
        """Say nothing until the test is over."""
        self._over.wait()

    def reset(self) -> None:
        """End the connection as the system does for a process that is killed while something is unread."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._file.close()
        self.socket.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self._file.close()
        self.socket.close()


class ScriptedServer:
    """Plays a script for each connection, in the order in which they are made."""

    def __init__(self, scripts: tuple[Callable[[Peer], None], ...], *, tls: bool, path: str) -> None:
        self.over = threading.Event()
        self.errors: list[BaseException] = []
        self.connections = 0
        self._tls = tls
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = []
        if path:
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(path)
            self._listener.listen()
        else:
            self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = path or f"{'localhost' if tls else '127.0.0.1'}:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._accept, args=(scripts,))
        self._thread.start()

    def _accept(self, scripts: tuple[Callable[[Peer], None], ...]) -> None:
        for script in scripts:
            try:
                connection = self._listener.accept()[0]
            except OSError:
                return
            self.connections += 1
            self._sockets.append(connection)
            thread = threading.Thread(target=self._play, args=(script, connection))
            self._threads.append(thread)
            thread.start()

    def _play(self, script: Callable[[Peer], None], connection: socket.socket) -> None:
        try:
            if self._tls:
                connection = server_context().wrap_socket(connection, server_side=True)
            peer = Peer(connection, self.over)
            try:
                script(peer)
            finally:
                peer.close()
        except (OSError, ValueError, AssertionError) as error:
            self.errors.append(error)
        finally:
            connection.close()

    def close(self) -> None:
        self.over.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        for connection in self._sockets:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()


@pytest.fixture
def serve() -> Iterator[Callable[..., ScriptedServer]]:
    servers: list[ScriptedServer] = []

    def start(*scripts: Callable[[Peer], None], tls: bool = False, path: str = "") -> ScriptedServer:
        servers.append(ScriptedServer(scripts, tls=tls, path=path))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


class KeepAliveHandler(SimpleXMLRPCRequestHandler):
    protocol_version = "HTTP/1.1"
    rpc_paths = ("/RPC2",)


@pytest.fixture(params=[SimpleXMLRPCRequestHandler, KeepAliveHandler], ids=["closing", "keep-alive"])
def stdlib_server(request: pytest.FixtureRequest) -> Iterator[str]:
    """Serves one connection at a time, so clients must be closed before it: ask for them after it."""

    def divide(dividend: Any, divisor: Any, /) -> float:
        """Divide one number by another."""
        quotient: float = dividend / divisor
        return quotient

    server = SimpleXMLRPCServer(("127.0.0.1", 0), request.param, logRequests=False, allow_none=True)
    server.register_introspection_functions()
    server.register_multicall_functions()
    server.register_function(divide, "calculator.divide")
    server.register_function(lambda *args: list(args), "echo")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


class Loop:
    """The asyncio client for tests that are written for the other one."""

    def __init__(self, runner: asyncio.Runner, client: Any) -> None:
        self._runner = runner
        self._client = client

    def __getattr__(self, name: str) -> Any:
        async def run(*args: Any, **kwargs: Any) -> Any:
            return await getattr(self._client, name)(*args, **kwargs)

        return lambda *args, **kwargs: self._runner.run(run(*args, **kwargs))


@pytest.fixture(params=["blocking", "asyncio"])
def client(request: pytest.FixtureRequest) -> Iterator[Callable[..., Any]]:
    with contextlib.ExitStack() as stack:
        runner = stack.enter_context(asyncio.Runner())

        def make(url: str, **settings: Any) -> Any:
            if request.param == "blocking":
                return stack.enter_context(connect(url, **settings))
            made = Loop(runner, aconnect(url, **settings))
            stack.callback(made.close)
            return made

        yield make


@pytest.fixture
def trusting() -> ssl.SSLContext:
    return client_context()
