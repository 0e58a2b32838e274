"""`anycore serve` as a user starts it, and its banner."""

from __future__ import annotations

import io
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from anycore.cli.banner import show
from anycore.cli.exits import Exit
from anycore.server.announcement import Announcement
from anycore.testing.certificate import CERTIFICATE

Run = Callable[..., Result]
Served = Any  # as the fixture has it; a conftest cannot be imported

ANNOUNCEMENT = Announcement(
    listeners=[("http://127.0.0.1:6789", ("XML-RPC", "JSON-RPC")), ("https://0.0.0.0:1", ("XML-RPC",))],
    plugins=[
        ("system", "anycore", [("system.listMethods", "() -> list[str]", "Name the methods.")]),
        (
            "sample",
            "plugins/sample.py",
            [("sample.[bold]", "(a: int)", ""), ("sample.b", "()", "Do it, " + "long " * 40)],
        ),
    ],
    core="asyncio",
    sample="anycore call http://127.0.0.1:6789 sample.add 2",
    version="1.2.3",
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_banner_is_plain_and_unwrapped_where_it_is_no_terminal() -> None:
    stream = io.StringIO()
    show(ANNOUNCEMENT, stream)
    lines = [line.rstrip() for line in stream.getvalue().splitlines()]
    assert "\x1b" not in stream.getvalue()
    assert "Anycore 1.2.3 on the asyncio core" in lines
    assert "  http://127.0.0.1:6789  XML-RPC, JSON-RPC" in lines
    assert "    sample.[bold](a: int)" in lines
    assert "  anycore call http://127.0.0.1:6789 sample.add 2" in lines
    (bundled,) = [line for line in lines if line.startswith("  system")]
    assert "comes with the server: " in bundled
    assert lines.index("  sample  from plugins/sample.py") < lines.index(bundled)


def test_lines_of_methods_fit_the_terminal_and_the_sample_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    show(ANNOUNCEMENT, stream)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue()).splitlines()
    assert all(len(line) <= 40 for line in lines if line.startswith("    "))
    assert "  anycore call http://127.0.0.1:6789 sample.add 2" in [line.rstrip() for line in lines]


def test_the_banner_has_colour_on_a_terminal_unless_that_is_unwanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = Terminal()
    show(ANNOUNCEMENT, stream)
    assert re.search(r"\x1b\[[0-9;]*3[26]m", stream.getvalue())
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    show(ANNOUNCEMENT, stream)
    assert not re.search(r"\x1b\[[0-9;]*3[26]m", stream.getvalue())


def test_a_banner_that_nobody_can_read_does_not_end_the_server() -> None:
    class Broken(io.StringIO):
        tried = False

        def write(self, _: str) -> int:
            self.tried = True
            raise BrokenPipeError

    stream = Broken()
    show(ANNOUNCEMENT, stream)
    assert stream.tried


def test_a_server_without_plugins_says_how_to_make_one() -> None:
    stream = io.StringIO()
    show(Announcement([], [ANNOUNCEMENT.plugins[0]], "asyncio", "", "1"), stream)
    assert "`anycore new plugin NAME` makes one" in stream.getvalue()


def test_a_server_says_which_directories_have_no_plugin() -> None:
    stream = io.StringIO()
    show(Announcement([], [ANNOUNCEMENT.plugins[0]], "asyncio", "", "1", ("plugins",)), stream)
    assert "There is no plugin in plugins. `anycore new plugin NAME -d plugins` makes one." in stream.getvalue()
    assert "were named" not in stream.getvalue()


def test_the_sample_of_the_banner_can_be_pasted(served: Served, run: Run) -> None:
    line = next(line for line in served.banner.splitlines() if line.strip().startswith("anycore call "))
    result = run(*shlex.split(line)[1:])
    assert result.exit_code == Exit.OK, result.output


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("core", ["asyncio", "threaded"])
def test_a_server_is_stopped_by_a_signal_with_exit_code_0(start: Any, tmp_path: Path, number: int, core: str) -> None:
    server = start("--core", core, cwd=tmp_path)
    assert f"on the {core} core" in server.banner
    assert server.stop(number) == 0, server.log.read_text()


def test_the_log_is_json_where_it_is_no_terminal_and_as_wanted(start: Any, tmp_path: Path) -> None:
    server = start(cwd=tmp_path)
    server.stop()
    assert all(line.startswith('{"time": ') for line in server.log.read_text().splitlines())
    server = start("--log-format", "pretty", cwd=tmp_path)
    server.stop()
    assert "INFO     anycore.server: " in server.log.read_text()


def test_https_with_certificates_of_both_sides(start: Any, run: Run, tmp_path: Path) -> None:
    Path("c.pem").write_text(CERTIFICATE)
    ours = ("--certificate", "c.pem", "--client-ca", "c.pem", "--client-certificate", "required")
    server = start("--listen", "https://127.0.0.1:0", *ours, cwd=tmp_path)
    url = re.findall(r"https://127\.0\.0\.1:[1-9][0-9]*", server.banner)[0]
    try:
        both = run("call", url, "system.listMethods", "--ca", "c.pem", "--certificate", "c.pem")
        assert both.exit_code == Exit.OK, both.output
        assert run("call", url, "system.listMethods", "--ca", "c.pem").exit_code == Exit.TRANSPORT
        stranger = run("call", url, "system.listMethods")
        assert stranger.exit_code == Exit.TRANSPORT
        assert stranger.stderr.endswith("; on the command line: --ca FILE\n")
    finally:
        assert server.stop() == 0


def serve(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "anycore", "serve", *args], capture_output=True, text=True, timeout=30, check=False
    )


def test_an_address_in_use_is_told_without_a_traceback() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        done = serve("--listen", url)
    assert done.returncode == Exit.STARTUP
    assert done.stderr.startswith(
        f"Error: cannot listen on {url}: Address already in use; another program has the port"
    )
    assert "Traceback" not in done.stderr
    assert "Traceback" in serve("--debug", "missing.py").stderr


def test_a_plugin_that_is_refused_is_told_without_a_traceback(plugin_source: str) -> None:
    Path("sample.py").write_text(plugin_source.replace("(self, a: int, b: int = 1)", "(self, a: object())"))
    done = serve("sample.py", "--listen", "http://127.0.0.1:0")
    assert done.returncode == Exit.STARTUP
    assert done.stderr.startswith(
        "Error: plugin 'sample' from sample.py is refused: its method 'add' cannot be exposed:"
    )
    assert "Traceback" not in done.stderr


def test_a_wrong_setting_ends_the_start() -> None:
    done = serve("--idle-time", "soon")
    assert done.returncode == Exit.CONFIGURATION
    assert done.stderr == (
        'Error: option --idle-time: expected a number of seconds from 0 to 1000000, got the string "soon"; write e.g.'
        " --idle-time 75.0\n"
    )
