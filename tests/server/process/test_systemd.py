"""What is said to systemd, and the sockets that it passes."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from anycore.server.process.systemd import Notifier, passed_sockets

SECONDS = 30


@pytest.mark.parametrize("abstract", [False, True])
def test_notifications_arrive(tmp_path: Path, abstract: bool) -> None:
    name = f"@anycore-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(name.replace("@", "\0", 1))
        listener.settimeout(SECONDS)
        notifier = Notifier({"NOTIFY_SOCKET": name})
        assert notifier.wanted
        notifier.tell("READY", STATUS="all is well", MAINPID=7)
        assert listener.recv(1000) == b"READY=1\nSTATUS=all is well\nMAINPID=7"
        notifier.reloading("again")
        said = dict(line.split(b"=") for line in listener.recv(1000).splitlines())
        assert said[b"RELOADING"] == b"1" and said[b"STATUS"] == b"again" and int(said[b"MONOTONIC_USEC"]) > 0
        notifier.close()
        notifier.tell("READY")


def test_without_a_socket_nothing_is_said() -> None:
    notifier = Notifier({})
    assert not notifier.wanted
    notifier.tell("READY")
    notifier.close()


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({"WATCHDOG_USEC": "3000000"}, 3.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}, 3.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, 0.0),
        ({"WATCHDOG_USEC": "soon"}, 0.0),
        ({}, 0.0),
    ],
)
def test_the_watchdog_is_that_of_this_process(environment: dict[str, str], seconds: float) -> None:
    assert Notifier(environment).watchdog == seconds


def test_sockets_for_another_process_are_left_alone() -> None:
    environment = {"LISTEN_PID": "1", "LISTEN_FDS": "3", "LISTEN_FDNAMES": "a:b:c"}
    assert passed_sockets(environment) == []
    assert environment == {}


def test_sockets_are_taken_with_their_names() -> None:
    script = """
import os, sys
from anycore.server.process.systemd import passed_sockets
os.environ["LISTEN_PID"] = str(os.getpid())
os.dup2(int(sys.argv[1]), 3)
for name, bound in passed_sockets():
    print(repr(name), bound.getsockname()[1], bound.get_inheritable(), [key for key in os.environ if key.startswith("LISTEN")])
"""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        done = subprocess.run(
            [sys.executable, "-c", script, str(listener.fileno())],
            env={**os.environ, "LISTEN_FDS": "1", "LISTEN_FDNAMES": "web"},
            pass_fds=[listener.fileno()], capture_output=True, text=True, check=False, timeout=SECONDS,
        )  # fmt: skip
        assert done.stdout == f"'web' {listener.getsockname()[1]} False []\n", done.stderr
