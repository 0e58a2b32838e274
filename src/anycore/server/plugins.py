"""The plugins of a running server: loaded, started, swapped and stopped. A swap happens between calls, whole or not at all."""

from __future__ import annotations

import inspect
import logging
import threading
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from anycore.dialects.loader import Loaded, load_plugins, load_unit
from anycore.dialects.sources import Unit, directories, find_units
from anycore.kernel.registry import PluginRefusedError
from anycore.server import changes

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from anycore.kernel.plugin import Plugin
    from anycore.kernel.registry import Entry, Registry

_log = logging.getLogger("anycore.plugins")

_DRAIN_SECONDS = 30.0
_DRAIN_STEP = 0.05


class Plugins:
    """Keeps the plugins that the operator named. `reload` and `stop` may be called from any thread.

    Args:
        registry: Where they serve.
        sources: What the operator named; see `find_units`.
        settings: The tables `[plugin.NAME]` of the configuration, by plugin name.
        run_coroutine: Runs a coroutine on the core's loop and waits for it.
        changing: Makes the context in which plugins may be loaded again; see `Core.changing`.

    Attributes:
        equip: Gives a plugin what the server has for it, before it is started.
    """

    def __init__(
        self,
        registry: Registry,
        sources: Sequence[str],
        settings: Mapping[str, Mapping[str, Any]],
        run_coroutine: Callable[[Coroutine[Any, Any, Any]], Any],
        changing: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self.equip: Callable[[Plugin], None] = lambda _: None
        self._changing = changing
        self._registry = registry
        self._sources = tuple(sources)
        self._settings = settings
        self._run_coroutine = run_coroutine
        self._loaded: dict[str, Loaded] = {}
        self._stamps: changes.Stamps = {}
        self._lock = threading.Lock()
        self._serving = False
        self._level = logging.INFO
        self._ended = threading.Event()
        self._retiring: list[threading.Thread] = []

    def load(self) -> None:
        """Import and verify all plugins; none is started.

        Raises:
            PluginRefusedError: With every reason.
        """
        self._stamps = changes.look(find_units(self._sources))
        self._loaded = {loaded.unit.name: loaded for loaded in _load(self._sources, self._settings)}

    def start(self, others: Iterable[Entry] = ()) -> None:
        """Start the plugins and let them serve.

        Args:
            others: Plugins that the server brings along; they are started first.

        Raises:
            PluginRefusedError: When one cannot be started, or two claim one name; none is left running then.
        """
        entries = [*others, *(entry for loaded in self._loaded.values() for entry in loaded.entries)]
        with self._lock:
            self._start(entries)
            try:
                self._registry.commit(entries, without=list(self._registry.entries))
            except PluginRefusedError:
                self._stop(entries)
                raise
            self._serving = True

    def stop(self) -> None:
        """Stop every plugin, the last one started first."""
        with self._lock:
            self._serving = False
            self._ended.set()
            self._stop(list(self._registry.entries.values()))
        for thread in self._retiring:
            thread.join()

    def names(self) -> list[str]:
        """Return the names of the plugins that serve, those that the server brings along included."""
        return sorted(self._registry.entries)

    def reconfigure(self, sources: Sequence[str], settings: Mapping[str, Mapping[str, Any]]) -> list[str]:
        """Serve what other sources and tables say: all of it or, when a plugin is refused, what served before.

        Args:
            sources: What the operator names now.
            settings: The tables `[plugin.NAME]` as they are now.

        Returns:
            The names of the plugins that were added, swapped or removed.

        Raises:
            PluginRefusedError: With every reason.
        """
        with self._changing(), self._lock:
            stamps = changes.look(find_units(sources))
            changes.forget(changes.touched({}, stamps), stamps, find_units(sources))
            fresh = _load(sources, settings)
            old = list(self._loaded.values())
            leaving = [entry.plugin.name for one in old for entry in one.entries]
            if self._serving:
                self._take_over(fresh, leaving)
            elif self._registry.entries:  # other processes serve them, and here they are known
                self._registry.commit([entry for one in fresh for entry in one.entries], without=leaving)
            self._sources, self._settings, self._stamps = tuple(sources), settings, stamps
            self._loaded = {loaded.unit.name: loaded for loaded in fresh}
            if self._serving:
                self._retire(old)
            return sorted({entry.plugin.name for one in (*old, *fresh) for entry in one.entries})

    def _take_over(self, fresh: Sequence[Loaded], leaving: Sequence[str]) -> None:
        """Start plugins and let them serve in place of others."""
        entries = [entry for loaded in fresh for entry in loaded.entries]
        try:
            self._start(entries)
            try:
                self._registry.commit(entries, without=leaving)
            except PluginRefusedError:
                self._stop(entries)
                raise
        except PluginRefusedError:
            for loaded in fresh:
                loaded.forget()
            raise

    def watched(self) -> list[Path]:
        """Return the directories and files whose changes matter to `reload`."""
        units = (loaded.unit.path for loaded in self._loaded.values())
        return sorted({*(path for path in units if path is not None), *directories(self._sources)})

    def reload(self, *, everything: bool = False) -> list[str]:
        """Bring the plugins in line with their sources: load what has changed or is new, drop what has gone.

        An edit that cannot be loaded leaves the old plugin serving; the log says why. Before `start` and after `stop` nothing happens.

        Args:
            everything: Load every unit that has a path again, changed or not.

        Returns:
            The names of the plugins that were added, swapped or removed.
        """
        with self._changing(), self._lock:
            return self._reload(everything) if self._serving else []

    def _reload(self, everything: bool) -> list[str]:
        wanted, gone = self._survey(everything=everything)
        return self._exchange([new for unit in wanted if (new := self._prepare(unit)) is not None], gone)

    def _survey(self, *, everything: bool) -> tuple[list[Unit], list[Loaded]]:
        """Return the units that are to be loaded, and what was loaded of those that have gone."""
        try:
            units = {unit.name: unit for unit in find_units(self._sources) if unit.path is not None}
        except PluginRefusedError as error:
            _log.error("reload: %s", error)
            return [], []
        stamps = changes.look(units.values())
        touched = changes.touched({} if everything else self._stamps, stamps)
        changes.forget(touched, {*stamps, *self._stamps}, units.values())
        self._stamps = stamps
        wanted = [unit for unit in units.values() if unit.name not in self._loaded or changes.concerns(unit, touched)]
        gone = [
            loaded for loaded in self._loaded.values() if loaded.unit.path is not None and loaded.unit.name not in units
        ]
        return wanted, gone

    def _prepare(self, unit: Unit, *, start: bool = True) -> Loaded | None:
        """Load and start a unit; None when it cannot be."""
        new: Loaded | None = None
        try:
            new = load_unit(unit, self._settings)
            if start:
                self._start(new.entries)
        except PluginRefusedError as error:
            self._refuse(unit, error)
            if new is not None:
                new.forget()
            return None
        return new

    def _refuse(self, unit: Unit, error: PluginRefusedError) -> None:
        ending = "the old version goes on serving" if unit.name in self._loaded else "it is left out"
        _log.error("reload: %s; %s", error, ending)

    def _exchange(self, fresh: Sequence[Loaded], gone: Sequence[Loaded]) -> list[str]:
        """Let started units serve in place of their old versions and of units that have gone, in one step if possible."""
        out = [*(self._loaded[new.unit.name] for new in fresh if new.unit.name in self._loaded), *gone]
        entries = [entry for new in fresh for entry in new.entries]
        leaving = [entry.plugin.name for old in out for entry in old.entries]
        try:
            self._registry.commit(entries, without=leaving)
        except PluginRefusedError as error:
            if len(fresh) == 1:
                self._refuse(fresh[0].unit, error)
                self._stop(entries)
                fresh[0].forget()
                return self._exchange([], gone)
            # One of them is to blame, and the others need not suffer.
            parts = [self._exchange([], gone), *(self._exchange([new], []) for new in fresh)]
            return [name for part in parts for name in part]
        self._note(fresh, gone)
        for old in out:
            del self._loaded[old.unit.name]
        self._loaded.update({new.unit.name: new for new in fresh})
        self._retire(out)
        return sorted({*(entry.plugin.name for entry in entries), *leaving})

    def _note(self, fresh: Sequence[Loaded], gone: Sequence[Loaded]) -> None:
        for loaded in (*fresh, *gone):
            what = "removed" if loaded in gone else "swapped" if loaded.unit.name in self._loaded else "added"
            names = ", ".join(entry.plugin.name for entry in loaded.entries)
            _log.log(self._level, "reload: %s from %s %s", names, loaded.unit.origin, what)

    def _retire(self, out: Sequence[Loaded]) -> None:
        """Stop plugins that no longer serve: now, or in a thread of its own once their last calls have ended. What never started is dropped."""
        if not self._serving:
            for old in out:
                old.forget()
            return
        self._retiring = [thread for thread in self._retiring if thread.is_alive()]
        for old in out:
            if any(entry.running for entry in old.entries):
                thread = threading.Thread(target=self._drain, args=(old,), name="anycore-retire", daemon=True)
                self._retiring.append(thread)
                thread.start()
            else:
                self._stop(old.entries)
                old.forget()

    def _drain(self, old: Loaded) -> None:
        deadline = time.monotonic() + _DRAIN_SECONDS
        while any(entry.running for entry in old.entries) and time.monotonic() < deadline:
            if self._ended.wait(_DRAIN_STEP):
                break
        for entry in old.entries:
            if entry.running:
                _log.warning("plugin %s is stopped while %d of its calls still run", entry.plugin.name, entry.running)
        self._stop(old.entries)
        old.forget()

    def _start(self, entries: Sequence[Entry]) -> None:
        for index, entry in enumerate(entries):
            try:
                self.equip(entry.plugin)
                self._settle(entry.plugin.start())
            except (Exception, SystemExit) as error:
                self._stop(entries[:index])
                reason = (
                    f"plugin {entry.plugin.name!r} from {entry.origin} is refused: its start() raised"
                    f" {type(error).__name__}: {error}; correct it, or what it needs"
                )
                raise PluginRefusedError([reason]) from error

    def _stop(self, entries: Sequence[Entry]) -> None:
        for entry in reversed(entries):
            try:
                self._settle(entry.plugin.stop())
            except (Exception, SystemExit):  # noqa: BLE001 - a plugin that cannot stop must not keep the others from stopping
                _log.exception("plugin %s: its stop() failed", entry.plugin.name)

    def _settle(self, result: Any) -> None:
        if inspect.iscoroutine(result):
            self._run_coroutine(result)


def _load(sources: Sequence[str], settings: Mapping[str, Mapping[str, Any]]) -> list[Loaded]:
    """Load plugins, and see that every table of the configuration is for one of them."""
    loaded = load_plugins(sources, settings)
    names = {entry.plugin.name for one in loaded for entry in one.entries}
    unknown = sorted(set(settings) - names)
    if unknown:
        for one in loaded:
            one.forget()
        known = ", ".join(sorted(names)) or "none"
        reason = (
            f"the configuration has a table [plugin.{unknown[0]}], but no such plugin is loaded; loaded are: {known}"
        )
        raise PluginRefusedError([reason])
    return loaded
