"""`anycore config`."""

from __future__ import annotations

from typing import Any

import click

from anycore.cli.options import SettingsCommand, load, paths_argument, settings_options
from anycore.settings.keys import SERVER_SECTIONS


@click.command(cls=SettingsCommand)
@paths_argument
@settings_options(*SERVER_SECTIONS)
def config(paths: tuple[str, ...], config: str | None, **options: Any) -> None:
    """Print the effective configuration, explained, as a TOML file.

    It says of each setting what it does, its option, environment variable and default, and where its value came from.
    Without any settings it is a file to start from: anycore config > anycore.toml
    """
    from anycore.settings.render import render

    click.echo(render(load(config, options, paths)), nl=False)
