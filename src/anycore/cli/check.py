"""`anycore check`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from anycore.cli.exits import Exit
from anycore.cli.failures import Failure, starting
from anycore.cli.options import SettingsCommand, load, paths_argument, settings_options
from anycore.settings.keys import SERVER_SECTIONS

if TYPE_CHECKING:
    from anycore.kernel.registry import Entry
    from anycore.settings.tables import Settings


@click.command(cls=SettingsCommand)
@paths_argument
@settings_options(*SERVER_SECTIONS)
def check(paths: tuple[str, ...], config: str | None, **options: Any) -> None:
    """Check the configuration and the plugins without serving.

    Settings are verified, certificates read, plugins imported and verified, but not started; no address is bound, so
    a server may go on running. What would be served is printed.
    """
    from rich.console import Console

    from anycore.cli.banner import barren_lines, plugin_lines
    from anycore.server.certificates import expiries, warnings
    from anycore.server.enrolment import enrolment_of
    from anycore.server.introduction import introduce
    from anycore.server.tls import tls_context
    from anycore.settings.access import sources_of
    from anycore.store import open_store

    settings = load(config, options, paths)
    with starting():
        for listener in settings.listen:
            tls_context(listener)
        enrolment_of(settings.enrolment, lambda: open_store("memory:"))
        entries = _entries(settings)
    urls = [listener.url for listener in settings.listen]
    console = Console(highlight=False, soft_wrap=True)
    console.print(
        f"configuration: {settings.file or 'no file'}; core: {settings.server.core}; listeners: {', '.join(urls)}"
    )
    for rules in sources_of(settings).read():
        console.print(f"rules: {sum(map(len, rules.sections))} from {rules.name}")
    introduction = introduce(settings.server.core, urls, entries, sources=settings.server.plugins)
    for line in [*plugin_lines(introduction.plugins), *barren_lines(introduction.barren)]:
        console.print(line)
    ending = warnings(expiries((listener.url, listener) for listener in settings.listen))
    for _, message in ending:
        console.print(f"warning: {message}", markup=False)
    console.print("all is well" if not ending else "all is well, but for what ends")


def _entries(settings: Settings) -> list[Entry]:
    """Load the plugins and see that they can serve together."""
    from anycore.dialects.loader import load_plugins
    from anycore.kernel.registry import Registry
    from anycore.services import NAMES
    from anycore.settings.problems import did_you_mean

    loaded = load_plugins(settings.server.plugins, settings.plugin)
    entries = [entry for unit in loaded for entry in unit.entries]
    Registry().commit(entries)
    bundled = NAMES if settings.enrolment.ca else NAMES - {"enrolment"}
    taken = [
        f"plugin {entry.plugin.name!r} from {entry.origin} is refused: anycore has a plugin of that name already; set the class"
        " attribute `name` to another name"
        for entry in entries
        if entry.plugin.name in bundled
    ]
    if taken:
        raise Failure("\n".join(taken), Exit.STARTUP)
    names = [entry.plugin.name for entry in entries]
    unknown = [name for name in settings.plugin if name not in names]
    if unknown:
        problems = [
            f"{settings.file}: plugin.{name}: no such plugin is loaded; {did_you_mean(name, names)}" for name in unknown
        ]
        raise Failure("\n".join(problems), Exit.CONFIGURATION)
    return entries
