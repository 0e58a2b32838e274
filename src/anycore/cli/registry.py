"""`anycore registry`: the group, and its `serve`, which is meant when no command is named; others in `registry_questions`."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, TextIO

import click

from anycore.cli.commands import Commands
from anycore.cli.exits import Exit
from anycore.cli.failures import Failure

if TYPE_CHECKING:
    from anycore.discovery import RegistryServer

COMMANDS: Final[dict[str, str]] = {
    "serve": "anycore.cli.registry:serve",
    "list": "anycore.cli.registry_questions:list_names",
    "lookup": "anycore.cli.registry_questions:lookup",
    "register": "anycore.cli.registry_questions:register",
    "unregister": "anycore.cli.registry_questions:unregister",
    "watch": "anycore.cli.registry_questions:watch",
}
_MODES: Final = {"UDP": ("udp",), "TCP": ("tcp",), "BOTH": ("udp", "tcp")}


class RegistryGroup(Commands):
    """A group whose commands are imported when they are wanted, and that serves when none is named."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names of the commands, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Return a command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].partition(":")
        found: click.Command = getattr(import_module(module), attribute)
        return found

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the command line."""
        if not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names):
            args = ["serve", *args]
        return super().parse_args(ctx, args)


@click.group(cls=RegistryGroup)
def registry() -> None:
    """Serve a registry of RPyC services, or ask one.

    Without a command it serves: `anycore registry -m TCP` is `anycore registry serve -m TCP`. It takes the switches of
    RPyC's rpyc_registry, and servers and clients of RPyC 4.1 to 6.0 can use it.
    """


@registry.command()
@click.option(
    "-m", "--mode", type=click.Choice(list(_MODES), case_sensitive=False), default="UDP", show_default=True,
    help="What it listens on; BOTH share a port and what is registered.",
)  # fmt: skip
@click.option("--host", default="", metavar="ADDRESS", help="The address to bind to.  [default: all]")
@click.option("-6", "--ipv6", is_flag=True, help="Bind to all addresses of IPv6, and of IPv4 where the system lets.")
@click.option(
    "-p",
    "--port",
    type=click.IntRange(0, 65535),
    metavar="NUMBER",
    default=18811,
    show_default=True,
    help="The port; 0 for any.",
)
@click.option("-f", "--file", "--logfile", "logfile", metavar="FILE", help="Append the log to this file.")
@click.option("-q", "--quiet", is_flag=True, help="Log errors only, and say nothing else.")
@click.option(
    "-t", "--timeout", type=click.FloatRange(0, min_open=True), default=240.0, show_default=True, metavar="SECONDS",
    help="Forget what has not been registered again for so long.",
)  # fmt: skip
@click.option(
    "-l", "--listing", type=bool, is_flag=False, flag_value=True, default=False, metavar="[BOOL]",
    help="Let everyone list all names.  [default: no]",
)  # fmt: skip
@click.option(
    "--max-leases",
    type=click.IntRange(1),
    metavar="NUMBER",
    default=10_000,
    show_default=True,
    help="How many registrations it keeps.",
)
@click.option(
    "--max-leases-per-host",
    type=click.IntRange(1),
    metavar="NUMBER",
    default=1_000,
    show_default=True,
    help="How many of one address.",
)
@click.option(
    "--max-names",
    type=click.IntRange(1),
    metavar="NUMBER",
    default=100,
    show_default=True,
    help="How many names one request may register.",
)
@click.option(
    "--max-connections",
    type=click.IntRange(1),
    metavar="NUMBER",
    default=64,
    show_default=True,
    help="How many TCP clients at a time.",
)
def serve(*, logfile: str | None, quiet: bool, **options: Any) -> None:
    """Serve a registry until told to stop.

    It has no authentication: who can reach it can register services, at the address that the request comes from. So let
    only a network that you trust reach it.
    """
    with _log(logfile, quiet=quiet), _server(**options) as server:
        _stop_on_signals(server)
        if not quiet:
            click.echo(f"registry on {', '.join(server.urls)}")
            click.echo("Ctrl-C stops it.")
        server.serve()


@contextlib.contextmanager
def _server(
    *,
    mode: str,
    host: str,
    ipv6: bool,
    port: int,
    timeout: float,
    listing: bool,
    max_connections: int,
    max_leases: int,
    max_leases_per_host: int,
    max_names: int,
) -> Iterator[RegistryServer]:
    from anycore.discovery import LeaseTable, RegistryServer, RegistryService

    table = LeaseTable(
        lifetime=timeout, max_leases=max_leases, max_leases_per_host=max_leases_per_host, max_names=max_names
    )
    try:
        server = RegistryServer(
            RegistryService(table, listing=listing), modes=_MODES[mode.upper()], host=host, port=port, ipv6=ipv6,
            max_connections=max_connections,
        )  # fmt: skip
    except OSError as error:
        where = f"port {port} of {host or 'this machine'}"
        raise Failure(
            f"cannot listen on {where}: {error.strerror}; choose another with --port or --host", Exit.STARTUP
        ) from error
    with server:
        yield server


@contextlib.contextmanager
def _log(logfile: str | None, *, quiet: bool) -> Iterator[None]:
    from anycore.server.logs import configure
    from anycore.settings.tables import LogSettings

    with contextlib.ExitStack() as stack:
        stream: TextIO = sys.stderr
        if logfile is not None:
            try:
                stream = stack.enter_context(open(logfile, "a", encoding="utf-8", buffering=1))  # noqa: PTH123
            except OSError as error:
                raise Failure(
                    f"cannot write to {logfile}: {error.strerror}; choose another --file", Exit.STARTUP
                ) from error
            stack.callback(configure, LogSettings())  # back to standard error before the file is closed
        configure(
            LogSettings(level="error" if quiet else "info", format="auto" if logfile is None else "pretty"), stream
        )
        yield


def _stop_on_signals(server: RegistryServer) -> None:
    import signal

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.stop())
