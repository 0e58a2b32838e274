"""The plugins of a running server: loaded, started, swapped and stopped. A swap happens between calls, whole or not at all."""

from __future__ import annotations

import importlib
import inspect
import logging
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anycore.dialects.loader import Loaded, load_plugins, load_unit
from anycore.dialects.sources import Unit, directories, find_units
from anycore.kernel.registry import PluginRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence

    from anycore.kernel.registry import Entry, Registry

_log = logging.getLogger("anycore.plugins")

_DRAIN_SECONDS = 30.0
_FIRST_LOOK_SECONDS = 0.05


class Plugins:
    """Keeps the plugins that the operator named.

    Args:
        registry: Where they serve.
        sources: What the operator named; see `find_units`.
        settings: The tables `[plugin.NAME]` of the configuration, by plugin name.
        run_coroutine: Runs a coroutine on the core's loop and waits for it.
    """

    def __init__(
        self,
        registry: Registry,
        sources: Sequence[str],
        settings: Mapping[str, Mapping[str, Any]],
        run_coroutine: Callable[[Coroutine[Any, Any, Any]], Any],
    ) -> None:
        self._registry = registry
        self._sources = tuple(sources)
        self._settings = settings
        self._run_coroutine = run_coroutine
        self._loaded: dict[str, Loaded] = {}
        self._stamps: dict[Path, tuple[int, int]] = {}

    def load(self) -> None:
        """Import and verify all plugins; none is started.

        Raises:
            PluginRefusedError: With every reason.
        """
        self._stamps = self._look()
        self._loaded = {loaded.unit.name: loaded for loaded in load_plugins(self._sources, self._settings)}
        names = {entry.plugin.name for loaded in self._loaded.values() for entry in loaded.entries}
        unknown = sorted(set(self._settings) - names - set(self._registry.entries))
        if unknown:
            known = ", ".join(sorted(names)) or "none"
            reason = f"the configuration has a table [plugin.{unknown[0]}], but no such plugin is loaded; loaded are: {known}"
            raise PluginRefusedError([reason])

    def start(self, others: Iterable[Entry] = ()) -> None:
        """Start the plugins and let them serve.

        Args:
            others: Plugins that the server brings along; they are started first.

        Raises:
            PluginRefusedError: When one cannot be started, or two claim one name; none is left running then.
        """
        entries = [*others, *(entry for loaded in self._loaded.values() for entry in loaded.entries)]
        started = self._start(entries)
        try:
            self._registry.commit(entries)
        except PluginRefusedError:
            self._stop(started)
            raise

    def stop(self) -> None:
        """Stop every plugin, the last one started first."""
        self._stop(list(self._registry.entries.values()))

    def watched(self) -> list[Path]:
        """Return the directories and files whose changes matter to `reload`."""
        units = (loaded.unit.path for loaded in self._loaded.values())
        return sorted({*(path for path in units if path is not None), *directories(self._sources)})

    def reload(self, *, everything: bool = False) -> list[str]:
        """Bring the plugins in line with their sources: load what has changed or is new, drop what has gone.

        An edit that cannot be loaded leaves the old plugin serving; the log says why.

        Args:
            everything: Load every unit that has a path again, changed or not.

        Returns:
            The names of the plugins that were added, swapped or removed.
        """
        try:
            units = {unit.name: unit for unit in find_units(self._sources) if unit.path is not None}
        except PluginRefusedError as error:
            _log.error("reload: %s", error)
            return []
        stamps = self._look()
        touched = {path for path in {*stamps, *self._stamps} if stamps.get(path) != self._stamps.get(path)}
        self._stamps = stamps
        self._forget_helpers(touched, units)
        changed: list[str] = []
        for unit in units.values():
            if everything or unit.name not in self._loaded or self._concerns(unit, touched):
                changed += self._swap(unit)
        gone = [
            loaded for loaded in self._loaded.values() if loaded.unit.path is not None and loaded.unit.name not in units
        ]
        for loaded in gone:
            changed += self._drop(loaded)
        return changed

    def _look(self) -> dict[Path, tuple[int, int]]:
        """Return the modification time and size of every Python file that plugins may be made of."""
        stamps: dict[Path, tuple[int, int]] = {}
        files = {path for unit in find_units(self._sources) for path in unit.files()}
        files |= {path for directory in directories(self._sources) for path in directory.resolve().glob("*.py")}
        for path in files:
            try:
                found = path.stat()
            except OSError:
                continue  # it went away between the two looks; the next one settles it
            stamps[path] = (found.st_mtime_ns, found.st_size)
        return stamps

    @staticmethod
    def _concerns(unit: Unit, touched: set[Path]) -> bool:
        """Tell whether touched files are the unit's own, or helpers beside it."""
        path = unit.path
        assert path is not None
        return any(
            file == path or path in file.parents or (file.parent == path.parent and file.name.startswith("_"))
            for file in touched
        )

    @staticmethod
    def _forget_helpers(touched: set[Path], units: Mapping[str, Unit]) -> None:
        """Take changed helper modules out of `sys.modules`, so that plugins import them anew."""
        helpers = {str(path) for path in touched if str(path) not in units}
        for name, module in list(sys.modules.items()):
            if getattr(module, "__file__", None) in helpers and not name.startswith("anycore_plugin_"):
                del sys.modules[name]
        importlib.invalidate_caches()

    def _swap(self, unit: Unit) -> list[str]:
        old = self._loaded.get(unit.name)
        old_entries = old.entries if old is not None else ()
        try:
            new = load_unit(unit, self._settings)
            started = self._start(new.entries)
        except PluginRefusedError as error:
            _log.error("reload: %s; %s", error, "the old version goes on serving" if old else "it is left out")
            return []
        try:
            self._registry.commit(new.entries, without=[entry.plugin.name for entry in old_entries])
        except PluginRefusedError as error:
            self._stop(started)
            new.forget()
            _log.error("reload: %s; %s", error, "the old version goes on serving" if old else "it is left out")
            return []
        self._loaded[unit.name] = new
        self._retire(old_entries)
        if old is not None:
            old.forget()
        names = [entry.plugin.name for entry in new.entries]
        _log.info("reload: %s from %s %s", ", ".join(names), unit.origin, "swapped" if old else "added")
        return sorted({*names, *(entry.plugin.name for entry in old_entries)})

    def _drop(self, loaded: Loaded) -> list[str]:
        names = [entry.plugin.name for entry in loaded.entries]
        self._registry.commit((), without=names)
        del self._loaded[loaded.unit.name]
        self._retire(loaded.entries)
        loaded.forget()
        _log.info("reload: %s from %s removed", ", ".join(names), loaded.unit.origin)
        return names

    def _retire(self, entries: Sequence[Entry]) -> None:
        """Stop plugins that no longer serve, once their last calls have ended."""
        if not entries:
            return
        deadline = time.monotonic() + _DRAIN_SECONDS
        # A call may have found the old method just before the swap and not have been counted yet: look twice.
        time.sleep(_FIRST_LOOK_SECONDS)
        while any(entry.running for entry in entries) and time.monotonic() < deadline:
            time.sleep(_FIRST_LOOK_SECONDS)
        for entry in entries:
            if entry.running:
                _log.warning("plugin %s is stopped while %d of its calls still run", entry.plugin.name, entry.running)
        self._stop(entries)

    def _start(self, entries: Sequence[Entry]) -> list[Entry]:
        started: list[Entry] = []
        for entry in entries:
            try:
                self._settle(entry.plugin.start())
            except Exception as error:
                self._stop(started)
                reason = (
                    f"plugin {entry.plugin.name!r} from {entry.origin} is refused: its start() raised"
                    f" {type(error).__name__}: {error}; correct it, or what it needs"
                )
                raise PluginRefusedError([reason]) from error
            started.append(entry)
        return started

    def _stop(self, entries: Sequence[Entry]) -> None:
        for entry in reversed(entries):
            try:
                self._settle(entry.plugin.stop())
            except Exception:  # noqa: BLE001 - a plugin that cannot stop must not keep the others from stopping
                _log.exception("plugin %s: its stop() failed", entry.plugin.name)

    def _settle(self, result: Any) -> None:
        if inspect.iscoroutine(result):
            self._run_coroutine(result)
