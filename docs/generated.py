"""Reference text made from the code: settings, commands, exit codes, fault codes, methods of the server. No Sphinx here.

`conf.py` writes it where the pages include it from, and the tests search it for what must be documented.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NoReturn

import click

from anycore.cli.exits import MEANINGS as EXITS
from anycore.cli.options import SettingOption
from anycore.cli.root import COMMANDS, main
from anycore.cores.foreign.unkept import UNKEPT
from anycore.kernel.debugging import Debugging
from anycore.kernel.kernel import Kernel
from anycore.kernel.method import Method
from anycore.kernel.registry import verify
from anycore.server.sessions import Accounts
from anycore.services.debug import Debug
from anycore.services.login import SystemWithChallenge
from anycore.settings.keys import SECTIONS, Key, of_section
from anycore.settings.tables import Settings
from anycore.settings.values import expected, toml
from anycore.wire import faults


def settings() -> str:
    """Return every table of the configuration with its keys."""
    parts: list[str] = []
    for section in SECTIONS:
        parts.append(f"(table-{section.name})=\n## `{section.table}`\n")
        parts += [_key(key) for key in of_section(section.name).values()]
    return "\n".join(parts)


def _key(key: Key) -> str:
    facts = [expected(key), f"default `{toml(key.default)}`", f"`{key.variable}`"]
    facts.append(f"the argument `{key.option}`" if key.option == "PATHS" else f"`{_option(key)}`")
    return f"(setting-{key.path})=\n`{key.name}`\n: {_readable(key.help)}.\n\n  {'; '.join(facts)}\n"


def _option(key: Key) -> str:
    return f"{key.option}, --no-{key.option[2:]}" if isinstance(key.default, bool) else key.option


def commands() -> str:
    """Return every command with its arguments and options."""
    context = click.Context(main, info_name="anycore", **main.context_settings)
    parts = ["## `anycore`\n", _options(main, context)]
    for name in COMMANDS:
        command = main.get_command(context, name)
        assert command is not None
        parts += _command(command, context, name)
    return "\n".join(parts)


def _command(command: click.Command, parent: click.Context, name: str) -> Iterator[str]:
    context = click.Context(command, info_name=name, parent=parent, **command.context_settings)
    yield f"## `{context.command_path}`\n"
    yield f"```text\n{command.get_usage(context).removeprefix('Usage: ')}\n```\n"
    yield _readable(inspect.cleandoc(command.help or "")) + "\n"
    if command.epilog and "\b" in command.epilog:
        lines = command.epilog.replace("\b\n", "").strip().splitlines()
        code = [line for line in lines if not line.endswith(":")]
        yield "```text\n" + textwrap.dedent("\n".join(code)) + "\n```\n"
    yield _options(command, context)
    if isinstance(command, click.Group):
        for sub in command.list_commands(context):
            found = command.get_command(context, sub)
            assert found is not None
            yield from _command(found, context, sub)


def _readable(text: str) -> str:
    """Mark up URLs, which would become links, and quoted text."""
    return re.sub(r"""\b[a-z+]+://[\w/:.-]*\w|\b[a-z+]+://|'"5"'""", lambda found: f"`{found[0]}`", text)


def _options(command: click.Command, context: click.Context) -> str:
    own: list[str] = []
    tables: dict[str, list[str]] = {}
    for param in command.get_params(context):
        if isinstance(param, SettingOption):
            names = ", ".join(f"`{one}`" for one in (*param.opts, *param.secondary_opts))
            tables.setdefault(param.heading, []).append(names)
        elif isinstance(param, click.Option):
            record = param.get_help_record(context)
            assert record is not None
            own.append(f"`{record[0]}`\n: {' '.join(record[1].split())}\n")
    titles = {section.title: section for section in SECTIONS}
    linked = [
        f"[{titles[heading].table}](configuration.md#table-{titles[heading].name})\n: {', '.join(names)}\n"
        for heading, names in tables.items()
    ]
    also = ["And the options of the settings, which [](configuration.md) explains:\n", *linked] if linked else []
    return "\n".join([*own, *also])


def exit_codes() -> str:
    """Return the table of exit codes."""
    rows = [f"| {int(code)} | {text} |" for code, text in EXITS.items()]
    return "\n".join(["| code | meaning |", "|---|---|", *rows]) + "\n"


def fault_codes() -> str:
    """Return the table of fault codes."""
    names = {value: name for name, value in vars(faults).items() if name.isupper() and isinstance(value, int)}
    rows = [f"| {code} | `{names[code]}` | {text} |" for code, text in faults.MEANINGS.items()]
    return "\n".join(["| code | name in `anycore.wire.faults` | meaning |", "|---|---|---|", *rows]) + "\n"


def server_methods() -> str:
    """Return the methods that every server has."""
    return "\n".join(_method(method) for method in system_methods())


def system_methods() -> tuple[Method, ...]:
    """Return the methods of the plugins that are part of every server."""
    kernel = Kernel()
    accounts = Accounts(Settings(), _no_store)
    bundled = (
        SystemWithChallenge(kernel, lambda coroutine: coroutine, login=None, challenger=None),
        accounts.group(),
        Debug(Debugging(kernel, lambda _topic, _payload: None)),
    )
    return tuple(method for plugin in bundled for method in verify(plugin, "anycore").methods)


def _no_store() -> NoReturn:
    message = "nothing is looked up here"
    raise AssertionError(message)


def _method(method: Method) -> str:
    also = f"; also `{'`, `'.join(method.aliases)}`" if method.aliases else ""
    return f"`{method.name}{method.signature}`{also}\n: {method.doc}\n"


def unkept() -> str:
    """Return the table of the promises that others' servers do not keep."""
    rows = [f"| `{core}` | `{check}` | {reason} |" for core, table in UNKEPT.items() for check, reason in table.items()]
    return "\n".join(["| core | promise | why |", "|---|---|---|", *rows]) + "\n"


PARTS: Final[dict[str, Callable[[], str]]] = {
    "settings.md": settings,
    "commands.md": commands,
    "exit-codes.md": exit_codes,
    "fault-codes.md": fault_codes,
    "server-methods.md": server_methods,
    "unkept.md": unkept,
}


def write(folder: Path) -> None:
    """Write all parts, each to a file of its own.

    Args:
        folder: Where to; made if it is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in PARTS.items():
        (folder / name).write_text(make(), encoding="utf-8")
