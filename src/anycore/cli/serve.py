"""`anycore serve`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from anycore.cli.exits import Exit
from anycore.cli.options import SettingsCommand, load, paths_argument, reader, settings_options
from anycore.cli.root import asked_for_tracebacks, show_tracebacks
from anycore.settings.keys import SERVER_SECTIONS

if TYPE_CHECKING:
    from anycore.server.announcement import Announcement
    from anycore.server.process.daemon import Detached
    from anycore.server.process.handover import Command, Predecessor
    from anycore.settings.tables import Settings


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

    SIGTERM or Ctrl-C finishes what runs and stops; a second Ctrl-C stops at once. SIGHUP reads the configuration again,
    SIGUSR2 has a new server take this one's place without losing a request.
    """
    from anycore.server.process.daemon import detach
    from anycore.server.process.handover import Command, predecessor_of_environment

    if asked_for_tracebacks(ctx):
        options["server__debug"] = True
    command = Command.own()
    predecessor = predecessor_of_environment()
    with _telling(lambda error, _: predecessor.failed(error) if predecessor is not None else None):
        settings = load(config, options, paths)
        if settings.server.debug:
            show_tracebacks(ctx)
        detached = detach() if settings.process.daemonize and predecessor is None else None
        with _telling(lambda _, code: detached.failed(code) if detached is not None else None):
            _run(settings, command, predecessor, reader(config, options, paths), detached)


def _run(
    settings: Settings,
    command: Command,
    predecessor: Predecessor | None,
    reread: Callable[[], Settings],
    detached: Detached | None,
) -> None:
    from anycore.cli.banner import show
    from anycore.cli.failures import starting
    from anycore.server.logs import configure
    from anycore.server.process.descriptors import allow_descriptors
    from anycore.server.process.service import Service

    def announce(announcement: Announcement) -> None:
        if detached is not None:
            detached.ready()
        elif predecessor is None:  # where the one before was started, its banner is still right
            show(announcement)

    with starting():
        configure(settings.log)
        allow_descriptors(settings.core_limits.connections)
        Service(settings, command, announce, predecessor, reread).run()


@contextmanager
def _telling(tell: Callable[[str, int], None]) -> Iterator[None]:
    """Tell somebody who waits what the server has failed at, and how the command ends."""
    try:
        yield
    except click.ClickException as error:
        tell(error.message, error.exit_code)
        raise
    except BaseException as error:
        tell(f"{type(error).__name__}: {error}", Exit.BUG)
        raise
