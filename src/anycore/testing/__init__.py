"""The conformance kits that Anycore's own parts pass, shipped so that others' can pass them too, and helpers for tests.

Nothing is imported before it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anycore.testing.certificate import Certifier
    from anycore.testing.codec import check_codec
    from anycore.testing.core import CORE_CHECKS, check_core
    from anycore.testing.memory import MemoryClient, connect
    from anycore.testing.plugin import Example, check_plugin
    from anycore.testing.server import RunningServer, running
    from anycore.testing.store import STORE_CHECKS, check_store

__all__ = [
    "CORE_CHECKS",
    "STORE_CHECKS",
    "Certifier",
    "Example",
    "MemoryClient",
    "RunningServer",
    "check_codec",
    "check_core",
    "check_plugin",
    "check_store",
    "connect",
    "running",
]

_MODULES = {
    "CORE_CHECKS": "core",
    "Certifier": "certificate",
    "Example": "plugin",
    "MemoryClient": "memory",
    "STORE_CHECKS": "store",
    "RunningServer": "server",
    "check_codec": "codec",
    "check_core": "core",
    "check_plugin": "plugin",
    "check_store": "store",
    "connect": "memory",
    "running": "server",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
