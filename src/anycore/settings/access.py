"""The rules that settings lead to: which files they are in, and whether these are right. What rules mean lives in `anycore.access`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anycore.access.model import AccessError
from anycore.access.sources import Sources
from anycore.settings.keys import of_section

if TYPE_CHECKING:
    from anycore.settings.tables import Settings


def sources_of(settings: Settings) -> Sources:
    """Return where the rules of a server come from.

    Args:
        settings: All settings.
    """
    access = settings.access
    return Sources(
        main=settings.file,
        settings=tuple(of_section("access")),
        file=access.file,
        clarens=access.clarens,
        bcfg2=access.bcfg2,
    )


def check_access(settings: Settings) -> list[str]:
    """Return all that is wrong with the rules, one sentence each.

    Args:
        settings: All settings.
    """
    try:
        sources_of(settings).read()
    except AccessError as error:
        return list(error.problems)
    return []
