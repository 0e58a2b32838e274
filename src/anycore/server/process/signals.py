"""The signals of a server: SIGTERM and SIGINT stop it, SIGHUP reloads, SIGUSR2 has another one take its place."""

from __future__ import annotations

import logging
import os
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from anycore.server.application import Server

_log = logging.getLogger("anycore.server")


def install(server: Server, reload: Callable[[], None], restart: Callable[[], None] | None = None) -> None:
    """Have signals heeded. Only the main thread can, and only the process that this is called in heeds the last two.

    Args:
        server: What SIGTERM and SIGINT stop. A second SIGINT ends the process at once.
        reload: What SIGHUP does; it returns at once.
        restart: What SIGUSR2 does, likewise; nothing when left out.
    """
    own = os.getpid()

    def stop(number: int, _frame: object) -> None:
        if server.ready:
            _log.info("%s: finishing what runs", signal.Signals(number).name)
            server.stop()
        elif number == signal.SIGINT and not server.retiring:
            _log.warning("interrupted again: calls under way are cut off")
            os._exit(130)
        else:
            server.stop()

    def heed(does: Callable[[], None]) -> Callable[[int, object], None]:
        return lambda *_: does() if os.getpid() == own else None

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, heed(reload))
        signal.signal(signal.SIGUSR2, heed(restart or (lambda: None)))
