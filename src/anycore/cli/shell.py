"""`anycore shell`: Python with a server at hand, typed or piped."""

from __future__ import annotations

import ast
import code
import contextlib
import os
import shutil
import sys
import traceback
from pathlib import Path
from pprint import pformat
from typing import TYPE_CHECKING, Any, Final

import click

from anycore.cli.exits import Exit
from anycore.cli.failures import Failure, calling
from anycore.cli.options import SettingsCommand, settings_options
from anycore.cli.remote import client, speaks_rpyc, telling
from anycore.cli.root import debugging
from anycore.cli.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from anycore.cli.remote import Server

_HISTORY: Final = 2000
_WIDTH: Final = 100


@click.command(
    cls=SettingsCommand,
    epilog="""\b
Examples:
  anycore shell http://127.0.0.1:6789
  echo 'server.thermostat.rooms()' | anycore shell rpyc://127.0.0.1:18812
""",
)
@click.argument("url")
@settings_options("client")
@click.pass_context
def shell(ctx: click.Context, /, url: str, config: str | None, **options: Any) -> None:
    """Call the methods of a server from a Python prompt.

    `server` is a client of the server at URL, which is that of `anycore call`: server.thermostat.set(21.5). With RPyC, `conn` is the
    connection and `root` its root besides, whose objects come by reference. Tab completes the names of the server's methods.

    Without a terminal, what comes on standard input is run as a whole, up to the first statement that fails.
    """
    with client(url, config, options) as server:
        namespace = _namespace(server, url)
        prompt = Prompt(namespace, debug=debugging(ctx))
        if sys.stdin.isatty():
            _reach(server)
            with _readline(server, namespace):
                prompt.interact(banner=_banner(url, namespace), exitmsg="")
        else:
            prompt.run(sys.stdin.read())


def _namespace(server: Server, url: str) -> dict[str, Any]:
    namespace: dict[str, Any] = {"__name__": "__console__", "__doc__": None, "server": server}
    if speaks_rpyc(url):
        from anycore.rpyc.calling import RpycClient

        assert isinstance(server, RpycClient)
        with calling(), telling(server):
            namespace["conn"] = server.connection
            namespace["root"] = server.connection.root
    return namespace


def _reach(server: Server) -> None:
    """See that the server is there, rather than with the first statement. That it does not list its methods is no failure."""
    from anycore.clients import Fault

    with calling(), contextlib.suppress(Fault):
        server.methods()


def _banner(url: str, namespace: dict[str, Any]) -> str:
    names = ", ".join(name for name in ("server", "conn", "root") if name in namespace)
    return f"{names}: {printable(url.rpartition('@')[2])}. Tab completes, server.help('NAME') explains a method, Ctrl-D ends."


class Prompt(code.InteractiveConsole):
    """Runs statements; failures are told in one line.

    Args:
        namespace: The names that statements can use.
        debug: Whether failures come with a traceback.
    """

    def __init__(self, namespace: dict[str, Any], *, debug: bool) -> None:
        super().__init__(namespace, "<shell>")
        self._debug = debug
        self._strict = False

    def run(self, source: str) -> None:
        """Run statements, up to the first one that fails; none when one cannot be understood.

        Args:
            source: The statements.

        Raises:
            Failure: It failed.
        """
        self._strict = True
        try:
            statements = ast.parse(source, self.filename).body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            self._tell(error, Exit.USAGE)
            return
        for statement in statements:
            self.runcode(compile(ast.Interactive([statement]), self.filename, "single"))

    def runcode(self, statement: Any) -> None:
        """Run a statement and print what an expression comes to."""
        hook, sys.displayhook = sys.displayhook, self._display
        try:
            exec(statement, self.locals)  # noqa: S102 - what a prompt is for
        except SystemExit:
            raise
        except BaseException as error:
            if self._strict and not isinstance(error, Exception):
                raise
            self._tell(error)
        finally:
            sys.displayhook = hook

    def showsyntaxerror(self, filename: str | None = None, **_: Any) -> None:  # noqa: ARG002 - as the console calls it
        """Tell what cannot be understood."""
        error = sys.exc_info()[1]
        assert error is not None
        self._tell(error, Exit.USAGE)

    def _display(self, value: Any) -> None:
        if value is not None:
            self.locals["_"] = value
            width = min(shutil.get_terminal_size((_WIDTH, 24)).columns, _WIDTH)
            click.echo(printable(pformat(value, width=width, sort_dicts=False)))

    def _tell(self, error: BaseException, code: Exit = Exit.FAULT) -> None:
        trace = error.__traceback__
        failure = _failure(error, code)
        if self._debug:
            traceback.print_exception(type(error), error, _below(trace))
        if self._strict:
            raise failure from None
        failure.show()


def _below(trace: TracebackType | None) -> TracebackType | None:
    """Leave out of a traceback what is of the prompt itself."""
    return trace.tb_next if trace is not None else None


def _failure(error: BaseException, code: Exit) -> Failure:
    """Return what there is to say of an error: in one line, without tracebacks of either side."""
    try:
        with calling():
            raise _translated(error)
    except Failure as failure:
        return failure
    except KeyboardInterrupt:
        return Failure("interrupted", Exit.INTERRUPTED)
    except BaseException:  # noqa: BLE001 - whatever a statement raises is told
        if isinstance(error, SyntaxError):
            return Failure(
                f"{type(error).__name__}: {error.msg} (line {error.lineno}: {(error.text or '').strip()})", code
            )
        from anycore.rpyc.faults import plain

        told = plain(error)
        ended = isinstance(error, EOFError) and not hasattr(error, "_remote_tb")
        name = type(error).__name__
        return Failure(f"{name}: {told}" if told else name, Exit.TRANSPORT if ended else code)


def _translated(error: BaseException) -> BaseException:
    """Return the fault that an exception of an RPyC server was there, if it was one."""
    from anycore.rpyc.faults import fault_of, is_fault

    return fault_of(error) if hasattr(error, "_remote_tb") and is_fault(error) else error


@contextlib.contextmanager
def _readline(server: Server, namespace: dict[str, Any]) -> Iterator[None]:
    """Edit lines, complete names, and remember what was typed."""
    try:
        import readline
    except ImportError:  # not every Python has it
        yield
        return
    from anycore.cli.shell_names import Names

    trees = [name for name in ("server", "root") if name in namespace]
    readline.set_completer(Names(namespace, server.methods, trees).complete)
    readline.set_completer_delims(" \t\n`~!@#$%^&*()-=+[{]}\\|;:'\",<>/?")
    readline.parse_and_bind("tab: complete")
    file = history_file()
    with contextlib.suppress(OSError):
        readline.read_history_file(file)
    readline.set_history_length(_HISTORY)
    try:
        yield
    finally:
        readline.set_completer(None)
        with contextlib.suppress(OSError):  # a home that cannot be written to
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            file.touch(mode=0o600)
            readline.write_history_file(file)


def history_file() -> Path:
    """Return where what was typed is remembered: below XDG_STATE_HOME, or else ~/.local/state."""
    state = os.environ.get("XDG_STATE_HOME", "")
    home = Path(state) if state.startswith("/") else Path.home() / ".local" / "state"
    return home / "anycore" / "shell_history"
