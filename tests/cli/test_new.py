"""`anycore new plugin`: what it writes works, and it overwrites nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from anycore.cli.exits import Exit
from anycore.dialects.loader import load_plugins

Run = Callable[..., Result]


@pytest.mark.parametrize("name", ["thermostat", "room_2", "a", "x9_y"])
def test_the_plugin_is_served_under_its_name(run: Run, name: str) -> None:
    result = run("new", "plugin", name)
    assert result.exit_code == Exit.OK, result.output
    assert f"wrote {name}.py\nwrote test_{name}.py\n" in result.output
    (loaded,) = load_plugins(["."])
    assert [method.name for method in loaded.entries[0].methods] == [f"{name}.get", f"{name}.greet", f"{name}.set"]
    loaded.forget()


def test_its_tests_pass(run: Run) -> None:
    run("new", "plugin", "thermostat", "-d", "plugins")
    run("new", "plugin", "room_2", "-d", "plugins")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "plugins"],
        capture_output=True, text=True, timeout=50, check=False,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "8 passed" in done.stdout


def test_how_to_test_it_is_said_also_where_pytest_is_missing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "pip install" not in run("new", "plugin", "here").output
    monkeypatch.setattr("anycore.cli.new.find_spec", lambda _name: None)
    assert "pytest is not installed here; first: python -m pip install pytest\n" in run("new", "plugin", "there").output


def test_what_is_written_is_clean(run: Run) -> None:
    run("new", "plugin", "room_2")
    ruff = [sys.executable, "-m", "ruff"]
    if subprocess.run([*ruff, "--version"], capture_output=True, check=False).returncode:
        pytest.skip("ruff is not installed")
    for command in (["check", "--select", "E,F,W,I,UP,B"], ["format", "--check"]):
        done = subprocess.run(
            [*ruff, *command, "--isolated", "--line-length", "120", "."], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("present", ["thermostat.py", "test_thermostat.py"])
def test_nothing_is_overwritten(run: Run, present: str) -> None:
    Path(present).write_text("mine")
    result = run("new", "plugin", "thermostat")
    assert result.exit_code == Exit.USAGE
    assert result.stderr == f"Error: already there: {present}; choose another name, or remove what is there\n"
    assert [path.name for path in Path().iterdir()] == [present]
    assert Path(present).read_text() == "mine"


NAMES = {
    "Foo-Bar": "such as foo_bar",
    "RoomSensor": "such as room_sensor",
    "9lives": "such as lives",
    "class": "no keyword",
    "../escape": "such as escape",
    "": "expected lower-case letters",
    "grün": "expected lower-case letters",
    "a\n": "expected lower-case letters",
    "json": "Python has a module of that name",
    "system": "a server has a plugin or package of that name already",
    "group": "a server has a plugin or package of that name already",
    "debug": "a server has a plugin or package of that name already",
    "test_x": "files that start with test_ are tests",
}


@pytest.mark.parametrize("name", list(NAMES))
def test_a_name_that_cannot_be_is_refused(run: Run, name: str) -> None:
    result = run("new", "plugin", "--", name)
    assert result.exit_code == Exit.USAGE
    assert NAMES[name] in result.stderr
    assert list(Path().iterdir()) == []


def test_a_directory_that_cannot_be_written_to_is_told(run: Run) -> None:
    Path("file").touch()
    result = run("new", "plugin", "thermostat", "-d", "file/below")
    assert result.exit_code == Exit.USAGE
    assert "cannot write to file/below: Not a directory; choose another directory with -d" in result.stderr
