"""`anycore` itself: help, versions, exit codes, and what it shows of errors."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version

import click
import pytest
from click.testing import Result

from anycore.cli.exits import MEANINGS, Exit
from anycore.cli.root import COMMANDS

Run = Callable[..., Result]


def test_the_help_lists_commands_and_exit_codes(run: Run) -> None:
    result = run("--help")
    assert result.exit_code == 0
    assert [name for name in COMMANDS if f"\n  {name} " not in result.output] == []
    assert [
        code for code, text in MEANINGS.items() if f"  {int(code)}" not in result.output or text not in result.output
    ] == []
    assert set(MEANINGS) == set(Exit)


@pytest.mark.parametrize("name", list(COMMANDS))
def test_the_table_of_commands_says_what_each_says_itself(name: str, run: Run) -> None:
    module, _, attribute = COMMANDS[name][0].partition(":")
    command = getattr(import_module(module), attribute)
    assert isinstance(command, click.Command)
    assert (command.help or "").partition("\n")[0] == COMMANDS[name][1]
    result = run(name, "--help")
    assert result.exit_code == 0
    assert result.output.startswith(f"Usage: anycore {name} [OPTIONS]")


@pytest.mark.parametrize("name", list(COMMANDS))
def test_the_help_of_a_group_says_all_of_what_each_command_does(name: str, run: Run) -> None:
    module, _, attribute = COMMANDS[name][0].partition(":")
    command = getattr(import_module(module), attribute)
    if isinstance(command, click.Group):
        _, _, listed = run(name, "--help").output.partition("Commands:\n")
        assert listed
        assert "...\n" not in listed


def test_the_version_is_that_of_the_distribution(run: Run) -> None:
    assert run("--version").output == f"anycore {version('anycore')}\n"


def test_an_unknown_command_or_option_is_a_usage_error_with_a_suggestion(run: Run) -> None:
    result = run("srve")
    assert result.exit_code == Exit.USAGE
    assert "No such command 'srve'. Did you mean 'serve'?" in result.stderr
    result = run("serve", "--idel-time", "3")
    assert result.exit_code == Exit.USAGE
    assert "--idle-time" in result.stderr


def test_a_bug_shows_one_line_and_its_traceback_only_when_asked(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**_: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("anycore.settings.sources.load_settings", broken)
    result = run("config")
    assert result.exit_code == Exit.BUG
    assert result.stderr == (
        "Error: ZeroDivisionError: oops; this is a bug in Anycore: report it with the output of --debug\n"
    )
    assert "Traceback" in run("--debug", "config").stderr
    assert "Traceback" in run("config", ANYCORE_DEBUG="1").stderr


def test_an_error_of_the_user_shows_its_traceback_only_when_asked(run: Run) -> None:
    assert run("config", "-c", "no.toml").stderr.startswith("Error: no.toml: cannot be read")
    result = run("--debug", "config", "-c", "no.toml")
    assert "Traceback" in result.stderr
    assert result.exit_code == Exit.CONFIGURATION


def test_an_interruption_has_the_exit_code_of_shells(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("anycore.settings.sources.load_settings", interrupted)
    assert run("config").exit_code == Exit.INTERRUPTED


def test_help_imports_nothing_heavy_and_comes_at_once() -> None:
    code = (
        "import sys, anycore.cli\n"
        "try: anycore.cli.main(['--help'], prog_name='anycore')\n"
        "except SystemExit: pass\n"
        "heavy = {'rich', 'httptools', 'asyncio', 'ssl', 'watchfiles', 'importlib.metadata', 'anycore.server'}\n"
        "print('loaded:', sorted(heavy & set(sys.modules)))\n"
    )
    best = 10.0
    for _ in range(3):
        started = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
        best = min(best, time.perf_counter() - started)
    assert done.stdout.endswith("loaded: []\n")
    assert best < 0.5  # 0.06 s on an idle machine; this one may be busy


def test_the_package_is_a_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "anycore", "--version"], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout.startswith("anycore ")


def test_a_reader_that_goes_away_is_no_bug() -> None:
    line = f"{sys.executable} -m anycore config | true"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=30, check=True)
    assert done.stderr == ""
