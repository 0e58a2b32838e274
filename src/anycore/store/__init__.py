"""Keys and values that outlive a process: the interface, and where the stores behind it are found. Knows no plugin and no call.

Nothing is imported before it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anycore.store.base import Change, Store, Transaction, Watch
    from anycore.store.errors import QuotaError, StoreError, StoreFullError
    from anycore.store.namespaces import namespace
    from anycore.store.opening import open_store
    from anycore.store.typed import Typed

__all__ = [
    "Change",
    "QuotaError",
    "Store",
    "StoreError",
    "StoreFullError",
    "Transaction",
    "Typed",
    "Watch",
    "namespace",
    "open_store",
]

_MODULES = {
    "Change": "base",
    "QuotaError": "errors",
    "Store": "base",
    "StoreError": "errors",
    "StoreFullError": "errors",
    "Transaction": "base",
    "Typed": "typed",
    "Watch": "base",
    "namespace": "namespaces",
    "open_store": "opening",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
