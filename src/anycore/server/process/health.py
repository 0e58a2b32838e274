"""Tells systemd how a server is: figures in the status line, and a sign of life for the watchdog only as long as it serves."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from anycore.server.application import Server
    from anycore.server.process.systemd import Notifier

_STATUS_SECONDS: Final = 10.0


class Health:
    """Looks after a server from a thread of its own, if somebody wants to know.

    Args:
        server: The server.
        notifier: Who is told.
    """

    def __init__(self, server: Server, notifier: Notifier) -> None:
        self._server = server
        self._notifier = notifier
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="anycore-health", daemon=True)

    def start(self) -> None:
        """Begin, where systemd listens."""
        if self._notifier.wanted:
            self._thread.start()

    def stop(self) -> None:
        """End the thread, without waiting for a server that hangs."""
        self._over.set()

    def _run(self) -> None:
        watchdog = self._notifier.watchdog
        interval = min(_STATUS_SECONDS, watchdog / 2) if watchdog else _STATUS_SECONDS
        next_status = 0.0
        while not self._over.wait(interval):
            if watchdog and self.alive(watchdog / 2):
                self._notifier.tell("WATCHDOG")
            if time.monotonic() >= next_status and not self._over.is_set():
                next_status = time.monotonic() + _STATUS_SECONDS
                self._notifier.tell(STATUS=self.status())

    def alive(self, seconds: float) -> bool:
        """Tell whether the thread that sees to connections, and the loop that coroutines run on, have their turns.

        Args:
            seconds: How long to wait for that.
        """
        deadline = time.monotonic() + seconds
        answered = threading.Event()
        core = self._server.core
        core.ping(answered.set)
        if not answered.wait(seconds):
            return False
        if core.several:
            return True  # the loops are in other processes, after which the core looks itself
        with suppress(Exception):
            core.run_coroutine(asyncio.sleep(0), max(0.01, deadline - time.monotonic()))
            return True
        return False

    def status(self) -> str:
        """Return the figures in one line."""
        found = self._server.figures()
        places = ", ".join(self._server.urls)
        return f"serving {places}: {found.connections} connections, {found.in_flight} calls under way, {found.accepted} connections so far"
