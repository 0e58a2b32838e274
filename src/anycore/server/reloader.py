"""Watches the plugins' sources and reloads what changed, in a thread of its own."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from watchfiles import watch

if TYPE_CHECKING:
    from pathlib import Path

    from anycore.server.plugins import Plugins
    from anycore.server.reloading import Reloading

_log = logging.getLogger("anycore.plugins")


class Reloader:
    """Calls `Plugins.reload` when a source changes.

    Args:
        plugins: The plugins to keep in line with their sources.
    """

    def __init__(self, plugins: Plugins | Reloading) -> None:
        self._plugins = plugins
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="anycore-reloader", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; a reload under way is finished first."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        watched = self._plugins.watched()
        if not watched:
            _log.warning("reload: no plugin has a file or directory that could be watched")
            return
        try:
            self._watch({path if path.is_dir() else path.parent for path in watched}, any(p.is_dir() for p in watched))
        except Exception:  # noqa: BLE001 - whatever the system has against it, the server goes on
            _log.exception("reload: the sources of the plugins cannot be watched; edits are not served until a restart")

    def _watch(self, folders: set[Path], recursive: bool) -> None:
        first = True
        # A short step: an edit is served well before its author has changed windows.
        for changed in watch(
            *folders,
            stop_event=self._stop,
            debounce=200,
            step=50,
            rust_timeout=500,
            yield_on_timeout=True,
            recursive=recursive,
        ):
            # What was edited before the watch began shows at the first look.
            if changed or first:
                self._reload()
            first = False

    def _reload(self) -> None:
        try:
            self._plugins.reload()
        except Exception:  # noqa: BLE001 - the next edit may cure it; until then what served goes on
            _log.exception("reload failed; what served goes on serving")
