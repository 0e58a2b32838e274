"""`rpyc.utils.teleportation`: functions as values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from anycore.rpyc import teleport
from anycore.rpyc.teleport import export_function

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["export_function", "import_function"]


def import_function(
    functup: tuple[Any, ...],
    globals: dict[str, Any] | None = None,  # noqa: A002 - RPyC's name
    def_: bool = True,
) -> Callable[..., Any]:
    """Put a function together again; see `anycore.rpyc.teleport.import_function`.

    Args:
        functup: What `export_function` made.
        globals: Its globals.
        def_: Whether it is given its name there.
    """
    return teleport.import_function(functup, globals, def_)
