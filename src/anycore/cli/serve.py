"""`anycore serve`."""

from __future__ import annotations

from typing import Any

import click

from anycore.cli.options import SettingsCommand, load, paths_argument, settings_options
from anycore.cli.root import asked_for_tracebacks, show_tracebacks
from anycore.settings.keys import SERVER_SECTIONS


@click.command(
    cls=SettingsCommand,
    epilog="Every option is also a key of the configuration file and an environment variable: --idle-time is idle_time"
    " below [limits], and ANYCORE_LIMITS_IDLE_TIME. `anycore config` shows them all.",
)
@paths_argument
@settings_options(*SERVER_SECTIONS)
@click.pass_context
def serve(ctx: click.Context, /, paths: tuple[str, ...], config: str | None, **options: Any) -> None:
    """Serve plugins until told to stop.

    PATHS are Python files, directories of them, installed modules, or names of entry points. They take the place of
    `plugins` in the configuration file. Without any, the server has only the plugins that it brings along.

    SIGTERM or Ctrl-C finishes what runs and stops; a second Ctrl-C stops at once.
    """
    if asked_for_tracebacks(ctx):
        options["server__debug"] = True
    settings = load(config, options, paths)
    if settings.server.debug:
        show_tracebacks(ctx)

    from anycore.cli.banner import show
    from anycore.cli.failures import starting
    from anycore.server.application import Server
    from anycore.server.logs import configure

    with starting():
        configure(settings.log)
        Server(settings, announce=show).run()
