"""The stdio core, in processes that are started as ssh, inetd and RPyC's `connect_subproc` start them."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from rpyc.utils.factory import connect_subproc

from anycore.cores.pipes import PipeSocket, as_socket
from anycore.cores.stdio import StdioCore
from anycore.testing import check_core

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECONDS = 20
PLUGIN = """
import os
import subprocess
import sys
import time

from anycore import Call, Plugin, exposed

print("printed while it is imported")


class Noisy(Plugin):
    def start(self):
        print("printed at the start")

    @exposed
    def say(self, text: str) -> str:
        print("printed by Python")
        os.write(1, b"written to the descriptor\\n")
        subprocess.run([sys.executable, "-c", "print('printed by a child')"], check=True)
        return text

    @exposed
    def read(self) -> str:
        return sys.stdin.read()

    @exposed
    def sleep(self, seconds: float) -> float:
        print("sleeping", flush=True)
        time.sleep(seconds)
        return seconds

    @exposed
    def ask(self, callback: object, value: int) -> int:
        return callback(value) + 1

    @exposed
    def whoami(self, call: Call) -> list:
        return [call.peer.transport, call.peer.host, call.peer.local]
"""
CHECKS = (
    "answers_a_message",
    "takes_single_bytes",
    "takes_many_messages_at_once",
    "keeps_the_order_of_modes",
    "delivers_a_large_answer",
    "delivers_a_large_last_answer",
    "takes_a_large_message",
    "stops_reading_when_no_input_is_wanted",
    "runs_async_jobs_on_a_loop",
    "runs_and_finishes_each_job_once",
    "runs_follow_up_jobs",
    "ends_lingering_connections",
    "ends_half_messages",
    "sends_away_peers_that_do_not_read",
    "stops_before_it_runs",
    "stops_while_it_starts",
    "stops_more_than_once",
    "waits_for_messages_under_way_when_it_stops",
    "runs_coroutines_for_others",
    "gives_up_coroutines_in_time",
    "leaves_no_threads",
)
"""Those that need no more than one connection, and no listening socket."""


class Accepted(StdioCore):
    """The core, where the connection is the first that comes to a listening socket, as under inetd with `nowait`."""

    def _listen(self) -> None:
        self.listeners[0].socket.listen()

    def _accept(self) -> None:
        listening = self.listeners[0].socket
        if self._wake_reader in select.select([listening, self._wake_reader], [], [])[0]:
            self.stopping = True
            return
        connected, _ = listening.accept()
        with listening:
            self.listeners[0].socket = connected
            super()._accept()


@pytest.mark.parametrize("check", CHECKS)
def test_it_keeps_the_promises_of_cores(check: str) -> None:
    check_core(Accepted, only=[check])


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    plugin = tmp_path / "noisy.py"
    plugin.write_text(PLUGIN)
    return [sys.executable, "-m", "anycore", "serve", str(plugin), "--core=stdio"]


@contextlib.contextmanager
def started(command: list[str], **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(command, **{"stderr": subprocess.PIPE, **options}) as process:
        try:
            yield process
        finally:
            process.kill()


def request(method: str, *params: object, close: bool = False) -> bytes:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    return (
        f"POST /jsonrpc HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        f"Connection: {'close' if close else 'keep-alive'}\r\n\r\n"
    ).encode() + body


def answers(data: bytes) -> list[Any]:
    found = []
    while data:
        head, _, rest = data.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), data
        (length,) = [
            int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
        ]
        found.append(json.loads(rest[:length])["result"])
        data = rest[length:]
    return found


def test_prints_do_not_get_between_the_messages(command: list[str]) -> None:
    asked = request("noisy.say", "a") + request("noisy.read") + request("noisy.whoami") + request("noisy.say", "b")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with started([*command, "--listen=stdio+http:"], **pipes) as process:
        said, errors = process.communicate(asked, SECONDS)
    assert answers(said) == ["a", "", ["stdio", "", True], "b"]
    assert process.returncode == 0
    for line in (b"while it is imported", b"at the start", b"by Python", b"to the descriptor", b"by a child"):
        assert line in errors


def test_a_large_answer_arrives_whole_although_the_process_ends_with_it(command: list[str]) -> None:
    text = "x" * 3_000_000
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with started([*command, "--listen=stdio+http:"], **pipes) as process:
        said, _ = process.communicate(request("noisy.say", text, close=True), SECONDS)
    assert answers(said) == [text]


def test_rpyc_speaks_to_a_subprocess(command: list[str]) -> None:
    with contextlib.closing(connect_subproc([*command, "--listen=stdio+rpyc:", "--log-level=critical"])) as peer:
        assert peer.root.noisy.say("a") == "a"
        assert peer.root.noisy.ask(lambda value: value * 2, 4) == 9
        assert list(peer.root.noisy.whoami()) == ["stdio", "", True]
    assert peer.proc.wait(SECONDS) == 0
    for pipe in (peer.proc.stdin, peer.proc.stdout):
        pipe.close()


@pytest.mark.parametrize("errors_too", [False, True])
def test_a_socket_serves_as_under_inetd(command: list[str], errors_too: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as caller:
        caller.settimeout(SECONDS)
        caller.connect(listening.getsockname())
        accepted, _ = listening.accept()
        with accepted, started(
            [*command, "--listen=stdio+http:"],
            stdin=accepted, stdout=accepted, stderr=accepted if errors_too else subprocess.DEVNULL,
        ) as process:  # fmt: skip
            accepted.close()
            caller.sendall(request("noisy.say", "a") + request("noisy.whoami", close=True))
            with caller.makefile("rb") as reader:
                assert answers(reader.read()) == ["a", ["tcp", "127.0.0.1", True]]
            assert process.wait(SECONDS) == 0


def _own_address() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # of nobody (RFC 5737); nothing is sent
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


@pytest.mark.skipif(_own_address().startswith("127."), reason="needs a network")
@pytest.mark.parametrize("insecure", [False, True])
def test_a_peer_on_another_machine_is_served_only_when_that_is_wanted(command: list[str], insecure: bool) -> None:
    options = ["--listen=stdio+http:", *(["--insecure"] if insecure else [])]
    with socket.create_server((_own_address(), 0)) as listening, socket.socket() as caller:
        caller.settimeout(SECONDS)
        caller.connect(listening.getsockname())
        accepted, _ = listening.accept()
        with accepted, started([*command, *options], stdin=accepted, stdout=accepted) as process:
            accepted.close()
            caller.sendall(request("noisy.whoami", close=True))
            answer = b""
            with contextlib.suppress(ConnectionResetError), caller.makefile("rb") as reader:
                answer = reader.read()
            _, errors = process.communicate(timeout=SECONDS)
    assert bool(answer) is insecure
    assert (b"nothing is encrypted" in errors) is not insecure


def test_calls_under_way_are_answered_when_it_is_told_to_stop(command: list[str]) -> None:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with started([*command, "--listen=stdio+http:"], **pipes) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(request("noisy.sleep", 0.3))
        process.stdin.flush()
        while b"sleeping" not in (line := process.stderr.readline()):
            assert line
        process.send_signal(signal.SIGTERM)
        assert answers(process.stdout.read()) == [0.3]
        assert process.wait(SECONDS) == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], b"write --listen stdio+http:"),
        (["--listen=stdio+http://host"], b"write stdio+http:"),
        (["--listen=stdio+http:", "--listen=stdio+rpyc:"], b"one connection"),
        (["--listen=stdio+http:", "--core=threaded"], b"write --core stdio"),
    ],
)
def test_combinations_without_sense_are_refused(command: list[str], options: list[str], said: bytes) -> None:
    done = subprocess.run(
        [*command, *options], capture_output=True, stdin=subprocess.DEVNULL, timeout=SECONDS, check=False
    )
    assert done.returncode
    assert said in done.stderr
    assert not done.stdout


def test_a_terminal_is_refused(command: list[str]) -> None:
    ours, theirs = os.openpty()
    try:
        done = subprocess.run(
            [*command, "--listen=stdio+http:"], stdin=theirs, capture_output=True, timeout=SECONDS, check=False
        )
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode
    assert b"is a terminal" in done.stderr


def test_a_peer_that_reads_nothing_does_not_keep_the_process() -> None:
    incoming, feed = os.pipe()
    stuck, outgoing = os.pipe()
    made = as_socket(incoming, outgoing)
    assert isinstance(made, PipeSocket)
    with made:
        made.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                made.send(b"x" * 65536)
    assert not made.drain(0.05)
    os.close(stuck)
    os.close(feed)
    assert made.drain(SECONDS)
