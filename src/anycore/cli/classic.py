"""`anycore classic`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import click

from anycore.cli.exits import Exit
from anycore.cli.failures import Failure
from anycore.cli.root import debugging

if TYPE_CHECKING:
    from anycore.settings.tables import ListenSettings

_Level: TypeAlias = Literal["debug", "info", "error"]
_FILE = click.Path(exists=True, dir_okay=False)


@click.command()
@click.option(
    "-m",
    "--mode",
    type=click.Choice(["threaded", "forking", "stdio", "oneshot"]),
    default="threaded",
    show_default=True,
    help="How masters are served: each in a thread, each in a process, one on standard input and output, or one and no more.",
)
@click.option(
    "-p",
    "--port",
    type=click.IntRange(0, 65535),
    help="The port; 0 for any free one.  [default: 18812, with TLS 18821]",
)
@click.option("--host", help="The address to listen on.  [default: 127.0.0.1, with --ipv6 ::1]")
@click.option("--ipv6", is_flag=True, help="Listen on the IPv6 address of this machine.")
@click.option("--insecure", is_flag=True, help="Let everybody in who can reach it from other machines.")
@click.option(
    "--logfile", type=click.Path(dir_okay=False), help="Write the log to this file.  [default: standard error]"
)
@click.option("-q", "--quiet", is_flag=True, help="Log errors only.")
@click.option("--ssl-keyfile", type=_FILE, help="PEM file with the private key; speaks TLS.")
@click.option("--ssl-certfile", type=_FILE, help="PEM file with the certificate for it.")
@click.option(
    "--ssl-cafile", type=_FILE, help="PEM file with the authorities whose client certificates let masters in."
)
@click.option("--register", is_flag=True, help="Register with a registry.")
@click.option(
    "--registry-type",
    type=click.Choice(["UDP", "TCP"], case_sensitive=False),
    default="UDP",
    show_default=True,
    help="How the registry is asked.",
)
@click.option(
    "--registry-port", type=click.IntRange(1, 65535), default=18811, show_default=True, help="The registry's port."
)
@click.option("--registry-host", help="The registry's host.  [default: by broadcast; with TCP there is none]")
@click.pass_context
def classic(ctx: click.Context, /, **options: Any) -> None:
    """Let RPyC's classic clients run any code in this process.

    Whoever connects can import, read, change and run everything that the user who starts this can. So it listens on this machine only
    unless masters must show a certificate (--ssl-cafile), or --insecure is given.

    The log has who comes and goes; with `anycore --debug classic` also the traceback of each exception that a master is sent.
    """
    _check(options)
    level: _Level = "error" if options["quiet"] else "debug" if debugging(ctx) else "info"
    if options["mode"] == "stdio":
        from anycore.server.classic import serve_stdio

        _log_to(options["logfile"], level)
        serve_stdio()
        return
    from anycore.cli.failures import starting
    from anycore.server.classic import ClassicServer, ClassicSettings

    settings = ClassicSettings(mode=options["mode"], listen=_listen(options), registries=_registries(options))
    _log_to(options["logfile"], level)
    with starting():
        ClassicServer(settings, _announce if options["mode"] == "oneshot" else lambda _host, _port: None).run()


def _check(options: dict[str, Any]) -> None:
    """Refuse switches that make no sense together."""
    if bool(options["ssl_keyfile"]) != bool(options["ssl_certfile"]):
        message = "--ssl-keyfile and --ssl-certfile need each other"
        raise click.UsageError(message)
    if options["ssl_cafile"] and not options["ssl_keyfile"]:
        message = "--ssl-cafile needs --ssl-keyfile and --ssl-certfile"
        raise click.UsageError(message)
    if options["register"] and options["registry_type"] == "TCP" and not options["registry_host"]:
        message = "--registry-type TCP needs --registry-host: there is no broadcast over TCP"
        raise click.UsageError(message)


def _log_to(path: str | None, level: _Level) -> None:
    from anycore.server.logs import configure
    from anycore.settings.tables import LogSettings

    try:
        stream = open(path, "a", encoding="utf-8") if path else sys.stderr  # noqa: PTH123, SIM115 - until the process ends
    except OSError as error:
        message = f"--logfile: cannot write to {path}: {error.strerror}"
        raise Failure(message, Exit.CONFIGURATION) from error
    configure(LogSettings(level=level), stream)


def _listen(options: dict[str, Any]) -> ListenSettings:
    """Return the listener, if it is one that may be opened."""
    from anycore.settings.tables import ListenSettings
    from anycore.settings.urls import ListenAddress

    tls, authority = bool(options["ssl_keyfile"]), options["ssl_cafile"] or ""
    host = options["host"] or ("::1" if options["ipv6"] else "127.0.0.1")
    port = options["port"] if options["port"] is not None else (18821 if tls else 18812)
    settings = ListenSettings(
        url=ListenAddress("rpycs" if tls else "rpyc", host).with_port(port),
        certificate=options["ssl_certfile"] or "",
        key=options["ssl_keyfile"] or "",
        client_ca=authority,
        client_certificate="required" if authority else "off",
    )
    try:
        address = settings.address
    except ValueError as error:
        message = f"--host: {host!r}: {error}"
        raise click.UsageError(message) from error
    if not address.local and not authority and not options["insecure"]:
        message = (
            f"--host: {host} can be reached from other machines, and everybody there could run any code here; ask for certificates with"
            " --ssl-keyfile, --ssl-certfile and --ssl-cafile, or listen on 127.0.0.1 and let masters come by ssh, or give --insecure"
        )
        raise Failure(message, Exit.CONFIGURATION)
    return settings


def _registries(options: dict[str, Any]) -> Any:
    """Return the client of the registries to register with, or None."""
    if not options["register"]:
        return None
    from anycore.discovery import RegistryAddress, TcpRegistryClient, UdpRegistryClient
    from anycore.discovery.address import BROADCAST

    address = RegistryAddress(options["registry_host"] or BROADCAST, options["registry_port"])
    return (TcpRegistryClient if options["registry_type"] == "TCP" else UdpRegistryClient)([address])


def _announce(host: str, port: int) -> None:
    """Say where, in the words that programs which start RPyC's server wait for."""
    print(f"rpyc-oneshot\n{host}\t{port}", flush=True)
