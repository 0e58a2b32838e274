"""Keeps a server registered: a thread that registers it again and again, and takes it back at the end."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Final, Self

from anycore.discovery.client import NoAnswerError, RegistryClient
from anycore.wire.registry import Port, Register, encode_request

_log = logging.getLogger("anycore.discovery")

INTERVAL: Final = 60.0
"""Seconds between registrations; registries forget after 240."""
RETRY: Final = 1.0


class Registration:
    """Registers services when started, and every minute from then on; every second while no registry answers.

    Args:
        client: Knows the registries.
        names: The services, in upper or lower case.
        port: Where they are: a TCP port, or the path of a Unix socket.
        interval: Seconds from a registration to the next one.
        retry: Seconds from a failed registration to the next attempt.
        wait: Waits so many seconds and returns True, early, when it is to end; for tests.

    Raises:
        LocalProtocolError: The names do not fit into a datagram.
    """

    def __init__(
        self,
        client: RegistryClient,
        names: Iterable[str],
        port: Port,
        *,
        interval: float = INTERVAL,
        retry: float = RETRY,
        wait: Callable[[float], bool] | None = None,
    ) -> None:
        self.names = tuple(name.upper() for name in names)
        self.port = port
        encode_request(Register(self.names, port))  # now rather than in the thread
        self.registered = threading.Event()
        """Set while the last attempt has succeeded."""
        self._client = client
        self._interval = interval
        self._retry = retry
        self._stopped = threading.Event()
        self._wait = wait or self._stopped.wait
        self._ever = False
        self._withdraw = True
        self._failing = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin, in a thread."""
        self._thread = threading.Thread(target=self._run, name=f"anycore-registration-{self.port}", daemon=True)
        self._thread.start()

    def stop(self, *, withdraw: bool = True) -> None:
        """Take the registration back and end; takes as long as the client's timeout when no registry answers.

        Args:
            withdraw: Whether to take it back: not where another server goes on at the same port.
        """
        self._withdraw = withdraw
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._attempt()
            if self._wait(self._interval if self.registered.is_set() else self._retry):
                break
        if self._ever and self._withdraw:  # whatever the last attempt came to: an earlier one may still be valid
            self._leave()

    def _attempt(self) -> None:
        try:
            confirmed = self._client.register(self.names, self.port)
        except NoAnswerError as error:
            if not self._failing:
                _log.warning("%s is not registered: %s; trying every %g s", ", ".join(self.names), error, self._retry)
            self._failing = True
            self.registered.clear()
            return
        if self._failing or not self._ever:
            _log.info("registered %s with %s", ", ".join(self.names), ", ".join(map(str, confirmed)))
        self._ever = True
        self._failing = False
        self.registered.set()

    def _leave(self) -> None:
        self.registered.clear()
        try:
            self._client.unregister(self.port)
        except NoAnswerError as error:
            _log.warning("%s may still be listed for some minutes: %s", ", ".join(self.names), error)
