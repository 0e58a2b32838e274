"""The core that the settings name, with what they say about it. Cores themselves live in `anycore.cores`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from anycore.cores import load_core

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from anycore.cores import Core, CoreLimits, Listener
    from anycore.settings.tables import Settings


def core_of(settings: Settings) -> Callable[[Sequence[Listener], CoreLimits], Core]:
    """Return what makes the core.

    Args:
        settings: All settings.

    Raises:
        LookupError: When there is no such core.
    """
    if settings.server.core != "prefork":
        return load_core(settings.server.core)
    from anycore.cores.prefork import PreforkCore

    return partial(PreforkCore, options=settings.prefork)
