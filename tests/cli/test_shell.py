"""`anycore shell`: piped and typed, what it prints, how it fails, what it completes, and that completing runs nothing."""

from __future__ import annotations

import os
import pty
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from anycore.cli import main
from anycore.cli.exits import Exit
from anycore.cli.remote import client
from anycore.cli.shell import history_file
from anycore.cli.shell_names import Names
from anycore.clients import connect
from anycore.server.application import Server
from anycore.settings.sources import load_settings

SAMPLE = """
from anycore import Plugin, exposed


class Sample(Plugin):
    @exposed
    def add(self, a: int, b: int = 1) -> int:
        return a + b

    @exposed
    def secret(self) -> int:
        return 5
"""
Served = Any  # as the fixture has it; a conftest cannot be imported
Piped = Callable[..., Result]


@pytest.fixture(params=["http", "jsonrpc+http", "rpyc"])
def url(request: pytest.FixtureRequest, served: Served) -> str:
    if request.param == "rpyc":
        return str(served.rpyc_url)
    return str(served.url.replace("http", request.param, 1))


@pytest.fixture
def piped() -> Piped:
    """Run statements that come on standard input."""

    def run(url: str, source: str, *before: str) -> Result:
        return CliRunner().invoke(main, [*before, "shell", url], input=source, prog_name="anycore")

    return run


def test_results_are_printed(piped: Piped, url: str) -> None:
    result = piped(url, "server.sample.add(2, 3)")
    assert (result.stdout, result.stderr, result.exit_code) == ("5\n", "", Exit.OK)


def test_statements_of_any_form(piped: Piped, url: str) -> None:
    source = """
import math
def twice(number):

    return server.sample.echo(number) * 2
for n in range(2):
    twice(n)
None
x = twice("ab"); x
_
server.sample.echo({"a": [1, 2], "b": "ü"})
"""
    result = piped(url, source)
    assert result.stderr == ""
    assert result.stdout.splitlines() == ["0", "2", "'abab'", "'abab'", "{'a': [1, 2], 'b': 'ü'}"]
    assert result.exit_code == Exit.OK


def test_a_fault_is_one_line_and_ends_it(piped: Piped, url: str) -> None:
    result = piped(url, "server.sample.fail()\nprint('not reached')")
    assert result.exit_code == Exit.FAULT
    assert result.stdout == ""
    assert result.stderr.startswith("Error: nothing ")
    assert "[31mworks (fault 7)\n" in result.stderr
    assert "\x1b" not in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("source", "code", "text"),
    [
        ("1/0", Exit.FAULT, "Error: ZeroDivisionError: division by zero\n"),
        ("print(1)\nx = (", Exit.USAGE, "Error: SyntaxError: '(' was never closed (line 2: x = ()\n"),
        ("raise SystemExit(7)", 7, ""),
        ("server.sample.add(1, 2", Exit.USAGE, "Error: SyntaxError"),
        ("nothing", Exit.FAULT, "Error: NameError: name 'nothing' is not defined\n"),
        ("raise KeyboardInterrupt", Exit.INTERRUPTED, ""),
        ("", Exit.OK, ""),
    ],
)
def test_how_it_ends(piped: Piped, served: Served, source: str, code: int, text: str) -> None:
    result = piped(served.url, source)
    assert (result.exit_code, result.stdout) == (code, "")
    assert result.stderr.startswith(text)


def test_tracebacks_when_asked_for(piped: Piped, served: Served) -> None:
    result = piped(served.url, "def f():\n    1/0\nf()", "--debug")
    assert result.exit_code == Exit.FAULT
    assert 'File "<shell>", line 2, in f' in result.stderr
    assert "shell.py" not in result.stderr


def test_objects_of_an_rpyc_server(piped: Piped, served: Served) -> None:
    source = """
root.sample.echo([1, 2])
type(root.sample.echo([1, 2]))
conn.closed
server.sample.echo([1, 2])
root.sample.fail()
"""
    result = piped(served.rpyc_url, source)
    assert result.stdout == "[1, 2]\n<class 'list'>\nFalse\n[1, 2]\n"
    assert result.stderr.startswith("Error: nothing \\x1b[31mworks (fault 7)\n")
    result = piped(served.rpyc_url, "conn.close()\nroot.sample.add(1)")
    assert result.exit_code == Exit.TRANSPORT
    assert "Error: EOFError: the connection has ended" in result.stderr
    result = piped(served.rpyc_url, "root.nothing")
    assert result.exit_code == Exit.FAULT
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("scheme", ["http", "rpyc"])
def test_a_server_that_is_not_there(piped: Piped, scheme: str) -> None:
    result = piped(f"{scheme}://127.0.0.1:1", "server.sample.add(1)")
    assert result.exit_code == Exit.TRANSPORT
    assert "nothing listens there" in result.stderr


# Completion.


class Trap:
    """Whatever is read of it is told."""

    def __init__(self) -> None:
        self.read: list[str] = []

    @property
    def dangerous(self) -> int:
        self.read.append("dangerous")
        return 1


@pytest.fixture
def names(served: Served) -> Iterator[Callable[[str], list[str]]]:
    with connect(served.url) as server:
        trap = Trap()
        namespace = {"server": server, "trap": trap, "proxied": server.sample, "text": "x"}
        yield Names(namespace, server.methods, ["server"]).matches
        assert trap.read == []


def test_names_of_methods_step_by_step(names: Callable[[str], list[str]]) -> None:
    assert names("ser") == ["server"]
    assert names("server.sam") == ["server.sample."]
    assert names("server.sample.") == [f"server.sample.{name}(" for name in ("add", "data", "echo", "fail", "times")]
    assert names("server.sample.ad") == ["server.sample.add("]
    assert names("server.nothing.") == []
    assert "system.listMethods("[:7] in names("server.sys")[0]


def test_other_names(names: Callable[[str], list[str]]) -> None:
    assert names("impo") == ["import"]
    assert names("prin") == ["print"]
    assert names("text.uppe") == ["text.upper()"]
    assert names("trap.dan") == ["trap.dangerous"]
    assert names("unknown.x") == []
    assert names("proxied.a") == []


RULES = """
[server]
plugins = ["sample.py"]
[[listen]]
url = "http://127.0.0.1:0"
[[listen]]
url = "rpyc://127.0.0.1:0"
[[access.rule]]
deny = ["sample.secret"]
to = ["*"]
%s
"""


@pytest.mark.parametrize("listed", [True, False])
def test_only_what_the_caller_may_call_is_completed(tmp_path: Path, listed: bool) -> None:
    """Also where it may not even ask for the list of methods."""
    (tmp_path / "sample.py").write_text(SAMPLE)
    (tmp_path / "rules.toml").write_text(RULES % ("" if listed else '[[access.rule]]\ndeny = ["system.*"]\nto = ["*"]'))
    ready = threading.Event()
    server = Server(load_settings(file=str(tmp_path / "rules.toml"), environment={}), lambda _: ready.set())
    thread = threading.Thread(target=server.run, kwargs={"signals": False})
    thread.start()
    try:
        assert ready.wait(60)
        for url in server.urls:
            with client(url, None, {}) as found:
                trees = ["server"]
                namespace: dict[str, Any] = {"server": found}
                if url.startswith("rpyc"):
                    trees.append("root")
                    namespace["root"] = found.connection.root
                    namespace["held"] = found.connection.root.sample
                for tree in trees:
                    matches = Names(namespace, found.methods, trees).matches
                    known = listed or url.startswith("rpyc")
                    assert matches(f"{tree}.sample.") == ([f"{tree}.sample.add("] if known else [])
                if "held" in namespace:
                    assert matches("held.") == ["held.add"]
    finally:
        server.stop()
        thread.join(60)


def test_a_server_that_has_gone_completes_nothing() -> None:
    with connect("http://127.0.0.1:1") as server:
        assert Names({"server": server}, server.methods, ["server"]).matches("server.a") == []


def test_completing_reads_no_attribute_of_a_remote_object(served: Served) -> None:
    from anycore.rpyc.calling import RpycClient

    with RpycClient(served.rpyc_url) as server:
        held = server.connection.root.sample
        namespace = {"server": server, "root": server.connection.root, "held": held}
        completed = Names(namespace, server.methods, ["server", "root"])
        assert completed.matches("root.sample.a") == ["root.sample.add("]
        asked: list[int] = []
        ask = server.connection.sync_request

        def noting(handler: int, *args: Any) -> Any:
            asked.append(handler)
            return ask(handler, *args)

        server.connection.sync_request = noting  # type: ignore[method-assign]
        assert completed.matches("held.a") == ["held.add"]
        assert completed.matches("held.add.x.y") == []
        assert asked == [13]  # DIR
        assert completed.complete("held.a", 0) == "held.add"
        assert completed.complete("held.a", 1) is None


# Typed.


@contextmanager
def typed(url: str, home: Path) -> Iterator[Callable[[str, str], str]]:
    """Run the shell in a terminal; the function types something and returns what is printed up to some text."""
    leader, follower = pty.openpty()
    printed = ""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANYCORE_")}
    environment |= {"XDG_STATE_HOME": str(home), "TERM": "dumb", "PYTHON_BASIC_REPL": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "anycore", "shell", url],
        stdin=follower, stdout=follower, stderr=follower, env=environment, start_new_session=True,
    )  # fmt: skip
    os.close(follower)

    def type_in(keys: str, expected: str) -> str:
        nonlocal printed
        os.write(leader, keys.encode())
        end = time.monotonic() + 20
        while expected not in printed:
            assert select.select([leader], [], [], max(0, end - time.monotonic()))[0], printed
            printed += os.read(leader, 4096).decode(errors="replace")
        before, _, printed = printed.partition(expected)
        return before

    try:
        yield type_in
        type_in("", ">>> ")
        os.write(leader, b"\x04")
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
        os.close(leader)


def test_a_terminal(url: str, tmp_path: Path) -> None:
    with typed(url, tmp_path) as type_in:
        assert "Tab completes" in type_in("", ">>> ")
        type_in("server.sample.ad\t2, 3)\n", "\n5")
        type_in("", ">>> ")
        type_in("server.sample.fail()\n", "(fault 7)")
        type_in("", ">>> ")
        type_in("for n in range(2): n + 40\n", "... ")
        type_in("\n", "\n41")
    history = tmp_path / "anycore" / "shell_history"
    assert "server.sample.add(2, 3)" in history.read_text()
    assert history.stat().st_mode & 0o077 == 0
    assert history.parent.stat().st_mode & 0o077 == 0


def test_a_terminal_and_a_server_that_is_not_there(tmp_path: Path) -> None:
    """It is said at once, and no prompt comes."""
    leader, follower = pty.openpty()
    with socket.create_server(("127.0.0.1", 0)) as gone:
        url = f"http://127.0.0.1:{gone.getsockname()[1]}"
    done = subprocess.run(
        [sys.executable, "-m", "anycore", "shell", url],
        stdin=follower, capture_output=True, text=True, timeout=20, check=False, cwd=tmp_path,
    )  # fmt: skip
    os.close(leader)
    os.close(follower)
    assert (done.returncode, done.stdout) == (4, "")
    assert "nothing listens there" in done.stderr


def test_where_the_history_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert history_file() == Path("/state/anycore/shell_history")
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    assert history_file() == Path.home() / ".local" / "state" / "anycore" / "shell_history"
