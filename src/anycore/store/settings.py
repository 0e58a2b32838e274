"""What can be set about the store, besides its URL, which is in the table `[server]`."""

from __future__ import annotations

import msgspec


class StoreSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table `[store]`: how the store that `store` in [server] names is used.

    Args:
        plugin_keys: Keys that each plugin may keep in it; 0 for no bound.
        plugin_bytes: Bytes that the keys and values of each plugin may take; 0 for no bound.
        expiry_interval: Seconds between two looks for keys whose time to live has ended, which are then removed.
    """

    plugin_keys: int = 1_000_000
    plugin_bytes: int = 256 * 1024 * 1024
    expiry_interval: float = 60.0
