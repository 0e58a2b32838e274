"""The store of a server: opened when it is first needed, in the process that needs it, and rid of what has ended while it is open."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from anycore.settings.store import store_url
from anycore.store import StoreError, namespace, open_store

if TYPE_CHECKING:
    from anycore.kernel.plugin import Plugin
    from anycore.settings.tables import Settings
    from anycore.store import Store

_log = logging.getLogger("anycore.store")


class Storage:
    """What opens the store of a server. May be used by several threads, and by a process that was forked.

    Args:
        settings: All settings.

    Attributes:
        url: Where the store is.
    """

    def __init__(self, settings: Settings) -> None:
        self.url = store_url(settings)
        self._settings = settings.store
        self._opened: dict[str, Store] = {}
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def open(self) -> Store:
        """Return the store, opened if it is not.

        Raises:
            StoreError: When it cannot be opened; the next call tries again.
        """
        found = self._opened.get(self.url)
        if found is not None:
            return found
        # No lock, which a fork at this moment would leave locked for ever: of two threads that open it, one gives way.
        made = open_store(self.url)
        kept = self._opened.setdefault(self.url, made)
        if kept is made:
            _log.debug("%s: opened", made.name)
            self._thread = threading.Thread(target=self._expire, args=(made,), name="anycore-store", daemon=True)
            self._thread.start()
        else:
            made.close()
        return kept

    def part_of(self, name: str) -> Store:
        """Return the part of the store that belongs to a plugin, within its quota.

        Args:
            name: The plugin's name.

        Raises:
            StoreError: When the store cannot be opened.
        """
        bounds = self._settings
        return namespace(
            self.open(),
            f"plugin/{name}",
            quota_bytes=bounds.plugin_bytes or None,
            quota_keys=bounds.plugin_keys or None,
        )

    def equip(self, plugin: Plugin) -> None:
        """Let a plugin have its part of the store, which is opened when the plugin first asks for it.

        Args:
            plugin: The plugin.
        """
        plugin.open_store = lambda: self.part_of(plugin.name)

    def close(self) -> None:
        """Close the store, if it was opened."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join()
        for store in self._opened.values():
            store.close()

    def _expire(self, store: Store) -> None:
        while not self._closing.wait(self._settings.expiry_interval):
            try:
                count = store.expire()
            except StoreError as error:
                _log.warning("keys whose time has ended are not removed: %s", error)
            else:
                if count:
                    _log.debug("%s: removed %d keys whose time has ended", store.name, count)
