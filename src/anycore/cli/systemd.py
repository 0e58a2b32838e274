"""`anycore systemd`."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import click

from anycore.cli.exits import Exit
from anycore.cli.failures import Failure, starting
from anycore.cli.options import SettingsCommand, load, paths_argument, settings_options
from anycore.settings.keys import SERVER_SECTIONS


@click.command(cls=SettingsCommand)
@paths_argument
@settings_options(*SERVER_SECTIONS)
@click.option("--unit", metavar="NAME", default="anycore", show_default=True, help="The name of the units.")
@click.option(
    "--write", metavar="DIRECTORY", help="Write the units there, such as /etc/systemd/system, instead of printing them."
)
def systemd(paths: tuple[str, ...], config: str | None, unit: str, write: str | None, **options: Any) -> None:
    """Print a service unit and a socket unit of systemd for a server.

    Give this the options that `anycore serve` would get. systemd opens the sockets, the service runs without any
    privilege, sees little of the machine, and is restarted when it ends or hangs.
    """
    from anycore.server.process.unit import service_unit, socket_unit

    settings = load(config, options, paths)
    with starting():
        units = {
            f"{unit}.service": service_unit(settings, program(), unit, str(Path.cwd())),
            f"{unit}.socket": socket_unit(settings, unit),
        }
    for name, text in units.items():
        if write is None:
            click.echo(f"# {name}\n{text}")
            continue
        path = Path(write) / name
        try:
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            message = f"cannot write {path}: {error.strerror}; name a directory that may be written to"
            raise Failure(message, Exit.USAGE) from error
        click.echo(f"wrote {path}")
    if write is not None:
        click.echo(f"start it with: systemctl daemon-reload && systemctl enable --now {unit}.socket {unit}.service")


def program() -> list[str]:
    """Return how systemd starts this program: by absolute path."""
    started = Path(sys.argv[0])
    found = started if started.name == "anycore" and started.is_file() else shutil.which("anycore")
    return [str(Path(found).absolute())] if found else [sys.executable, "-m", "anycore"]
