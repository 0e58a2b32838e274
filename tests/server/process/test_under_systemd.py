"""A server under systemd, or what listens where systemd would."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

Home = Any  # as the fixtures have it; a conftest cannot be imported
Until = Callable[..., Any]
Lives = Callable[[int], bool]
SECONDS = 40
Systemd = Any


def test_systemd_is_told_all_that_happens(home: Home, systemd: Systemd, until: Until) -> None:
    old = home.start(NOTIFY_SOCKET=str(systemd.path), WATCHDOG_USEC="500000").pid
    seen = systemd.until(old, "READY")
    assert "serving http://127.0.0.1:" in systemd.said[seen - 1][1]["STATUS"]
    seen = systemd.until(old, "WATCHDOG", seen)
    os.kill(old, signal.SIGHUP)
    seen = systemd.until(old, "RELOADING", seen)
    assert int(systemd.said[seen - 1][1]["MONOTONIC_USEC"]) > 0
    seen = systemd.until(old, "READY", seen)
    new = home.ask("restart")["pid"]
    seen = systemd.until(old, "RELOADING", seen)
    seen = systemd.until(old, "MAINPID", seen)
    assert systemd.said[seen - 1][1]["MAINPID"] == str(new)
    seen = systemd.until(new, "READY", seen)
    assert all(who == new for who, _ in systemd.said[seen:]), "the old one has said all that it may"
    seen = systemd.until(new, "WATCHDOG", seen)
    os.kill(new, signal.SIGTERM)
    systemd.until(new, "STOPPING", seen)


def test_a_server_that_hangs_gives_no_sign_of_life(home: Home, systemd: Systemd, until: Until) -> None:
    pid = home.start("--core", "asyncio", NOTIFY_SOCKET=str(systemd.path), WATCHDOG_USEC="200000").pid
    systemd.until(pid, "WATCHDOG")
    calling = threading.Thread(target=lambda: home.call("hang"))
    calling.start()
    until((home.folder / "hanging").exists, "the hanging call")
    time.sleep(0.3)  # what was said before it hung has come by then
    before = len(systemd.said)
    time.sleep(0.5)  # a slow machine brings fewer signs, not more
    assert [what for _, what in systemd.said[before:] if "WATCHDOG" in what] == []
    (home.folder / "go on").touch()
    calling.join(SECONDS)
    systemd.until(pid, "WATCHDOG", len(systemd.said))


@pytest.mark.skipif(shutil.which("systemd-socket-activate") is None, reason="systemd is not installed")
def test_sockets_that_systemd_has_opened_are_served(home: Home, until: Until, lives: Lives) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with home.log.open("ab") as log:
        process = subprocess.Popen(
            ["systemd-socket-activate", "-l", f"127.0.0.1:{port}", *home.command(listen=f"http://127.0.0.1:{port}")],
            cwd=home.folder, stdout=subprocess.DEVNULL, stderr=log,
        )  # fmt: skip
    home.processes.append(process)
    home.pids.add(process.pid)

    def knock() -> bool:
        with socket.socket() as peer:
            return peer.connect_ex(("127.0.0.1", port)) == 0

    until(knock, "the activator")
    until(home.answers, "the server")
    assert home.url == f"http://127.0.0.1:{port}"
    assert home.call("pid") == home.answers()
    old = home.answers()
    new = home.ask("restart")["pid"]
    until(lambda: not lives(old))
    assert home.call("pid") == new
