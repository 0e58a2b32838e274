"""Loading plugins and certificates again in every process of a server: one loads and starts them, then all, and then they serve, in all or none.

The process that serves as number 0 has the word. It loads first: what breaks it breaks no other. The process that makes the others comes
next, so that whoever begins to serve later has the same.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any, Final

import msgspec

from anycore.cores.topics import SUPERVISOR
from anycore.server.shared_plugins import Proposal

if TYPE_CHECKING:
    from pathlib import Path

    from anycore.cores import Core
    from anycore.cores.topics import Answer
    from anycore.server.certificates import Certificates
    from anycore.server.shared_plugins import SharedPlugins

_log = logging.getLogger("anycore.plugins")

_RELOAD: Final = "reload"
_EVERYTHING: Final = "reload.everything"
_FOLLOW: Final = "reload.follow"
_SETTLE: Final = "reload.settle"
_START_SECONDS: Final = 60.0
"""How long plugins may take to start anew in all processes."""


class Reloading:
    """Reloads in all processes. Made before the core runs; any process may ask.

    Args:
        core: The core.
        plugins: The plugins of this process.
        certificates: The certificates of this process.
    """

    def __init__(self, core: Core, plugins: SharedPlugins, certificates: Certificates) -> None:
        self._core = core
        self._plugins = plugins
        self._certificates = certificates
        self._lock = threading.Lock()
        core.on(_RELOAD, lambda everything: self.reload(everything=everything))
        core.on(_EVERYTHING, lambda _: self._everything())
        core.on(_FOLLOW, self._follow)
        core.on(_SETTLE, self._settle)

    def watched(self) -> list[Path]:
        """Return the directories and files whose changes matter to `reload`."""
        return self._plugins.watched()

    def reload(self, *, everything: bool = False) -> list[str]:
        """Bring the plugins in line with their sources, in all processes; see `Plugins.reload`. Not to be called on the loop.

        Args:
            everything: Load every unit that has a path again, changed or not.

        Returns:
            The names of the plugins that were added, swapped or removed.
        """
        if not self._core.several:
            return self._plugins.reload(everything=everything)
        if self._core.number != 0:
            answers = self._core.ask(_RELOAD, everything, worker=0, timeout=3 * _START_SECONDS)
            _lament(answers, "plugins may be as they were")
            return [name for answer in answers for name in answer.value or ()]
        with self._lock:
            return self._coordinate(everything=everything)

    def everything(self) -> None:
        """Have certificates and all plugins loaded again, soon; may be called from a signal handler."""
        if self._core.several:
            self._core.publish(_EVERYTHING)
        else:
            threading.Thread(target=self._everything, name="anycore-reload", daemon=True).start()

    def _everything(self) -> None:
        self._certificates.reload()
        if self._core.number == 0:
            self.reload(everything=True)

    def _coordinate(self, *, everything: bool) -> list[str]:
        proposal = self._plugins.propose(everything=everything)
        if not proposal.units and not proposal.gone:
            return []
        names = set(proposal.units)
        # The answer of this process is among them: it has loaded what it proposes already.
        for worker in (None, SUPERVISOR):
            answers = self._core.ask(_FOLLOW, proposal, worker=worker, timeout=_START_SECONDS)
            if _lament(answers, "the old versions of all plugins go on serving"):
                names = set()
            for answer in answers:
                names &= set(answer.value or ())
            if not names and not proposal.gone:
                break
        for name in sorted(set(proposal.units) - names):
            _log.error("reload: %s could not be loaded by every process; the old version goes on serving in all", name)
        settled = [sorted(names), proposal]
        found = self._core.ask(_SETTLE, settled, worker=SUPERVISOR, timeout=_START_SECONDS)
        found += self._core.ask(_SETTLE, settled, timeout=_START_SECONDS)
        _lament(found, "it may serve another version of plugins than the others")
        return sorted({name for answer in found for name in answer.value or ()})

    def _follow(self, payload: Any) -> list[str]:
        return self._plugins.follow(msgspec.convert(payload, Proposal), start=self._core.number != SUPERVISOR)

    def _settle(self, payload: Any) -> list[str]:
        names, proposal = payload
        return self._plugins.settle(msgspec.convert(proposal, Proposal), names)


def _lament(answers: list[Answer], therefore: str) -> bool:
    """Log which processes have failed; return whether any has."""
    failed = [answer for answer in answers if answer.error]
    for answer in failed:
        _log.error("reload: worker %d: %s; %s", answer.worker, answer.error, therefore)
    return bool(failed)
