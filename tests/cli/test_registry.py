"""`anycore registry`: the server in a process of its own, as started by hand, and the commands that ask it."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from click.testing import Result

from anycore.cli.exits import Exit
from anycore.discovery import NoAnswerError, Server, TcpRegistryClient, UdpRegistryClient

Run = Callable[..., Result]
SECONDS = 20


class Process:
    """`anycore registry ...`, and the lines that it prints."""

    def __init__(self, *args: str, log: Path) -> None:
        self.log = log
        with log.open("w") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "anycore", "registry", *args],
                stdout=subprocess.PIPE, stderr=stderr, text=True,
            )  # fmt: skip

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")  # pytest's time-out bounds it

    def port(self) -> str:
        said = self.line()
        found = re.search(r":([1-9][0-9]*)", said)
        assert found, said + self.log.read_text()
        assert self.line() == "Ctrl-C stops it."
        return found[1]

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        try:
            return self.process.wait(SECONDS)
        finally:
            self.close()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Start a command; it is ended with the test."""
    with ExitStack() as stack:
        names = iter(range(100))

        def begin(*args: str) -> Process:
            process = Process(*args, log=tmp_path / f"stderr-{next(names)}")
            stack.callback(process.close)
            return process

        yield begin


Start = Callable[..., Process]


def test_without_a_command_it_serves(start: Start) -> None:
    server = start("--host", "127.0.0.1", "-p", "0")
    client = UdpRegistryClient([f"127.0.0.1:{server.port()}"])
    client.register(["ECHO"], 7)
    assert client.discover("ECHO") == (Server("127.0.0.1", 7),)
    assert server.stop() == Exit.OK
    assert "the registry listens on udp://127.0.0.1:" in server.log.read_text()
    assert "ECHO at 127.0.0.1:7 registered" in server.log.read_text()


def test_every_switch_of_the_original(start: Start, tmp_path: Path, run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = str(probe.getsockname()[1])
    log = tmp_path / "registry.log"
    server = start("-m", "tcp", "-p", port, "-f", str(log), "-t", "100", "-l", "True")
    assert server.port() == port
    assert run("registry", "list", "-m", "TCP", "-r", f"127.0.0.1:{port}").output == ""
    assert server.stop(signal.SIGINT) == Exit.OK
    assert "INFO     anycore.discovery: the registry listens on tcp://0.0.0.0:" in log.read_text()
    assert server.log.read_text() == ""


def test_quiet_is_a_flag_and_listing_too(start: Start) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.77", 0))
        port = probe.getsockname()[1]
    server = start("serve", "-q", "-l", "--mode=BOTH", "--host=127.0.0.77", f"--port={port}")
    client = UdpRegistryClient([f"127.0.0.77:{port}"], timeout=0.1)
    names: tuple[str, ...] | None = None
    while names is None and server.process.poll() is None:  # quiet: nothing says that it is ready
        with contextlib.suppress(NoAnswerError):
            names = client.list()
    assert names == ()
    assert TcpRegistryClient([f"127.0.0.77:{port}"]).list() == ()
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(SECONDS) == Exit.OK
    assert server.line() == ""
    assert server.log.read_text() == ""


@pytest.mark.skipif(not socket.has_ipv6 or not Path("/proc/net/if_inet6").exists(), reason="no IPv6 here")
def test_ipv6(start: Start, run: Run) -> None:
    server = start("-6", "-p", "0")
    assert run("registry", "register", "7", "Echo", "-r", f"[::1]:{server.port()}").exit_code == Exit.OK
    assert server.stop() == Exit.OK


@pytest.mark.parametrize("mode", ["UDP", "TCP"])
def test_asking(mode: str, start: Start, run: Run) -> None:
    server = start("-m", mode, "--host", "127.0.0.1", "-p", "0", "--listing=yes")
    where = ["-m", mode, "-r", f"127.0.0.1:{server.port()}"]
    result = run("registry", "register", "18861", "Echo", "sum", *where)
    assert result.output == f"registered with {where[-1]}\n"
    assert run("registry", "register", "/run/echo.sock", "Echo", *where).exit_code == Exit.OK
    assert run("registry", "list", *where).output == "ECHO\nSUM\n"
    assert run("registry", "list", "--host", "10.0.0.1", *where).output == ""
    assert json.loads(run("registry", "list", "--json", *where).output) == ["ECHO", "SUM"]
    assert run("registry", "lookup", "echo", *where).output == "127.0.0.1:18861\n127.0.0.1:/run/echo.sock\n"
    assert json.loads(run("registry", "lookup", "sum", "--json", *where).output) == [
        {"host": "127.0.0.1", "port": 18861}
    ]
    assert run("registry", "unregister", "18861", *where).output == f"unregistered with {where[-1]}\n"
    result = run("registry", "lookup", "sum", *where)
    assert result.exit_code == Exit.FAULT
    assert result.stderr == f"Error: nobody has registered 'sum' with {mode.lower()}://{where[-1]}\n"


def test_watching_and_keeping(start: Start) -> None:
    port = start("--host", "127.0.0.1", "-p", "0", "-l").port()
    where = f"--registry=127.0.0.1:{port}"
    client = UdpRegistryClient([f"127.0.0.1:{port}"])
    client.register(["FIRST"], 7)
    watching = start("watch", where, "--interval", "0.05")
    assert watching.line() == "+ FIRST 127.0.0.1:7"
    keeping = start("register", "18861", "Kept", where, "--keep")
    assert keeping.line() == f"registered with udp://127.0.0.1:{port}"
    assert keeping.line() == "Ctrl-C takes it back."
    assert watching.line() == "+ KEPT 127.0.0.1:18861"
    assert keeping.stop(signal.SIGINT) == Exit.OK
    assert watching.line() == "- KEPT 127.0.0.1:18861"
    client.unregister(7)
    assert watching.line() == "- FIRST 127.0.0.1:7"
    assert watching.stop(signal.SIGINT) == Exit.INTERRUPTED


def test_what_cannot_be_had(start: Start, run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run("registry", "-m", "TCP", "--host", "127.0.0.1", "-p", str(port))
        assert result.exit_code == Exit.STARTUP
        assert f"cannot listen on port {port} of 127.0.0.1: Address already in use" in result.stderr
    result = run("registry", "list", "-m", "TCP", "-r", f"127.0.0.1:{port}")
    assert result.exit_code == Exit.TRANSPORT
    assert f"tcp://127.0.0.1:{port}: nothing listens there" in result.stderr
    where = f"127.0.0.1:{start('--host', '127.0.0.1', '-p', '0').port()}"
    result = run("registry", "list", "-r", where)
    assert result.exit_code == Exit.FAULT
    assert "start it with --listing" in result.stderr
    result = run("registry", "-f", "no/such/folder/log")
    assert result.exit_code == Exit.STARTUP
    assert "cannot write to no/such/folder/log" in result.stderr


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["list", "-m", "TCP"], "TCP knows no broadcast; say which registry to ask with --registry HOST"),
        (["lookup", "x", "-r", "a:b:"], "cannot be resolved"),
        (["lookup", "x", "-r", "a:x"], "write HOST, HOST:PORT or [IPV6]:PORT"),
        (["register", "70000", "x"], "expected a port from 1 to 65535, or the path of a socket from / on, got '70000'"),
        (
            ["register", "echo", "18861"],
            "expected a port from 1 to 65535, or the path of a socket from / on, got 'echo'",
        ),
        (["register", "7", "x" * 2000], "use fewer names"),
        (["bogus"], "No such command 'bogus'"),
        (["-p", "1", "list"], "unexpected extra argument"),
        (["-t", "0"], "0"),
    ],
)
def test_what_makes_no_sense(args: list[str], message: str, run: Run) -> None:
    result = run("registry", *args)
    assert result.exit_code in (Exit.USAGE, Exit.TRANSPORT)
    assert message in " ".join(result.stderr.split())
