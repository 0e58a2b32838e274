"""Cores: how bytes arrive and where work runs. No message format and no plugin is known here.

A core is chosen by name. Others' cores are found through the entry point group `anycore.cores`.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import Final

from anycore.cores.base import Core, CoreLimits, Listener

__all__ = ["BUILT_IN", "Core", "CoreLimits", "Listener", "core_names", "load_core"]

BUILT_IN: Final = {
    "asyncio": "anycore.cores.asyncio:AsyncioCore",
    "cheroot": "anycore.cores.foreign.cheroot:CherootCore",
    "forking": "anycore.cores.forking:ForkingCore",
    "granian": "anycore.cores.foreign.granian:GranianCore",
    "gunicorn": "anycore.cores.foreign.gunicorn:GunicornCore",
    "oneshot": "anycore.cores.oneshot:OneshotCore",
    "pool": "anycore.cores.pool:PoolCore",
    "prefork": "anycore.cores.prefork:PreforkCore",
    "stdio": "anycore.cores.stdio:StdioCore",
    "threaded": "anycore.cores.threaded:ThreadedCore",
    "uvicorn": "anycore.cores.foreign.uvicorn:UvicornCore",
}
_GROUP: Final = "anycore.cores"


def core_names() -> list[str]:
    """Return the names of all cores that are installed."""
    return sorted({*BUILT_IN, *(point.name for point in entry_points(group=_GROUP))})


def load_core(name: str) -> type[Core]:
    """Return the class of a core.

    Args:
        name: A built-in name, or that of an entry point.

    Raises:
        LookupError: When there is no core of that name, or it, or the server that it is, cannot be imported.
    """
    target = BUILT_IN.get(name)
    if target is not None:
        module, _, attribute = target.partition(":")
        try:
            found = getattr(import_module(module), attribute)
        except ModuleNotFoundError as error:
            if (error.name or "anycore").partition(".")[0] == "anycore":
                raise  # a fault of ours, which nothing that can be installed will cure
            message = f"the core {name} needs a package that is not installed ({error}); pip install anycore[{name}]"
            raise LookupError(message) from error
    else:
        points = [point for point in entry_points(group=_GROUP) if point.name == name]
        if not points:
            message = f"there is no core {name!r}; installed are: {', '.join(core_names())}"
            raise LookupError(message)
        try:
            found = points[0].load()
        except (ImportError, AttributeError) as error:
            message = f"core {name!r} ({points[0].value}) cannot be imported: {error}; correct or remove its package"
            raise LookupError(message) from error
    if not (isinstance(found, type) and issubclass(found, Core)):
        message = f"core {name!r} is {found!r}, which is no subclass of anycore.cores.Core"
        raise LookupError(message)  # noqa: TRY004 - to the caller, who gave a name, there is no such core
    return found
