"""Options made from the table of settings. What a value must be like is checked with all other sources, in `anycore.server`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
from click.shell_completion import CompletionItem

from anycore.cores import core_names
from anycore.settings.keys import SECTIONS, Key, keys
from anycore.settings.values import toml

if TYPE_CHECKING:
    from anycore.settings.tables import Settings

if TYPE_CHECKING:
    _ParamType = click.ParamType[Any]
else:
    _ParamType = click.ParamType  # generic only since click 8.4

_METAVARS: Final = {"listen.url": "URL", "server.core": "NAME", "listen.hosts": "NAME", "listen.mode": "MODE"}
_F = TypeVar("_F", bound=Callable[..., Any])


class SettingType(_ParamType):
    """The value of an option as it was typed; completes what can be completed.

    Args:
        key: The setting.
    """

    def __init__(self, key: Key) -> None:
        self.key = key
        self.name = _metavar(key)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:  # noqa: ARG002
        """Return what stands for the value in the help."""
        return self.name

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002
        """Return the values that begin like what was typed."""
        if self.key.is_path:
            return [CompletionItem(incomplete, type="file")]
        values = core_names() if self.key.path == "server.core" else self.key.choices
        return [CompletionItem(value) for value in values if value.startswith(incomplete)]


class SettingOption(click.Option):
    """An option made from a setting.

    Args:
        key: The setting.
        heading: Of the options that it is listed with.
    """

    def __init__(self, key: Key, heading: str) -> None:
        self.heading = heading
        name = key.path.replace(".", "__")
        text = f"{key.help}."
        if isinstance(key.default, bool):
            super().__init__([f"{key.option}/--no-{key.option[2:]}", name], default=None, help=text)
        else:
            if key.default not in ("", ()):
                text += f"  [default: {toml(key.default) if not isinstance(key.default, str) else key.default}]"
            super().__init__([key.option, name], type=SettingType(key), multiple=key.repeated or _lists(key), help=text)


class SettingsCommand(click.Command):
    """A command whose options are listed under headings."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, those of settings below their headings."""
        groups: dict[str, list[tuple[str, str]]] = {"Options": []}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx) if isinstance(param, click.Option) else None
            if record is not None:
                groups.setdefault(getattr(param, "heading", "Options"), []).append(record)
        for heading, records in [*list(groups.items())[1:], ("Options", groups["Options"])]:
            with formatter.section(heading):
                formatter.write_dl(records)


def settings_options(*sections: str) -> Callable[[_F], _F]:
    """Give a command the options of whole tables of the configuration, and `-c`.

    Args:
        *sections: The names of the tables.
    """
    titles = {section.name: section.title for section in SECTIONS}
    made: list[click.Option] = [
        click.Option(
            ["-c", "--config"],
            metavar="FILE",
            shell_complete=lambda _ctx, _param, incomplete: [CompletionItem(incomplete, type="file")],
            help="The configuration file.  [default: $ANYCORE_CONFIG, or anycore.toml if there is one]",
        )
    ]
    wanted = [key for key in keys().values() if key.section in sections and key.option != "PATHS"]
    made += [SettingOption(key, titles[key.section]) for key in wanted]

    def decorate(command: _F) -> _F:
        params = getattr(command, "__click_params__", [])
        command.__click_params__ = [*reversed(made), *params]  # type: ignore[attr-defined]
        return command

    return decorate


def paths_argument(command: _F) -> _F:
    """Give a command the argument PATHS."""
    argument = click.argument(
        "paths",
        nargs=-1,
        metavar="[PATHS]...",
        shell_complete=lambda _ctx, _param, incomplete: [CompletionItem(incomplete, type="file")],
    )
    return argument(command)


def load(
    config: str | None, options: Mapping[str, Any], paths: Iterable[str] = (), sections: tuple[str, ...] | None = None
) -> Settings:
    """Return the settings of a command.

    Args:
        config: What `-c` gave.
        options: What the options of `settings_options` gave.
        paths: What PATHS gave.
        sections: The tables that are wanted; all when left out.

    Raises:
        Failure: When they are wrong.
    """
    from anycore.cli.failures import configuration

    with configuration():
        return reader(config, options, paths, sections)()


def reader(
    config: str | None, options: Mapping[str, Any], paths: Iterable[str] = (), sections: tuple[str, ...] | None = None
) -> Callable[[], Settings]:
    """Return what reads the settings of a command, as often as it is called, and raises `ConfigurationError` when they are wrong.

    Args:
        config: As for `load`.
        options: As for `load`.
        paths: As for `load`.
        sections: As for `load`.
    """
    from anycore.settings.sources import load_settings

    given = {name.replace("__", "."): value for name, value in options.items()}
    given["server.plugins"] = tuple(paths)
    return lambda: load_settings(file=config, options=given, sections=sections)


def _lists(key: Key) -> bool:
    return key.path == "listen.url"


def _metavar(key: Key) -> str:
    if key.path in _METAVARS:
        return _METAVARS[key.path]
    if key.choices:
        return "|".join(key.choices)
    if key.is_path:
        return "FILE"
    return {float: "SECONDS", int: "NUMBER"}.get(type(key.default), "TEXT")
