"""The effective configuration as a TOML file that explains itself, and that loads to the same settings again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from anycore.settings.keys import SECTIONS, STANDARD_STREAM, Key, Section, of_section
from anycore.settings.store import STORE, beside
from anycore.settings.tables import Settings
from anycore.settings.values import bare, toml

_HEAD = """\
# The effective configuration of Anycore. Above each key: what it does, its option and environment variable, its default,
# and where its value came from when it is not the default. An option wins over an environment variable, that over this
# file. Relative paths in a file are relative to the file.
"""


def render(settings: Settings) -> str:
    """Write settings as TOML.

    Args:
        settings: The settings.
    """
    parts = [_HEAD]
    for section in SECTIONS:
        for index, table in enumerate(settings.listen if section.name == "listen" else (None,)):
            path = f"{section.name}[{index}]" if table is not None else section.name
            parts.append("\n".join([section.table, *_lines(section, settings, table, path, explain=index == 0)]) + "\n")
    if settings.rules.get("groups"):
        parts.append(_table("[access.groups]", settings.rules["groups"]))
    parts += [_table("[[access.rule]]", rule) for rule in settings.rules.get("rule", ())]
    for name, values in settings.plugin.items():
        parts.append(_table(f"[plugin.{bare(name)}]", values))
    return "\n".join(parts)


def _table(header: str, values: Mapping[str, Any]) -> str:
    return "\n".join([header, *(f"{bare(key)} = {toml(values[key])}" for key in values)]) + "\n"


def _lines(section: Section, settings: Settings, table: Any, path: str, *, explain: bool) -> Iterator[str]:
    for key in of_section(section.name).values():
        if explain:
            yield f"# {key.help}."
        value = getattr(table if table is not None else _holder(settings, key), key.name)
        given = settings.origins.get(f"{path}.{key.name}")
        origin = f"; from {given}" if given else ""
        yield f"# {key.option}, {key.variable}; default: {toml(key.default)}{origin}"
        yield f"{key.name} = {toml(_absolute(key, value))}"


def _holder(settings: Settings, key: Key) -> Any:
    if key.section != "limits":
        return getattr(settings, key.section)
    return settings.limits if key.name in settings.limits.__struct_fields__ else settings.core_limits


def _absolute(key: Key, value: Any) -> Any:
    """Make paths independent of where the file will be."""
    if not key.is_path or value in ("", STANDARD_STREAM):
        return value
    if isinstance(value, str):
        return beside(Path.cwd(), value) if key.path == STORE else str(Path(value).absolute())
    return [str(Path(item).absolute()) if "/" in item or Path(item).exists() else item for item in value]
