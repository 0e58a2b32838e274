"""`anycore.asgi:app` and `anycore.wsgi:application` in others' servers, started by their own commands as users do."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest

from anycore.clients import TransportError, connect
from anycore.server.errors import StartupError
from anycore.server.hosted import wsgi_application
from anycore.settings.problems import ConfigurationError
from anycore.settings.tables import ListenSettings, ServerSettings, Settings
from anycore.testing.certificate import certificate_files, client_context
from anycore.wsgi import wsgi_application as by_another_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PLUGIN = """
import asyncio
import os
import time
from anycore import Call, Plugin, exposed


class Hosted(Plugin):
    def start(self):
        print("plugin started", flush=True)

    async def stop(self):
        print("plugin stopped", flush=True)

    @exposed
    def plain(self, value: int) -> int:
        return value

    @exposed
    async def coroutine(self, value: int) -> int:
        await asyncio.sleep(0)
        return value

    @exposed(quick=True)
    def quick(self, value: int) -> int:
        return value

    @exposed
    def nap(self, seconds: float) -> float:
        print("napping", flush=True)
        time.sleep(seconds)
        return seconds

    @exposed
    def who(self, call: Call) -> tuple[str, bool, str, bool, str]:
        peer = call.peer
        return peer.transport, peer.local, peer.tls, peer.certificate is not None, call.identity.kind

    @exposed
    def uid(self, call: Call) -> int:
        return -1 if call.peer.uid is None else call.peer.uid
"""
BIN = Path(sys.executable).parent
PROTOCOLS = "anycore.cores.foreign.uvicorn"
SERVERS = {
    "uvicorn": ["uvicorn", "anycore.asgi:app", "--fd", "{fd}"],
    "uvicorn-h11": ["uvicorn", "anycore.asgi:app", "--http", "h11", "--fd", "{fd}"],
    "gunicorn": ["gunicorn", "anycore.wsgi:application", "--bind", "fd://{fd}", "--no-control-socket"],
    "gunicorn-threads": ["gunicorn", "anycore.wsgi:application", "--bind", "fd://{fd}", "--threads=4", "--preload"],
    "granian": ["granian", "--interface", "asgi", "anycore.asgi:app", "--port", "{port}"],
    "granian-wsgi": ["granian", "--interface", "wsgi", "anycore.wsgi:application", "--port", "{port}"],
}
SECONDS = 60


class Program:
    """A server in a process of its own."""

    def __init__(self, folder: Path, command: list[str], **environment: str) -> None:
        (folder / "hosted.py").write_text(PLUGIN)
        (folder / "anycore.toml").write_text('[server]\nplugins = ["hosted.py"]\n')
        bound = socket.create_server(("127.0.0.1", 0))
        self.port = bound.getsockname()[1]
        if not any("{fd}" in word for word in command):
            bound.close()
        named = {"fd": bound.fileno(), "port": self.port, "pem": certificate_files()[0], "folder": folder}
        words = [word.format(**named) for word in command]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ANYCORE_")}
        self.said = ""
        self._changed = threading.Condition()
        with bound:
            self.process = subprocess.Popen(
                [str(BIN / words[0]), *words[1:]],
                cwd=folder,
                env={**kept, "ANYCORE_CONFIG": str(folder / "anycore.toml"), **environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
                pass_fds=[bound.fileno()] if bound.fileno() >= 0 else [],
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                with self._changed:
                    self.said += line
                    self._changed.notify_all()

    def until(self, text: str) -> None:
        """Wait until the server has said something."""
        with self._changed:
            assert self._changed.wait_for(lambda: text in self.said, SECONDS), f"no {text!r} in:\n{self.said}"

    def connect(self, wire: str = "", scheme: str = "http", **settings: Any) -> Any:
        """Return a client, when the server answers."""
        url = f"{wire}{scheme}://127.0.0.1:{self.port}"
        deadline = time.monotonic() + SECONDS
        while True:
            with contextlib.suppress(TransportError), connect(url, timeout=SECONDS, **settings) as client:
                client.call("system.listMethods")
                return connect(url, timeout=SECONDS, **settings)
            assert self.process.poll() is None, self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.05)

    def end(self) -> int:
        """End it as an operator would; return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(SECONDS)
        self._reader.join(SECONDS)
        return code

    def kill(self) -> None:
        """End it and all processes that it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._reader.join(SECONDS)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Program]]:
    with contextlib.ExitStack() as stack:

        def make(command: list[str], **environment: str) -> Program:
            made = Program(tmp_path, command, **environment)
            stack.callback(made.kill)
            return made

        yield make


@pytest.mark.parametrize("server", SERVERS)
def test_every_wire_is_answered_and_calls_are_finished(start: Callable[..., Program], server: str) -> None:
    program = start(SERVERS[server])
    for wire in ("", "jsonrpc+"):
        with program.connect(wire) as client:
            assert [client.hosted.plain(1), client.hosted.coroutine(2), client.hosted.quick(3)] == [1, 2, 3]
            assert list(client.hosted.who())[:3] == ["tcp", True, ""]
    assert program.said.count("plugin started") == 1
    results: list[float] = []
    with program.connect() as client:
        waiting = threading.Thread(target=lambda: results.append(client.hosted.nap(0.5)))
        waiting.start()
        program.until("napping")
        assert program.end() in (0, -signal.SIGTERM)
        waiting.join(SECONDS)
    assert results == [0.5]
    assert program.said.count("plugin stopped") == 1


TLS = {
    "uvicorn-h11": (
        ["uvicorn", "anycore.asgi:app", "--http", f"{PROTOCOLS}:TellingH11", "--fd", "{fd}",
         "--ssl-certfile={pem}", "--ssl-keyfile={pem}", "--ssl-ca-certs={pem}", "--ssl-cert-reqs=2"], True),
    "uvicorn-httptools": (
        ["uvicorn", "anycore.asgi:app", "--http", f"{PROTOCOLS}:TellingHttpTools", "--fd", "{fd}",
         "--ssl-certfile={pem}", "--ssl-keyfile={pem}", "--ssl-ca-certs={pem}", "--ssl-cert-reqs=2"], True),
    "gunicorn": (
        ["gunicorn", "anycore.wsgi:application", "--bind", "fd://{fd}", "--no-control-socket",
         "--certfile={pem}", "--keyfile={pem}", "--ca-certs={pem}", "--cert-reqs=2"], True),
    "granian": (
        ["granian", "--interface", "asgi", "anycore.asgi:app", "--port", "{port}",
         "--ssl-certificate={pem}", "--ssl-keyfile={pem}"], False),
}  # fmt: skip
FORGED = {
    "SSL_CLIENT_VERIFY": "SUCCESS",
    "SSL_CLIENT_S_DN": "/CN=mallory",
    "SSL_CLIENT_CERT": "forged",
    "HTTPS": "on",
    "REMOTE_USER": "mallory",
    "gunicorn_socket": "forged",
    "anycore_peer": "forged",
}


@pytest.mark.parametrize("server", TLS)
def test_certificates_reach_us_where_the_server_lets_them(start: Callable[..., Program], server: str) -> None:
    command, told = TLS[server]
    program = start(command, **FORGED)
    with program.connect(scheme="https", context=client_context(show=True)) as client:
        _, local, tls, certificate, _ = client.hosted.who()
    assert local
    assert tls.startswith("TLS")
    assert certificate is told


@pytest.mark.parametrize("server", ["granian-wsgi", "gunicorn"])
def test_the_environment_of_the_process_makes_nobody_known(start: Callable[..., Program], server: str) -> None:
    program = start(SERVERS[server], **FORGED)
    with program.connect() as client:
        assert list(client.hosted.who()) == ["tcp", True, "", False, "anonymous"]


def test_the_environment_makes_nobody_known_under_the_standard_library(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Handler(WSGIRequestHandler):
        def get_environ(self) -> dict[str, Any]:
            return {**super().get_environ(), "anycore.peer": "forged", "gunicorn.socket": "forged"}

        def log_message(self, *_: Any) -> None:
            pass

    for name, value in FORGED.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "hosted.py").write_text(PLUGIN)
    application = by_another_name(Settings(server=ServerSettings(plugins=(str(tmp_path / "hosted.py"),))))
    application.start()
    with make_server("127.0.0.1", 0, application, handler_class=Handler) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        serving.start()
        with connect(f"http://127.0.0.1:{server.server_port}") as client:
            assert list(client.hosted.who())[3:] == [False, "anonymous"]
            assert client.hosted.coroutine(5) == 5
        server.shutdown()
        serving.join(SECONDS)
    application.stop()


UNIX = {
    "uvicorn": (["uvicorn", "anycore.asgi:app", "--uds", "{folder}/s"], -1),
    "uvicorn-telling": (
        ["uvicorn", "anycore.asgi:app", "--uds", "{folder}/s", "--http", f"{PROTOCOLS}:TellingHttpTools"], os.getuid()
    ),
    "gunicorn": (["gunicorn", "anycore.wsgi:application", "--bind", "unix:{folder}/s", "--no-control-socket"], os.getuid()),
}  # fmt: skip


@pytest.mark.parametrize("server", UNIX)
def test_unix_sockets_are_known_as_such(start: Callable[..., Program], tmp_path: Path, server: str) -> None:
    command, uid = UNIX[server]
    program = start(command)
    deadline = time.monotonic() + SECONDS
    while not (tmp_path / "s").exists():
        assert program.process.poll() is None, program.said
        assert time.monotonic() < deadline, program.said
        time.sleep(0.05)
    with connect(f"unix+http://{tmp_path}/s", timeout=SECONDS) as client:
        assert list(client.hosted.who())[:2] == ["unix", True]
        assert client.hosted.uid() == uid


def test_what_is_wrong_keeps_the_other_server_from_starting(start: Callable[..., Program], tmp_path: Path) -> None:
    program = start(SERVERS["uvicorn"], ANYCORE_PLUGINS="nowhere.py")
    assert program.process.wait(SECONDS) != 0
    program.until("nowhere.py")
    (tmp_path / "broken.py").write_text("raise RuntimeError('broken on purpose')")
    with pytest.raises(StartupError, match="broken on purpose"):
        wsgi_application(Settings(server=ServerSettings(plugins=(str(tmp_path / "broken.py"),))))


def test_only_names_that_are_known_are_answered_to_callers_on_this_machine(tmp_path: Path) -> None:
    listen = (ListenSettings(hosts=("api.example.org",)), ListenSettings(url="rpyc://127.0.0.1:18812"))
    application = wsgi_application(Settings(listen=listen))
    statuses = []

    def ask(host: str, address: str) -> str:
        environ = {
            "REQUEST_METHOD": "GET", "PATH_INFO": "/livez", "HTTP_HOST": host, "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": address, "wsgi.input": None,
        }  # fmt: skip
        list(application(environ, lambda status, _headers: statuses.append(status)))
        return statuses.pop()

    assert ask("localhost", "127.0.0.1") == "200 OK"
    assert ask("api.example.org", "127.0.0.1") == "200 OK"
    assert ask("evil.example", "127.0.0.1").startswith("421 ")
    assert ask("evil.example", "192.0.2.1").startswith("421 ")
    application.stop()
    everything = wsgi_application(Settings(listen=()))
    assert everything._site_of is not None
    everything.stop()


def test_settings_that_are_wrong_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "anycore.toml").write_text("[server]\ncoar = 1\n")
    with pytest.raises(ConfigurationError, match="coar"):
        wsgi_application()
