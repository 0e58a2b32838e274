"""`anycore ctl`, asked of a real server."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from anycore.cli.exits import Exit

Run = Callable[..., Result]


@pytest.fixture
def server(start: Any, tmp_path: Path, plugin_source: str) -> Iterator[Any]:
    (tmp_path / "sample.py").write_text(plugin_source)
    (tmp_path / "anycore.toml").write_text('[process]\ncontrol = "c.sock"\n')
    made = start("sample.py", cwd=tmp_path)
    yield made
    made.stop()


def test_each_command_says_what_it_found_and_did(server: Any, run: Run) -> None:
    status = run("ctl", "status")
    assert status.exit_code == Exit.OK, status.output
    assert f"pid          {server.process.pid}\n" in status.stdout
    assert "state        serving\n" in status.stdout
    assert f"listeners    {server.url}\n" in status.stdout
    workers = run("ctl", "workers")
    assert workers.stdout.startswith(f"worker 0  pid {server.process.pid}  serving")
    assert "no setting has changed" in run("ctl", "reload").stdout
    assert "plugins loaded: sample" in run("ctl", "reload").stdout
    assert "core  off\n" in run("ctl", "debug").stdout
    assert "sample  on\n" in run("ctl", "debug", "on").stdout
    some = run("ctl", "debug", "sample", "off").stdout
    assert "core  on\n" in some and "sample  off\n" in some
    assert json.loads(run("ctl", "--json", "status").stdout)["pid"] == server.process.pid
    stop = run("ctl", "stop")
    assert stop.stdout == f"process {server.process.pid} finishes what runs, and stops\n"
    assert server.process.wait(30) == 0
    assert not os.path.lexists("c.sock")


def test_what_the_server_refuses_is_told(server: Any, run: Run) -> None:
    Path("anycore.toml").write_text('[process]\ncontrol = "c.sock"\n[limits]\nidle_tim = 3\n')
    refused = run("ctl", "--control", "c.sock", "reload")
    assert refused.exit_code == Exit.FAULT
    assert "idle_tim" in refused.stderr
    unknown = run("ctl", "--control", "c.sock", "debug", "nothing", "on")
    assert unknown.exit_code == Exit.FAULT
    assert "there is no 'nothing' to debug" in unknown.stderr


def test_nobody_to_ask(run: Run) -> None:
    nowhere = run("ctl", "status")
    assert nowhere.exit_code == Exit.USAGE
    assert "name its control socket: anycore ctl --control FILE" in nowhere.stderr
    nobody = run("ctl", "--control", "missing.sock", "status")
    assert nobody.exit_code == Exit.TRANSPORT
    assert "no server answers at missing.sock: No such file or directory; start one with" in nobody.stderr
