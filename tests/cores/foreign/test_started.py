"""Others' servers as cores of `anycore serve`: started by name, on our sockets, and stopped."""

from __future__ import annotations

import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from anycore.clients import connect
from anycore.conversations.site import HttpSite
from anycore.cores import load_core
from anycore.cores.base import CoreLimits, Listener, UnservableError
from anycore.cores.foreign.base import FOREIGN
from anycore.kernel.kernel import Kernel
from anycore.testing.certificate import certificate_files, server_context

if TYPE_CHECKING:
    from pathlib import Path

SECONDS = 60
PLUGIN = """
import time
from anycore import Call, Plugin, exposed


class Slow(Plugin):
    @exposed
    def nap(self, seconds: float) -> float:
        print("napping", flush=True)
        time.sleep(seconds)
        return seconds

    @exposed
    def uid(self, call: Call) -> int:
        return -1 if call.peer.uid is None else call.peer.uid
"""


def serve(folder: Path, core: str, *options: str) -> subprocess.Popen[str]:
    (folder / "slow.py").write_text(PLUGIN)
    chosen = core if core.startswith("--") else f"--core={core}"
    command = [sys.executable, "-m", "anycore", "serve", "slow.py", chosen, *options]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def until(process: subprocess.Popen[str], text: str) -> str:
    said = ""
    assert process.stdout is not None
    for line in process.stdout:
        said += line
        if text in line:
            return said
    raise AssertionError(f"no {text!r} in:\n{said}")


@pytest.mark.parametrize("core", FOREIGN)
def test_it_finishes_what_runs_and_keeps_the_mode_of_unix_sockets(tmp_path: Path, core: str) -> None:
    path = tmp_path / "s"
    with serve(tmp_path, core, "--listen=http://127.0.0.1:0", f"--listen=unix+http://{path}", "--mode=620") as process:
        try:
            said = until(process, "Ctrl-C stops it.")
            assert f"on the {core} core" in said
            port = re.search(r"http://127\.0\.0\.1:(\d+)", said)[1]  # type: ignore[index]
            assert stat.S_IMODE(path.stat().st_mode) == 0o620
            with connect(f"unix+http://{path}") as client:
                uid = client.slow.uid()
                assert uid == (-1 if core == "granian" else path.stat().st_uid)
            with connect(f"http://127.0.0.1:{port}", timeout=SECONDS) as client:
                results: list[float] = []
                waiting = threading.Thread(target=lambda: results.append(client.slow.nap(0.5)))
                waiting.start()
                until(process, "napping")
                process.send_signal(signal.SIGTERM)
                waiting.join(SECONDS)
                assert results == [0.5]
            rest = process.stdout.read() if process.stdout is not None else ""
            assert process.wait(SECONDS) == 0
            assert "Traceback" not in rest
        finally:
            process.kill()
    assert not path.exists()


@pytest.mark.parametrize("core", ["uvicorn", "gunicorn"])
def test_several_processes_may_run_it(tmp_path: Path, core: str) -> None:
    options = ("--core=prefork", f"--prefork-inner={core}", "--listen=http://127.0.0.1:0")
    with serve(tmp_path, *options) as process:
        try:
            port = re.search(r"http://127\.0\.0\.1:(\d+)", until(process, "Ctrl-C stops it."))[1]  # type: ignore[index]
            with connect(f"http://127.0.0.1:{port}", timeout=SECONDS) as client:
                assert client.slow.nap(0) == 0
            process.send_signal(signal.SIGTERM)
            assert process.wait(SECONDS) == 0
        finally:
            process.kill()


@pytest.mark.parametrize("core", FOREIGN)
def test_what_hangs_does_not_keep_it(tmp_path: Path, core: str) -> None:
    with serve(tmp_path, core, "--listen=http://127.0.0.1:0", "--stop-time=0.2") as process:
        try:
            port = int(re.search(r"http://127\.0\.0\.1:(\d+)", until(process, "Ctrl-C stops it."))[1])  # type: ignore[index]
            body = b'{"jsonrpc": "2.0", "id": 1, "method": "slow.nap", "params": [60]}'
            with socket.create_connection(("127.0.0.1", port)) as caller:
                head = f"POST /jsonrpc HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
                caller.sendall(head.encode() + b"\r\n\r\n" + body)
                until(process, "napping")
                began = time.monotonic()
                process.send_signal(signal.SIGTERM)
                assert process.wait(SECONDS) == 0
                assert time.monotonic() - began < 50
        finally:
            process.kill()


@pytest.mark.parametrize("core", FOREIGN)
def test_rpyc_is_refused_with_the_cores_that_serve_it(tmp_path: Path, core: str) -> None:
    with serve(tmp_path, core, "--listen=http://127.0.0.1:0", "--listen=rpyc://127.0.0.1:0") as process:
        said = process.communicate(timeout=SECONDS)[0]
    assert process.returncode != 0
    assert re.search(
        rf"the core {core} speaks HTTP only, which rpyc://127\.0\.0\.1:\d+ is not; .* asyncio, threaded", said
    )
    assert "Traceback" not in said


def made(core: str, **options: Any) -> None:
    bound = socket.create_server(("127.0.0.1", 0))
    with bound:
        listener = Listener(bound, lambda _: None, "https://there:1", site=HttpSite(Kernel()), **options)  # type: ignore[arg-type,return-value]
        load_core(core)([listener], CoreLimits())


def test_granian_is_not_asked_for_certificates() -> None:
    with pytest.raises(
        UnservableError, match=r"granian does not tell which certificate.*https://there:1.*or choose the core"
    ):
        made("granian", tls=server_context(ask=True), files=certificate_files())


@pytest.mark.parametrize("core", FOREIGN)
def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch, core: str) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == core]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, f"anycore.cores.foreign.{core}", raising=False)
    monkeypatch.setitem(sys.modules, core, None)
    with pytest.raises(LookupError, match=rf"the core {core} needs a package .*; pip install anycore\[{core}\]"):
        load_core(core)


def test_cheroot_takes_no_header_for_another(tmp_path: Path) -> None:
    with serve(tmp_path, "cheroot", "--listen=http://127.0.0.1:0") as process:
        try:
            port = int(re.search(r"http://127\.0\.0\.1:(\d+)", until(process, "Ctrl-C stops it."))[1])  # type: ignore[index]
            with socket.create_connection(("127.0.0.1", port)) as caller:
                caller.sendall(
                    b"GET /livez HTTP/1.1\r\nHost: localhost\r\nContent_Encoding: br\r\nConnection: close\r\n\r\n"
                )
                assert caller.makefile("rb").readline().startswith(b"HTTP/1.1 200 ")
            with socket.create_connection(("127.0.0.1", port)) as caller:
                caller.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                page = caller.makefile("rb").read()
                assert b"cheroot" in page
            process.send_signal(signal.SIGTERM)
            assert process.wait(SECONDS) == 0
        finally:
            process.kill()
