"""A store by its URL. What a store does with the rest of the URL is its own affair."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from anycore.store.errors import StoreError

if TYPE_CHECKING:
    from anycore.store.base import Store

STORES: Final[dict[str, str]] = {
    "lmdb": "anycore.store.lmdb.store:open_url",
    "memory": "anycore.store.memory:open_url",
}
"""What opens the stores of a scheme, as `module:attribute`; it is called with what comes after the colon of the URL."""


def open_store(url: str) -> Store:
    """Open a store.

    Args:
        url: `lmdb:/path/of/a/directory`, or `memory:`. Options follow after a question mark: `lmdb:/path?durability=process`.

    Returns:
        The store. It belongs to the process that opens it; after a fork, the child's belongs to the child.

    Raises:
        StoreError: When the URL names no store, or the store cannot be opened.
    """
    scheme, colon, rest = url.partition(":")
    if not colon or scheme not in STORES:
        raise StoreError(
            f"a store {url!r}: expected one of {', '.join(f'{name}:' for name in STORES)}, as in lmdb:/path"
        )
    module, _, attribute = STORES[scheme].partition(":")
    opened: Store = getattr(import_module(module), attribute)(rest)
    return opened
