"""`anycore completion`: the scripts, and bash really completing."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

Run = Callable[..., Result]
Served = Any  # as the fixture has it; a conftest cannot be imported


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_there_is_a_script_for_each_shell(run: Run, shell: str) -> None:
    if shell == "bash" and not shutil.which("bash"):
        pytest.skip("bash is not here, and its version is looked at")
    result = run("completion", shell)
    assert result.exit_code == 0
    assert f"_ANYCORE_COMPLETE={shell}_complete" in result.stdout


def test_another_shell_is_refused(run: Run) -> None:
    assert "'tcsh' is not one of 'bash', 'zsh', 'fish'" in run("completion", "tcsh").stderr


@pytest.fixture
def complete(tmp_path: Path) -> Callable[[str], list[str]]:
    """Let bash complete a command line, with `anycore` on its path."""
    if not shutil.which("bash"):
        pytest.skip("bash is not here")
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "anycore"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m anycore "$@"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    work = tmp_path / "work"
    work.mkdir()

    def completed(line: str) -> list[str]:
        script = """
            eval "$(anycore completion bash)"
            COMP_WORDS=()  # as readline does it: also : and = are words
            while IFS= read -r word; do COMP_WORDS+=("$word"); done < <(sed -E 's/([:=]+)/ \\1 /g' <<< "$LINE" | tr -s ' ' '\\n')
            [[ $LINE != *' ' ]] || COMP_WORDS+=("")
            COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
            COMP_LINE=$LINE COMP_POINT=${#LINE}
            function_name=$(complete -p anycore | sed -E 's/.*-F ([^ ]+).*/\\1/')
            compopt() { :; }
            "$function_name" anycore "${COMP_WORDS[COMP_CWORD]}" ""
            printf '%s\\n' "${COMPREPLY[@]}"
        """
        done = subprocess.run(
            ["bash", "-c", script],
            capture_output=True, text=True, timeout=50, check=False, cwd=work,
            env={**os.environ, "LINE": line, "PATH": f"{folder}:{os.environ['PATH']}"},
        )  # fmt: skip
        assert done.stderr == ""
        return done.stdout.split()

    return completed


def test_bash_completes_commands_options_and_values(complete: Callable[[str], list[str]]) -> None:
    assert complete("anycore ser") == ["serve"]
    assert complete("anycore new pl") == ["plugin"]
    assert complete("anycore serve --idle") == ["--idle-time"]
    assert complete("anycore serve --core as") == ["asyncio"]
    assert complete("anycore serve --core=as") == ["asyncio"]
    assert complete("anycore serve --listen http://127.0.0.1:0 --core as") == ["asyncio"]
    assert complete("anycore check --log-level ") == ["critical", "debug", "error", "info", "warning"]


def test_bash_completes_the_methods_of_a_server(complete: Callable[[str], list[str]], served: Served) -> None:
    assert complete(f"anycore call {served.url} sample.a") == ["sample.add"]
    assert complete("anycore call http://127.0.0.1:1 sample.a") == []
    assert complete(f"anycore call --timeout=5  {served.rpyc_url} sample.ech") == ["sample.echo"]


def test_methods_of_an_rpyc_server_are_completed(complete: Callable[[str], list[str]], served: Served) -> None:
    assert complete(f"anycore call {served.rpyc_url} sample.a") == ["sample.add"]
