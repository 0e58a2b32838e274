"""`anycore registry list`, `lookup`, `register`, `unregister` and `watch`: the clients of `anycore.discovery` for people."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import click

from anycore.cli.exits import Exit
from anycore.cli.failures import Failure, calling
from anycore.cli.text import printable

if TYPE_CHECKING:
    from anycore.discovery import RegistryClient, Server

_F = TypeVar("_F", bound=Callable[..., Any])


def _client_options(command: _F) -> _F:
    """Give a command the options that say which registry is asked and how."""
    for option in (
        click.option(
            "-i", "--interface", default="", metavar="ADDRESS",
            help="The address of this machine to ask from: what a registration is found at.",
        ),
        click.option(
            "-t", "--timeout", type=click.FloatRange(0, min_open=True), default=2.0, show_default=True,
            metavar="SECONDS", help="How long to wait for answers.",
        ),
        click.option(
            "-r", "--registry", "registries", multiple=True, metavar="HOST[:PORT]",
            help="A registry; may be repeated.  [default: a broadcast, with UDP]",
        ),
        click.option(
            "-m", "--mode", type=click.Choice(["UDP", "TCP"], case_sensitive=False), default="UDP", show_default=True,
            help="How the registry listens.",
        ),
    ):  # fmt: skip
        command = option(command)
    return command


@click.command("list")
@_client_options
@click.option("--host", metavar="ADDRESS", help="Only the services of this host.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_names(*, host: str | None, as_json: bool, **where: Any) -> None:
    """List the names of all services, if the registry allows it."""
    with _asking(where) as client:
        names = client.list(host)
    _print(list(names), as_json, names)


@click.command()
@click.argument("name")
@_client_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def lookup(name: str, *, as_json: bool, **where: Any) -> None:
    """Print where a service is offered.

    One line for each server, HOST:PORT, or HOST:PATH for a Unix socket. The exit code is 1 when there is none.
    """
    with _asking(where) as client:
        servers = client.discover(name)
    if not servers:
        raise Failure(f"nobody has registered {name!r} with {client.urls}", Exit.FAULT)
    _print([{"host": server.host, "port": server.port} for server in servers], as_json, map(_text, servers))


@click.command()
@click.argument("port")
@click.argument("names", nargs=-1, required=True)
@_client_options
@click.option("--keep", is_flag=True, help="Register again every minute until stopped, then unregister.")
def register(port: str, names: tuple[str, ...], *, keep: bool, **where: Any) -> None:
    """Register services of this machine.

    PORT is where they are: a TCP port, or the path of a Unix socket. The registry forgets them after 4 minutes, unless
    --keep has them registered again.
    """
    with _asking(where) as client:
        if keep:
            _keep(client, names, _port(port))
        else:
            confirmed = client.register(names, _port(port))
            click.echo(f"registered with {', '.join(map(str, confirmed))}")


@click.command()
@click.argument("port")
@_client_options
def unregister(port: str, **where: Any) -> None:
    """Take back all that this machine has registered at a port.

    PORT is a TCP port, or the path of a Unix socket.
    """
    with _asking(where) as client:
        confirmed = client.unregister(_port(port))
        click.echo(f"unregistered with {', '.join(map(str, confirmed))}")


@click.command()
@click.argument("names", nargs=-1)
@_client_options
@click.option(
    "--interval", type=click.FloatRange(0, min_open=True), default=5.0, show_default=True, metavar="SECONDS",
    help="How often to look.",
)  # fmt: skip
def watch(names: tuple[str, ...], *, interval: float, **where: Any) -> None:
    """Print what comes and goes, until interrupted.

    A line with + for each server of NAMES that has come, one with - for each that has gone. Without NAMES all services
    are watched, if the registry allows listing.
    """
    from anycore.discovery import NoAnswerError

    with _asking(where) as client:
        known = _look(client, names)
        _print_changes("+", known)
        silent = False
        while True:
            time.sleep(interval)
            try:
                found = _look(client, names)
            except NoAnswerError as error:
                if not silent:
                    click.echo(f"Warning: {printable(str(error))}; still looking", err=True)
                silent = True
                continue
            silent = False
            _print_changes("-", [line for line in known if line not in found])
            _print_changes("+", [line for line in found if line not in known])
            known = found


def _look(client: RegistryClient, names: tuple[str, ...]) -> list[str]:
    wanted = dict.fromkeys(name.upper() for name in names or client.list())
    return [f"{name} {_text(server)}" for name in wanted for server in client.discover(name)]


def _print_changes(sign: str, lines: list[str]) -> None:
    for line in lines:
        click.echo(f"{sign} {printable(line)}")


def _keep(client: RegistryClient, names: tuple[str, ...], port: int | str) -> None:
    import signal
    import threading

    from anycore.discovery import Registration

    client.register(names, port)  # so that what cannot work is said at once
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    with Registration(client, names, port):
        click.echo(f"registered with {client.urls}")
        click.echo("Ctrl-C takes it back.")
        stopped.wait()


@contextlib.contextmanager
def _asking(where: dict[str, Any]) -> Iterator[RegistryClient]:
    from anycore.discovery import ListingRefusedError, TcpRegistryClient, UdpRegistryClient
    from anycore.discovery.address import BROADCAST

    tcp = where["mode"].upper() == "TCP"
    if tcp and not where["registries"]:
        raise click.UsageError("TCP knows no broadcast; say which registry to ask with --registry HOST")
    try:
        client = (TcpRegistryClient if tcp else UdpRegistryClient)(
            where["registries"] or (BROADCAST,), timeout=where["timeout"], interface=where["interface"]
        )
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--registry") from error
    try:
        with calling():
            yield client
    except ListingRefusedError as error:
        raise Failure(str(error), Exit.FAULT) from error


def _port(text: str) -> int | str:
    if text.startswith("/"):
        return text
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65536:
        message = f"expected a port from 1 to 65535, or the path of a socket from / on, got {text!r}"
        raise click.BadParameter(message, param_hint="PORT")
    return int(text)


def _text(server: Server) -> str:
    host = f"[{server.host}]" if ":" in server.host else server.host
    return f"{host}:{server.port}"


def _print(value: Any, as_json: bool, lines: Any) -> None:
    from anycore.cli.output import as_json as dump

    if as_json:
        click.echo(dump(value))
    else:
        for line in lines:
            click.echo(printable(line).replace("\n", "\\x0a"))
