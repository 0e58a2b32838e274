"""How errors end a command: a message on standard error and an exit code. Never a traceback, unless asked for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import IO, Any

import click

from anycore.cli.exits import Exit
from anycore.cli.text import printable


class Failure(click.ClickException):
    """The command cannot do what was asked.

    Args:
        message: What is wrong and how to cure it; several lines when several things are.
        code: How the command ends.
    """

    def __init__(self, message: str, code: Exit) -> None:
        super().__init__(message)
        self.exit_code = code  # type: ignore[misc] # click declares it for the class and reads it from the instance

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the message, each of its lines in its own right."""
        for line in printable(self.message).splitlines():
            click.echo(f"{click.style('Error', fg='red')}: {line}", file=file, err=True)


@contextlib.contextmanager
def configuration() -> Iterator[None]:
    """Turn wrong settings into a failure of the command."""
    from anycore.settings.problems import ConfigurationError

    try:
        yield
    except ConfigurationError as error:
        raise Failure(str(error), Exit.CONFIGURATION) from error


@contextlib.contextmanager
def starting() -> Iterator[None]:
    """Turn what keeps a server from starting into a failure of the command."""
    from anycore.kernel.registry import PluginRefusedError
    from anycore.server.errors import StartupError

    try:
        yield
    except (StartupError, PluginRefusedError) as error:
        raise Failure(str(error), Exit.STARTUP) from error


@contextlib.contextmanager
def calling() -> Iterator[None]:
    """Turn faults and failed connections into a failure of the command."""
    from anycore.cli.output import as_json
    from anycore.clients import Fault, LocalProtocolError, TransportError
    from anycore.clients.errors import UNKNOWN_AUTHORITY

    try:
        yield
    except Fault as fault:
        data = "" if fault.data is None else f"\n{as_json(fault.data)}"
        raise Failure(f"{fault}{data}", Exit.FAULT) from fault
    except TransportError as error:
        hint = "; on the command line: --ca FILE" if error.message.endswith(UNKNOWN_AUTHORITY) else ""
        raise Failure(f"{error}{hint}", Exit.TRANSPORT) from error
    except LocalProtocolError as error:
        raise Failure(str(error), Exit.USAGE) from error
