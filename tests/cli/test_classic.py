from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from anycore.discovery import LeaseTable, RegistryServer, RegistryService, UdpRegistryClient
from anycore.rpyc import classic
from anycore.rpyc.connecting import connect_pipes
from anycore.rpyc.master import MasterService
from anycore.testing.certificate import CERTIFICATE

Run = Callable[..., Result]
SECONDS = 20


class Server:
    """`anycore classic` in a process of its own."""

    def __init__(self, *args: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "anycore", "classic", *args],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.out, self.err = self.process.stdout, self.process.stderr
        self.log = ""

    def port(self) -> int:
        """Read the log up to the line that names the port."""
        for line in self.err:  # pytest's time-out bounds it
            self.log += line
            if found := re.search(r"rpycs?://[^ ]*:(\d+): ", line):
                return int(found[1])
        raise AssertionError(self.log)

    def wait(self) -> int:
        """Wait for the end, and read the rest of the log."""
        self.log += self.process.communicate(timeout=SECONDS)[1]
        return self.process.returncode

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.wait()


@pytest.fixture
def start() -> Iterator[Callable[..., Server]]:
    made: list[Server] = []

    def begin(*args: str) -> Server:
        made.append(Server(*args))
        return made[-1]

    yield begin
    for server in made:
        server.process.kill()
        server.process.communicate()


@pytest.fixture
def pem(tmp_path: Path) -> str:
    path = tmp_path / "localhost.pem"
    path.write_text(CERTIFICATE)
    return str(path)


def test_threaded_serves_many_and_says_what_it_opens(start: Callable[..., Server]) -> None:
    server = start("-p", "0")
    port = server.port()
    with classic.connect("127.0.0.1", port) as one, classic.connect("127.0.0.1", port) as two:
        assert one.modules.os.getpid() == two.modules.os.getpid() == server.process.pid
        one.execute("x = 1")
        assert two.eval("'x' in globals()") is False
    assert server.stop() == 0
    assert "anybody on this machine can run any code here, with all the rights of" in server.log
    assert server.log.count("welcome 127.0.0.1") == server.log.count("goodbye 127.0.0.1") == 2


def test_forking_serves_each_in_a_process(start: Callable[..., Server]) -> None:
    server = start("--mode", "forking", "--port", "0")
    port = server.port()
    with classic.connect("127.0.0.1", port) as one, classic.connect("127.0.0.1", port) as two:
        pids = {one.modules.os.getpid(), two.modules.os.getpid(), server.process.pid}
        assert len(pids) == 3
    assert server.stop() == 0


def test_oneshot_says_where_in_rpycs_words_and_serves_one(start: Callable[..., Server]) -> None:
    server = start("-m", "oneshot", "-p", "0")
    assert server.out.readline() == "rpyc-oneshot\n"
    host, port = server.out.readline().rstrip("\n").split("\t")
    with classic.connect(host, int(port)) as conn:
        assert conn.modules.os.getpid() == server.process.pid
    assert server.wait() == 0


def test_stdio_keeps_stray_output_out_of_the_messages(start: Callable[..., Server], tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "anycore", "classic", "-m", "stdio", "--logfile", str(tmp_path / "log")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    conn: Any = connect_pipes(process.stdout, process.stdin, MasterService)
    conn.execute("import os\nprint('stray', flush=True)\nos.write(1, b'stray')")
    assert conn.modules.os.getpid() == process.pid
    conn.close()
    assert process.wait(SECONDS) == 0
    assert (tmp_path / "log").exists()


def test_tls_and_client_certificates(start: Callable[..., Server], pem: str) -> None:
    server = start("-p", "0", "--ssl-keyfile", pem, "--ssl-certfile", pem, "--ssl-cafile", pem)
    port = server.port()
    with classic.ssl_connect("127.0.0.1", port, ca_certs=pem, certfile=pem) as conn:
        assert conn.eval("1 + 1") == 2
    with pytest.raises((OSError, EOFError)):
        classic.ssl_connect("127.0.0.1", port, ca_certs=pem)
    with pytest.raises((OSError, EOFError)):
        classic.connect("127.0.0.1", port)
    assert server.stop() == 0
    assert f"with a certificate that {pem} vouches for" in server.log


def test_ipv6(start: Callable[..., Server]) -> None:
    server = start("--ipv6", "-p", "0")
    with classic.connect("::1", server.port(), ipv6=True) as conn:
        assert conn.modules.os.getpid() == server.process.pid
    assert server.stop() == 0


def test_quiet_and_logfile(start: Callable[..., Server], tmp_path: Path) -> None:
    loud = start("-p", "0", "-m", "oneshot", "--logfile", str(tmp_path / "loud"))
    quiet = start("-p", "0", "-m", "oneshot", "-q")
    for server in (loud, quiet):
        server.out.readline()
        classic.connect("127.0.0.1", int(server.out.readline().split("\t")[1])).close()
        assert server.wait() == 0
        assert server.log == ""
    assert "can run any code here" in (tmp_path / "loud").read_text()


@pytest.mark.parametrize("debug", [False, True])
def test_tracebacks_of_what_masters_are_sent_are_logged_when_asked_for(
    start: Callable[..., Server], monkeypatch: pytest.MonkeyPatch, *, debug: bool
) -> None:
    if debug:
        monkeypatch.setenv("ANYCORE_DEBUG", "1")
    server = start("-p", "0")
    with classic.connect("127.0.0.1", server.port()) as conn, pytest.raises(ZeroDivisionError):
        conn.eval("1 / 0")
    assert server.stop() == 0
    assert "welcome 127.0.0.1" in server.log
    assert ("Traceback" in server.log) == debug


def test_it_registers_and_takes_that_back(start: Callable[..., Server]) -> None:
    table = LeaseTable()
    with RegistryServer(RegistryService(table), host="127.0.0.1", port=0) as registry:
        registry.start()
        where = registry.port
        server = start("-p", "0", "--register", "--registry-host", "127.0.0.1", "--registry-port", str(where))
        port = server.port()
        for line in server.err:
            if "registered SLAVE" in line:
                break
        client = UdpRegistryClient([f"127.0.0.1:{where}"])
        assert [(found.host, found.port) for found in client.discover("slave")] == [("127.0.0.1", port)]
        assert server.stop() == 0
        assert client.discover("slave") == ()


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["--host", "0.0.0.0"], 3, "can be reached from other machines"),
        (["--host", "::"], 3, "can be reached from other machines"),
        (["--host", "192.0.2.1", "--ssl-keyfile", "PEM", "--ssl-certfile", "PEM"], 3, "--ssl-cafile"),
        (["--host", "no host"], 2, "expected a host"),
        (["--ssl-keyfile", "PEM"], 2, "need each other"),
        (["--ssl-cafile", "PEM"], 2, "--ssl-cafile needs"),
        (["--ssl-certfile", "/no/such/file"], 2, "does not exist"),
        (["--register", "--registry-type", "TCP"], 2, "--registry-type TCP needs --registry-host"),
        (["--mode", "pool"], 2, "'pool' is not one of"),
        (["--port", "70000"], 2, "70000 is not in the range"),
        (["--logfile", "/no/such/directory/log"], 3, "--logfile: cannot write"),
    ],
)
def test_what_makes_no_sense_or_is_dangerous_is_refused(
    run: Run, pem: str, args: list[str], code: int, message: str
) -> None:
    result = run("classic", *(pem if arg == "PEM" else arg for arg in args))
    assert result.exit_code == code, result.output
    assert message in " ".join(result.output.split())


def test_an_address_that_cannot_be_had(start: Callable[..., Server]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        busy = start("-p", str(taken.getsockname()[1]))
        foreign = start("--host", "192.0.2.1", "-p", "0", "--insecure")
        assert busy.wait() == foreign.wait() == 5
    assert "another program has the port" in busy.log
    assert "no such address: choose one that it has with --host and --port" in foreign.log


def test_interrupted(start: Callable[..., Server]) -> None:
    server = start("-p", "0")
    port = server.port()
    os.kill(server.process.pid, signal.SIGINT)
    assert server.wait() == 0
    with pytest.raises(ConnectionRefusedError):
        classic.connect("127.0.0.1", port)
