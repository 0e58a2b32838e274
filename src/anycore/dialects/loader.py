"""Importing plugins. Every dialect is tried on what was imported; a unit that cannot be used is refused with a full sentence."""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import re
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from anycore.dialects.native import plugin_classes
from anycore.dialects.sources import Unit, find_units
from anycore.kernel.plugin import Plugin
from anycore.kernel.registry import Entry, PluginRefusedError, verify

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import ModuleType

_generations = itertools.count(1)


class Loaded(msgspec.Struct, eq=False):
    """A unit that was imported, and its plugins: verified, neither started nor serving.

    Args:
        unit: What was imported.
        entries: Its plugins.
        module: The module's name in `sys.modules`, for units that have a path.
    """

    unit: Unit
    entries: tuple[Entry, ...]
    module: str = ""

    def forget(self) -> None:
        """Take the module out of `sys.modules`, when another has taken its place."""
        if self.module:
            _forget(self.module)


def load_plugins(sources: Iterable[str], settings: Mapping[str, Mapping[str, Any]] | None = None) -> list[Loaded]:
    """Find, import and verify plugins.

    Args:
        sources: Files, directories, modules and entry points; see `find_units`.
        settings: The tables `[plugin.NAME]` of the configuration, by plugin name.

    Raises:
        PluginRefusedError: With every reason of every unit at once.
    """
    loaded: list[Loaded] = []
    reasons: list[str] = []
    for unit in find_units(sources):
        try:
            loaded.append(load_unit(unit, settings or {}))
        except PluginRefusedError as error:
            reasons += error.reasons
    if reasons:
        for good in loaded:
            good.forget()
        raise PluginRefusedError(reasons)
    return loaded


def load_unit(unit: Unit, settings: Mapping[str, Mapping[str, Any]]) -> Loaded:
    """Import one unit and verify its plugins.

    Args:
        unit: What to import. A unit with a path is imported anew each time, under a name of its own.
        settings: The tables `[plugin.NAME]` of the configuration, by plugin name.

    Raises:
        PluginRefusedError: With every reason.
    """
    try:
        module, classes = _import(unit)
    except (Exception, SystemExit) as error:
        raise PluginRefusedError([_import_failure(unit, error)]) from error
    loaded = Loaded(unit, (), module.__name__ if unit.path is not None else "")
    reasons: list[str] = []
    if not classes:
        reasons.append(
            f"{unit.origin} is refused: it defines no plugin; write `class Name(Plugin)` with methods marked @exposed, or"
            " start the file's name with an underscore if it is only a helper",
        )
    entries = [entry for cls in classes if (entry := _instance(cls, unit, settings, reasons)) is not None]
    if reasons:
        loaded.forget()
        raise PluginRefusedError(reasons)
    loaded.entries = tuple(entries)
    return loaded


def _instance(
    cls: type[Plugin], unit: Unit, settings: Mapping[str, Mapping[str, Any]], reasons: list[str]
) -> Entry | None:
    try:
        plugin = cls()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a constructor may raise anything
        reasons.append(
            f"plugin {cls.name!r} from {unit.origin} is refused: its constructor raised {type(error).__name__}: {error};"
            " it is called without arguments, and what can fail belongs into start()",
        )
        return None
    try:
        return verify(plugin, unit.origin, settings.get(plugin.name))
    except PluginRefusedError as error:
        reasons += error.reasons
        return None


def _import(unit: Unit) -> tuple[ModuleType, list[type[Plugin]]]:
    path = unit.path
    if path is not None:
        module = _import_path(path)
        return module, plugin_classes(module)
    name, _, attribute = unit.name.partition(":")
    module = importlib.import_module(name)
    if not attribute:
        return module, plugin_classes(module)
    cls = getattr(module, attribute)
    if not (isinstance(cls, type) and issubclass(cls, Plugin)):
        message = f"{attribute} is {cls!r}, which is no subclass of anycore.Plugin"
        raise TypeError(message)
    return module, [cls]


def _import_path(path: Path) -> ModuleType:
    """Import a file or package under a name that no other import has, so that an old and a new version can live side by side."""
    file = path / "__init__.py" if path.is_dir() else path
    # Without dots, which would make it a part of a package.
    name = f"anycore_plugin_{next(_generations)}_{re.sub(r'[^0-9A-Za-z_]', '_', path.stem)}"
    spec = importlib.util.spec_from_file_location(
        name, file, submodule_search_locations=[str(path)] if path.is_dir() else None
    )
    if spec is None or spec.loader is None:
        message = f"{file} cannot be imported as a module"
        raise ImportError(message)
    folder = str(path.parent)
    if folder not in sys.path:
        sys.path.append(folder)  # at the end: helpers beside a plugin are found, and shadow nothing
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        # Compiled here rather than by the loader, whose cache takes two edits within one second for one.
        exec(compile(file.read_bytes(), str(file), "exec", dont_inherit=True), module.__dict__)  # noqa: S102 - plugins are code
    except BaseException:
        _forget(name)
        raise
    return module


def _forget(module: str) -> None:
    for name in [name for name in sys.modules if name == module or name.startswith(f"{module}.")]:
        del sys.modules[name]


def _import_failure(unit: Unit, error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        where = f"{error.filename}, line {error.lineno}" if error.filename else unit.origin
        return f"{unit.origin} is refused: {where}: {error.msg}; correct the syntax"
    own = {str(file) for file in unit.files()}
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in own]
    where = f"{frames[-1].filename}, line {frames[-1].lineno}: " if frames else ""
    if isinstance(error, OSError) and not frames:
        return f"{unit.origin} is refused: it cannot be read: {error.strerror}; see that it is there and readable for the user that serves"
    cure = "install what it imports" if isinstance(error, ImportError) else "correct it"
    return f"{unit.origin} is refused: {where}importing it raised {type(error).__name__}: {error}; {cure}"
