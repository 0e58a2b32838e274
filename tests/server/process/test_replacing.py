"""A server takes the place of another."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import pytest

from anycore.clients import connect
from anycore.server.process.control import ControlError

Home = Any  # as the fixtures have it; a conftest cannot be imported
Until = Callable[..., Any]
Lives = Callable[[int], bool]
SECONDS = 40


@pytest.mark.parametrize(("how", "core"), [("control", "asyncio"), ("signal", "asyncio"), ("control", "prefork")])
def test_pid_file_control_socket_and_port_go_to_the_new_server(
    home: Home, how: str, core: str, until: Until, lives: Lives
) -> None:
    unix = f"unix+http://{home.folder}/http.sock"
    old = home.start("--listen", unix, "--core", core).pid
    url = home.url
    if how == "control":
        assert home.ask("restart")["replaced"] == old
    else:
        os.kill(old, signal.SIGUSR2)
    new = until(lambda: (found := home.answers()) and found != old and found, "another server")
    until(lambda: not lives(old), "the end of the old one")
    assert home.pidfile.read_text() == f"{new}\n"
    assert home.url == url
    serving = {worker["process"] for worker in home.ask("workers")}
    assert new in serving or core == "prefork"
    assert home.call("pid") in serving
    with connect(unix, timeout=SECONDS) as client:
        assert client.call("sample.pid") in serving
    home.ask("stop")
    until(lambda: not lives(new))
    assert sorted(path.name for path in home.folder.iterdir() if path.name != "__pycache__") == ["log", "sample.py"]


@pytest.mark.parametrize("broken", ["plugin", "configuration"])
def test_when_the_new_one_cannot_start_the_old_one_goes_on_and_says_why(home: Home, broken: str, until: Until) -> None:
    (home.folder / "anycore.toml").write_text("[limits]\nidle_time = 60\n")
    old = home.start().pid
    if broken == "plugin":
        (home.folder / "sample.py").write_text("syntax error")
    else:
        (home.folder / "anycore.toml").write_text("[limits]\nidle_tim = 60\n")
    with pytest.raises(ControlError, match=r"could not start, this one goes on: .*(sample.py|idle_tim)"):
        home.ask("restart")
    assert home.answers() == old
    assert home.call("pid") == old
    assert home.pidfile.read_text() == f"{old}\n"
    assert "restart: the new server could not start" in home.log.read_text()
    os.kill(old, signal.SIGUSR2)
    until(lambda: home.log.read_text().count("restart: the new server could not start") == 2)
    assert home.call("pid") == old


def test_a_server_that_is_started_by_hand_takes_over(home: Home) -> None:
    old = home.start()
    url = home.url
    new = home.start("--take-over")
    assert old.wait(SECONDS) == 0
    assert home.url == url
    assert home.call("pid") == new.pid
    assert home.pidfile.read_text() == f"{new.pid}\n"


def test_taking_over_from_nobody_is_an_ordinary_start(home: Home) -> None:
    process = home.start("--take-over")
    assert home.call("pid") == process.pid


def test_a_held_connection_goes_on_until_its_peer_or_the_time_ends_it(home: Home, until: Until, lives: Lives) -> None:
    from anycore.rpyc.connecting import connect as connect_rpyc

    old = home.start("--listen", "rpyc://127.0.0.1:0", "--drain-time", "60").pid
    port = int(home.ask("status")["listeners"][1].rpartition(":")[2])
    held = connect_rpyc("127.0.0.1", port)
    assert held.root.sample.pid() == old
    new = home.ask("restart")["pid"]
    assert held.root.sample.pid() == old
    with connect_rpyc("127.0.0.1", port) as fresh:
        assert fresh.root.sample.pid() == new
    held.close()
    until(lambda: not lives(old), "the end of the old one")


def test_pid_file_and_control_socket_may_be_elsewhere_in_the_new_configuration(
    home: Home, until: Until, lives: Lives
) -> None:
    configure = (home.folder / "anycore.toml").write_text
    configure('[process]\npidfile = "a.pid"\ncontrol = "a.sock"\n')
    home.control = str(home.folder / "a.sock")
    command = [sys.executable, "-m", "anycore", "serve", "sample.py", "--listen", "http://127.0.0.1:0"]
    old = home.launch(command).pid
    configure('[process]\npidfile = "b.pid"\ncontrol = "b.sock"\n')
    new = home.ask("restart")["pid"]
    until(lambda: not lives(old))
    home.control = str(home.folder / "b.sock")
    assert home.answers() == new
    assert (home.folder / "b.pid").read_text() == f"{new}\n"
