"""What is left to do for connections whose threads do not come back when a core ends: their services are told. Cores only."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol

from anycore.cores.loop_thread import CANCEL_SECONDS

if TYPE_CHECKING:
    from collections.abc import Collection


class Forsaken(Protocol):
    """A connection that somebody still works for."""

    def forsake(self) -> None:
        """Tell of the end whom the thread that hangs would have told."""


def forsake(connections: Collection[Forsaken]) -> None:
    """Have the services of connections told of the end, and wait no longer for those that hang at that, too.

    Args:
        connections: Those that have not ended although they were aborted.
    """
    if connections:
        last = threading.Thread(target=_forsake, args=(connections,), name="anycore-last-words", daemon=True)
        last.start()
        last.join(CANCEL_SECONDS)


def _forsake(connections: Collection[Forsaken]) -> None:
    for connection in connections:
        connection.forsake()
