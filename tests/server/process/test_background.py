"""A server in the background, and its pid file."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Home = Any  # as the fixtures have it; a conftest cannot be imported
Until = Callable[..., Any]
Lives = Callable[[int], bool]
SECONDS = 40


def test_the_command_returns_when_the_server_is_ready_in_the_background(home: Home, until: Until, lives: Lives) -> None:
    done = subprocess.run(
        home.command("--daemonize"), cwd=home.folder, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    pid = home.answers()
    assert home.pidfile.read_text() == f"{pid}\n"
    assert os.getsid(pid) not in (pid, os.getsid(0)), "a session of its own, in which it cannot get a terminal"
    assert {str(Path(f"/proc/{pid}/fd/{number}").readlink()) for number in (0, 1, 2)} == {"/dev/null"}
    assert home.call("pid") == pid
    home.ask("stop")
    until(lambda: not lives(pid))
    assert not home.pidfile.exists()
    assert not Path(home.control).exists()


def test_what_goes_to_a_file_goes_on_going_there(home: Home, until: Until, lives: Lives) -> None:
    with home.log.open("wb") as log:
        done = subprocess.run(
            home.command("--daemonize"), cwd=home.folder, stderr=log, stdout=log, timeout=SECONDS, check=False
        )
    assert done.returncode == 0
    pid = home.answers()
    home.ask("stop")
    until(lambda: not lives(pid))
    assert "finishing" in home.log.read_text() or "stopped" in home.log.read_text()


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--core", "nonsense"], 3, "there is no core 'nonsense'"),
        (["--listen", "http://127.0.0.1:{taken}"], 5, "another program has the port"),
        (["missing.py"], 5, "missing.py"),
    ],
)
def test_a_failure_is_seen_where_it_was_started(home: Home, options: list[str], code: int, said: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        options = [option.format(taken=taken.getsockname()[1]) for option in options]
        done = subprocess.run(
            home.command("--daemonize", *options), cwd=home.folder, capture_output=True, text=True, timeout=SECONDS,
            check=False,
        )  # fmt: skip
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr
    assert not home.pidfile.exists()


def test_a_second_server_is_refused_by_the_pid_file(home: Home) -> None:
    first = home.start()
    second = home.start("--control", f"{home.control}2", ready=False)
    assert second.wait(SECONDS) == 5
    assert f"process {first.pid} runs already" in home.log.read_text()
    assert home.call("pid") == first.pid
