"""Plugins of which several processes have the same: what one of them would load, all do, or none.

A reload has steps: one process makes a proposal, the others follow it, and all settle on what each of them could load. Who says when
lives in `reloading`.
"""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from anycore.dialects.sources import Unit
from anycore.server import changes
from anycore.server.plugins import Plugins

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from anycore.dialects.loader import Loaded
    from anycore.kernel.registry import Entry

_log = logging.getLogger("anycore.plugins")


class Proposal(msgspec.Struct, frozen=True):
    """What a process has loaded and started, and would let serve if the others have it, too.

    Args:
        units: What it has loaded: the versions of its files, by the unit's name.
        gone: Units whose files have gone.
    """

    units: dict[str, str] = {}
    gone: tuple[str, ...] = ()


class SharedPlugins(Plugins):
    """The plugins of one process among several; see `Plugins` for the arguments."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._versions: dict[str, str] = {}
        self._pending: dict[str, Loaded] = {}
        self._proposed = Proposal()

    def load(self) -> None:
        """Import and verify all plugins; see `Plugins.load`."""
        super().load()
        self._versions = {name: _version(loaded.unit) for name, loaded in self._loaded.items()}

    def reconfigure(self, sources: Sequence[str], settings: Mapping[str, Mapping[str, Any]]) -> list[str]:
        """Serve what other sources and tables say; see `Plugins.reconfigure`. In a process that does not serve, make it known only."""
        found = super().reconfigure(sources, settings)
        with self._lock:
            self._versions = {name: _version(loaded.unit) for name, loaded in self._loaded.items()}
        return found

    def enlist(self, others: Iterable[Entry] = ()) -> None:
        """Make the plugins known, without starting them, in a process that does not serve but makes others that do.

        Args:
            others: Plugins that the server brings along.

        Raises:
            PluginRefusedError: When two claim one name.
        """
        self._registry.commit([*others, *(entry for loaded in self._loaded.values() for entry in loaded.entries)])

    def propose(self, *, everything: bool = False) -> Proposal:
        """Load and start what `reload` would, and let nothing of it serve yet.

        Args:
            everything: As in `reload`.
        """
        with self._changing(), self._lock:
            self._discard()
            if not self._serving:
                return Proposal()
            wanted, gone = self._survey(everything=everything)
            self._pending = {unit.name: new for unit in wanted if (new := self._prepare(unit)) is not None}
            units = {name: _version(new.unit) for name, new in self._pending.items()}
            self._proposed = Proposal(units, tuple(loaded.unit.name for loaded in gone))
            self._level = logging.INFO
            return self._proposed

    def follow(self, proposal: Proposal, *, start: bool = True) -> list[str]:
        """Load and start what another process proposes, and let nothing of it serve yet.

        Args:
            proposal: What it proposes.
            start: Whether plugins are started; not so in a process that does not serve.

        Returns:
            The names of the units that could be loaded here, in the version that is proposed.
        """
        with self._changing(), self._lock:
            if proposal != self._proposed or not self._pending:
                self._discard()
                self._proposed = proposal
                self._level = logging.DEBUG  # whoever has proposed it says what becomes of it
                self._survey(everything=False)
                found = (self._follow(name, version, start=start) for name, version in proposal.units.items())
                self._pending = {new.unit.name: new for new in found if new is not None}
            return list(self._pending)

    def _follow(self, name: str, version: str, *, start: bool) -> Loaded | None:
        path = Path(name)
        unit = Unit("package" if path.is_dir() else "file", name, self._origin(name))
        if _version(unit) != version:
            _log.warning("reload: %s has changed again meanwhile; the old version goes on serving", unit.origin)
            return None
        return self._prepare(unit, start=start)

    def _origin(self, name: str) -> str:
        known = self._loaded.get(name)
        return known.unit.origin if known is not None else name

    def settle(self, proposal: Proposal, names: Collection[str]) -> list[str]:
        """Let serve what was proposed, as far as every process could load it; what could not be leaves the old version serving.

        Args:
            proposal: The proposal. A process that has not heard of it loads what it has in another version.
            names: The units that every process could load.

        Returns:
            The names of the plugins that were added, swapped or removed.
        """
        with self._changing(), self._lock:
            if proposal != self._proposed and self._serving:
                self._survey(everything=False)
                missed = [
                    (name, proposal.units[name]) for name in names if self._versions.get(name) != proposal.units[name]
                ]
                found = (self._follow(name, version, start=True) for name, version in missed)
                self._pending = {new.unit.name: new for new in found if new is not None}
            chosen = {name: new for name, new in self._pending.items() if name in names}
            self._pending = {name: new for name, new in self._pending.items() if name not in names}
            self._discard()
            gone = [self._loaded[name] for name in proposal.gone if name in self._loaded]
            return self._exchange(list(chosen.values()), gone)

    def _discard(self) -> None:
        """Stop what was loaded for a proposal that came to nothing."""
        for new in self._pending.values():
            if self._serving:
                self._stop(new.entries)
            new.forget()
        self._pending = {}
        self._proposed = Proposal()

    def _exchange(self, fresh: Sequence[Loaded], gone: Sequence[Loaded]) -> list[str]:
        exchanged = super()._exchange(fresh, gone)
        self._versions.update(
            {new.unit.name: _version(new.unit) for new in fresh if self._loaded.get(new.unit.name) is new}
        )
        return exchanged


def _version(unit: Unit) -> str:
    """Return what tells one version of a unit's files from another."""
    found = sorted((str(path), stamp) for path, stamp in changes.look([unit]).items())
    return hashlib.blake2b(repr(found).encode(), digest_size=8).hexdigest()
