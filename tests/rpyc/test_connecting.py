from __future__ import annotations

import contextlib
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from anycore.cores.pipes import as_socket
from anycore.objects.connection import Connection
from anycore.rpyc import aio, connecting, starting
from anycore.rpyc.service import Service
from anycore.testing.certificate import CERTIFICATE, server_context

Serve = Callable[..., int]
SECONDS = 10
CLASSIC = [sys.executable, "-m", "anycore", "classic", "-q", "-m", "stdio"]


class Hello(Service):
    def exposed_hello(self, name: str = "world") -> str:
        return f"hello {name}"

    def exposed_ask(self) -> Any:
        return self.conn.root.hello("client")

    def on_connect(self, conn: Any) -> None:
        self.conn = conn


def check(connection: Connection) -> None:
    """See that both ends answer, with small messages and large ones, and close."""
    with connection:
        assert connection.root.hello() == "hello world"
        assert connection.root.ask() == "hello client"
        connection.ping(os.urandom(300_000))
    assert connection.closed


@pytest.fixture
def pem(tmp_path: Path) -> str:
    path = tmp_path / "localhost.pem"
    path.write_text(CERTIFICATE)
    return str(path)


def test_over_tcp(serve: Serve) -> None:
    check(connecting.connect("127.0.0.1", serve(Hello), Hello))
    check(connecting.connect("localhost", serve(Hello), Hello(), {"sync_request_timeout": 5}, keepalive=7))


def test_frames_may_have_another_limit_at_the_clients_end(serve: Serve) -> None:
    port, name = serve(Hello), "x" * 5000
    with connecting.connect("127.0.0.1", port, config={"max_frame": 10_000}) as connection:
        assert connection.root.hello(name) == f"hello {name}"
    with connecting.connect("127.0.0.1", port, config={"max_frame": 2000}) as connection:
        assert connection.root.hello() == "hello world"
        with pytest.raises(EOFError, match="2000"):
            connection.root.hello(os.urandom(2500).hex())  # compresses to a half


async def test_frames_may_have_another_limit_in_asyncio_programs(serve: Serve) -> None:
    async with await aio.connect("127.0.0.1", serve(Hello), config={"max_frame": 1000}) as connection:
        assert await connection.root.hello() == "hello world"
        with pytest.raises(EOFError, match="1000"):
            await connection.root.hello(os.urandom(2500).hex())


def test_keepalive_is_set_when_asked_for(serve: Serve) -> None:
    port = serve(Hello)
    for asked, seconds in ((True, 60), (7, 7)):
        with connecting.connect("127.0.0.1", port, keepalive=asked) as connection:
            made: socket.socket = connection.link.socket  # type: ignore[attr-defined]
            assert made.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == seconds
            assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ConnectionRefusedError):
        connecting.connect("127.0.0.1", port)
    with pytest.raises(ConnectionRefusedError):
        connecting.ssl_connect("127.0.0.1", port)


def test_over_a_unix_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with pytest.raises(FileNotFoundError):
        connecting.unix_connect(path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        thread = threading.Thread(target=lambda: starting.serve_socket(listener.accept()[0], Hello))
        thread.start()
        check(connecting.unix_connect(path, Hello))
        thread.join(SECONDS)


class TestTls:
    @pytest.fixture
    def port(self, serve: Serve) -> int:
        context = server_context()
        return serve(Hello, None, lambda accepted: context.wrap_socket(accepted, server_side=True))

    def test_a_trusted_server_is_spoken_to(self, port: int, pem: str) -> None:
        check(connecting.ssl_connect("127.0.0.1", port, Hello, ca_certs=pem))
        check(connecting.ssl_connect("localhost", port, Hello, ca_certs=pem, ciphers="ECDHE+AESGCM"))

    def test_a_stranger_is_not(self, port: int) -> None:
        with pytest.raises(ssl.SSLCertVerificationError):
            connecting.ssl_connect("127.0.0.1", port)

    def test_nor_one_of_another_name(self, port: int, pem: str) -> None:
        with pytest.raises(ssl.SSLCertVerificationError, match=r"127\.0\.0\.2"):
            connecting.ssl_connect("127.0.0.2", self._anywhere(port), ca_certs=pem)

    @staticmethod
    def _anywhere(port: int) -> int:
        """Forward one connection to 127.0.0.2, which on this machine is the same server's."""
        listener = socket.create_server(("127.0.0.2", 0))

        def forward() -> None:
            with listener, listener.accept()[0] as near, socket.create_connection(("127.0.0.1", port)) as far:
                far.sendall(near.recv(65536))
                near.sendall(far.recv(65536))

        threading.Thread(target=forward).start()
        found: int = listener.getsockname()[1]
        return found

    def test_unless_that_is_declined(self, port: int, pem: str) -> None:
        check(connecting.ssl_connect("127.0.0.1", port, Hello, verify_mode=ssl.CERT_NONE))
        check(connecting.ssl_connect("127.0.0.1", port, Hello, ca_certs=pem, check_hostname=False))

    def test_the_client_shows_its_certificate(self, serve: Serve, pem: str) -> None:
        context = server_context(ask=True)
        port = serve(Hello, None, lambda accepted: context.wrap_socket(accepted, server_side=True))
        check(connecting.ssl_connect("127.0.0.1", port, Hello, ca_certs=pem, certfile=pem))
        with (
            pytest.raises((OSError, EOFError)),
            connecting.ssl_connect("127.0.0.1", port, Hello, ca_certs=pem) as refused,
        ):
            refused.ping()


def test_a_service_that_fails_at_once_leaves_no_connection(serve: Serve) -> None:
    ended = threading.Event()

    class Failing(Service):
        def on_connect(self, conn: Any) -> None:
            message = "not today"
            raise PermissionError(message)

        def on_disconnect(self, conn: Any) -> None:
            ended.set()

    with pytest.raises(PermissionError, match="not today"):
        connecting.connect("127.0.0.1", serve(Hello), Failing)
    assert ended.is_set()


class TestPipes:
    @pytest.fixture
    def far(self) -> Iterator[tuple[int, int]]:
        """The client's ends of two pipes to a server."""
        to_server, from_client = os.pipe()
        to_client, from_server = os.pipe()
        thread = threading.Thread(
            target=lambda: starting.serve_socket(as_socket(to_server, os.fdopen(from_server, "wb", 0)), Hello)
        )
        thread.start()
        yield to_client, from_client
        thread.join(SECONDS)
        assert not thread.is_alive()

    def test_over_descriptors(self, far: tuple[int, int]) -> None:
        check(connecting.connect_pipes(*far, Hello))

    def test_over_files(self, far: tuple[int, int]) -> None:
        incoming, outgoing = os.fdopen(far[0], "rb"), os.fdopen(far[1], "wb")
        check(connecting.connect_pipes(incoming, outgoing, Hello))
        for thread in [thread for thread in threading.enumerate() if thread.name.startswith("anycore-pipe")]:
            thread.join(SECONDS)
        assert incoming.closed
        assert outgoing.closed

    def test_the_server_goes(self) -> None:
        to_client, from_server = os.pipe()
        unread, from_client = os.pipe()
        connection = connecting.connect_pipes(to_client, from_client)
        os.close(from_server)
        with pytest.raises(EOFError):
            connection.ping()
        os.close(unread)

    def test_one_socket_as_both_is_used_as_it_is(self) -> None:
        ours, theirs = socket.socketpair()
        descriptor = ours.detach()
        before = set(threading.enumerate())
        with theirs, as_socket(descriptor, descriptor) as found:
            assert set(threading.enumerate()) <= before
            found.sendall(b"x")
            assert theirs.recv(1) == b"x"

    def test_standard_pipes(self) -> None:
        program = "from anycore.rpyc.connecting import connect_stdpipes\nconnect_stdpipes().root.hello('child')"
        served: list[str] = []

        class Told(Hello):
            def exposed_hello(self, name: str = "") -> str:
                served.append(name)
                return super().exposed_hello(name)

        with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
            assert child.stdin is not None
            assert child.stdout is not None
            starting.serve_socket(as_socket(child.stdout, child.stdin), Told)
        assert served == ["child"]


def test_over_a_thread() -> None:
    check(starting.connect_thread(Hello, {}, Hello, {}))


class Shared(Hello):
    def __init__(self) -> None:
        self.namespace: dict[str, Any] = {}

    def exposed_hello(self, name: str = "world") -> str:
        return f"{super().exposed_hello(name)}{self.namespace.get('more', '')}"

    def exposed_pid(self) -> int:
        return os.getpid()


def test_over_a_process() -> None:
    connection: Any = starting.connect_multiprocess(Hello, remote_service=Shared)
    assert connection.root.pid() == connection.proc.pid != os.getpid()
    check(connection)
    connection.proc.join(SECONDS)
    assert connection.proc.exitcode == 0


def test_a_process_is_given_things_to_begin_with() -> None:
    connection: Any = starting.connect_multiprocess(remote_service=Shared, args={"more": "!"})
    with connection:
        assert connection.root.hello() == "hello world!"
    connection.proc.join(SECONDS)


def test_over_a_subprocess() -> None:
    connection: Any = starting.connect_subproc(CLASSIC, Hello)
    with connection:
        assert connection.root.getmodule("os").getpid() == connection.proc.pid
        assert connection.root.eval("1 + 1") == 2
    assert connection.proc.wait(SECONDS) == 0


def test_a_subprocess_that_cannot_be_run() -> None:
    with pytest.raises(FileNotFoundError):
        starting.connect_subproc(["/no/such/program"])


def test_a_subprocess_that_is_no_server_is_ended() -> None:
    class Eager(Service):
        def on_connect(self, conn: Any) -> None:
            conn.ping(timeout=None)

    with pytest.raises(EOFError):
        starting.connect_subproc([sys.executable, "-c", "print('Content-Type: text/plain')"], Eager)


SSH = """#!{python}
import os, select, socket, sys
assert sys.argv[1:3] == ["-p", "22"] and sys.argv[5] == "--" and sys.argv[6] == "me@there", sys.argv
host, port = sys.argv[4].rsplit(":", 1)
far = socket.create_connection((host.strip("[]"), int(port)))
while True:
    ready, _, _ = select.select([0, far], [], [])
    if 0 in ready:
        data = os.read(0, 65536)
        if not data:
            break
        far.sendall(data)
    if far in ready:
        data = far.recv(65536)
        if not data:
            break
        while data:
            data = data[os.write(1, data):]
"""


def test_over_ssh(serve: Serve, tmp_path: Path) -> None:
    program = tmp_path / "ssh"
    program.write_text(SSH.format(python=sys.executable))
    program.chmod(0o755)
    ssh = [str(program), "-p", "22"]
    connection: Any = starting.ssh_connect("me@there", serve(Hello), Hello, remote_host="127.0.0.1", ssh=ssh)
    with contextlib.closing(connection):
        assert connection.root.hello() == "hello world"
    assert connection.proc.wait(SECONDS) == 0


@pytest.mark.parametrize("machine", ["", "-oProxyCommand=evil"])
def test_a_machine_is_no_option(machine: str) -> None:
    with pytest.raises(ValueError, match="expected a machine"):
        starting.ssh_connect(machine)
