"""The TOML file: found, parsed, and its values checked one by one. What values must fulfil together lives in `verify`."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from anycore.settings.keys import SECTIONS, STANDARD_STREAM, Key, keys, of_section
from anycore.settings.origins import Given, Origin
from anycore.settings.problems import did_you_mean
from anycore.settings.store import STORE, beside
from anycore.settings.values import UnfitError, fit

FILE: Final = "anycore.toml"
VARIABLE: Final = "ANYCORE_CONFIG"
_PLUGIN_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_AT: Final = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)\Z")


class Document:
    """What a configuration file says.

    Args:
        file: The file, or None for an empty document.
        sections: The tables that are wanted, or None for all.

    Attributes:
        given: Values by path, without those of listeners.
        listeners: The values of each `[[listen]]` by path.
        plugin: The tables `[plugin.NAME]` by name, unchecked.
        rules: What `[access]` has besides settings, unchecked: rules are read, and all else refused, by `anycore.access`.
        problems: What is wrong.
        readable: Whether the file is TOML at all.
    """

    def __init__(self, file: Path | None, sections: Sequence[str] | None = None) -> None:
        self.file = file
        self.given: dict[str, Given] = {}
        self.listeners: list[dict[str, Given]] = []
        self.plugin: dict[str, dict[str, Any]] = {}
        self.rules: dict[str, Any] = {}
        self.problems: list[str] = []
        tables = _parse(file, self.problems) if file is not None else {}
        self.readable = not self.problems
        for name, table in tables.items():
            if sections is None or name in sections:
                self._read(name, table)

    def _read(self, name: str, table: Any) -> None:
        if name == "plugin":
            self._read_plugins(table)
        elif not of_section(name):
            self.problems.append(f"{self.file}: {name}: {_no_such_table(name)}")
        elif name == "listen":
            self._read_listeners(table)
        elif isinstance(table, Mapping):
            self.given.update(self._read_table(name, table, name))
        else:
            self._not_a_table(name, f"[{name}]")

    def _read_plugins(self, tables: Any) -> None:
        if not isinstance(tables, Mapping):
            self._not_a_table("plugin", "[plugin.NAME]")
            return
        for name, table in tables.items():
            if isinstance(table, Mapping) and _PLUGIN_NAME.match(name):
                self.plugin[name] = dict(table)
            else:
                self._not_a_table(f"plugin.{name}", "[plugin.NAME], with the name of a plugin,")

    def _read_listeners(self, tables: Any) -> None:
        if not isinstance(tables, list) or not all(isinstance(table, Mapping) for table in tables):
            self._not_a_table("listen", "[[listen]], in double brackets,")
            return
        for index, table in enumerate(tables):
            self.listeners.append(self._read_table("listen", table, f"listen[{index}]"))

    def _not_a_table(self, path: str, header: str) -> None:
        self.problems.append(f"{self.file}: {path}: expected a table; write {header} and its keys below")

    def _read_table(self, section: str, table: Mapping[str, Any], path: str) -> dict[str, Given]:
        known = of_section(section)
        found: dict[str, Given] = {}
        for name, value in table.items():
            key = known.get(name)
            if key is None and section == "access":
                self.rules[name] = value
                continue
            if key is None:
                self.problems.append(f"{self.file}: {path}.{name}: there is no such key; {_meant(name, known)}")
                continue
            origin = Origin("file", f"{self.file}: {path}.{name}")
            try:
                found[key.path] = Given(self._beside(key, fit(key, value)), origin)
            except UnfitError as error:
                self.problems.append(f"{origin.place}: {error}; write e.g. {origin.assign(key, key.example)}")
        return found

    def _beside(self, key: Key, value: Any) -> Any:
        """Take relative paths as relative to the file."""
        assert self.file is not None
        folder = self.file.parent
        if not key.is_path or value in ("", STANDARD_STREAM):
            return value
        if isinstance(value, str):
            return beside(folder, value) if key.path == STORE else str(folder / Path(value).expanduser())
        return tuple(_source(folder, source) for source in value)


def find_file(named: str | None, environment: Mapping[str, str]) -> Path | None:
    """Return the configuration file, or None when there is none.

    Args:
        named: The file that was asked for, if any.
        environment: The environment.
    """
    if named is None:
        named = environment.get(VARIABLE) or None
    if named is not None:
        return Path(named)
    file = Path(FILE)
    return file if file.exists() else None


def _parse(file: Path, problems: list[str]) -> dict[str, Any]:
    try:
        text = file.read_bytes().decode()
        return tomllib.loads(text)
    except OSError as error:
        problems.append(f"{file}: cannot be read: {error.strerror}; check the path, or leave out -c and {VARIABLE}")
    except UnicodeDecodeError as error:
        problems.append(f"{file}: byte {error.start} is not UTF-8, which TOML must be; save the file as UTF-8")
    except tomllib.TOMLDecodeError as error:
        problems.append(_syntax(file, text, str(error)))
    except RecursionError:
        problems.append(f"{file}: is nested too deeply; write fewer lists or tables inside of each other")
    return {}


def _syntax(file: Path, text: str, said: str) -> str:
    at = _AT.search(said)
    reason = _AT.sub("", said)
    reason = reason[:1].lower() + reason[1:]
    if at is None or at[1] is None:
        return f"{file}: at its end: {reason}; correct the TOML there"
    lines = text.splitlines()
    number = int(at[1])
    shown = f": {lines[number - 1].strip()[:80]}" if number <= len(lines) else ""
    return f"{file}: line {at[1]}, column {at[2]}: {reason}; correct the TOML there{shown}"


def _source(folder: Path, source: str) -> str:
    """A source of plugins may also be the name of a module or an entry point, which is left alone."""
    beside = folder / Path(source).expanduser()
    return (
        str(beside) if "/" in source or source.endswith(".py") or source in (".", "..") or beside.exists() else source
    )


def _no_such_table(name: str) -> str:
    if name in {key.name for key in keys().values()}:
        return f"there is no such key outside of a table; {_elsewhere(name)}"
    return f"there is no such table; {did_you_mean(name, [*(section.name for section in SECTIONS), 'plugin'])}"


def _meant(name: str, known: Mapping[str, Key]) -> str:
    return _elsewhere(name) or did_you_mean(name, list(known))


def _elsewhere(name: str) -> str:
    found = [key for key in keys().values() if key.name == name]
    tables = {section.name: section.table for section in SECTIONS}
    return f"{name} belongs below {' or '.join(tables[key.section] for key in found)}" if found else ""
