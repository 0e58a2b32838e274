"""Serves a registry over UDP, TCP or both: one thread, no socket ever waits. What is answered is in `service`."""

from __future__ import annotations

import contextlib
import logging
import selectors
import socket
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Final, Self

from anycore.discovery.address import DEFAULT_PORT
from anycore.discovery.listeners import Listener, TcpListener, UdpListener
from anycore.discovery.service import RegistryService

_log = logging.getLogger("anycore.discovery")
_FAMILIES: Final = {False: (socket.AF_INET, "0.0.0.0"), True: (socket.AF_INET6, "::")}  # noqa: S104 - a registry is for a network


class RegistryServer:
    """A registry on the network. Its sockets are bound when it is made.

    Args:
        service: What answers.
        modes: `udp`, `tcp`, or both; then they have the same port and the same table.
        host: The address to bind to; all addresses when left out. On one address it gets no broadcasts.
        port: Its port; 0 for a free one.
        ipv6: Whether all addresses are those of IPv6, and of IPv4 where the system has both on one socket.
        max_connections: How many TCP clients there may be at a time; one more, and the one that waits longest is dropped.
        connection_time: Seconds that a TCP client may take.
        grace: Seconds that TCP clients may still take when the server stops.
        clock: Returns seconds that only grow.

    Raises:
        OSError: It cannot be bound there.
    """

    def __init__(
        self,
        service: RegistryService,
        *,
        modes: Sequence[str] = ("udp",),
        host: str = "",
        port: int = DEFAULT_PORT,
        ipv6: bool = False,
        max_connections: int = 64,
        connection_time: float = 3.0,
        grace: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.service = service
        self._clock = clock
        self._grace = grace
        self._thread: threading.Thread | None = None  # the one that serves
        self._stopping = False
        self._ended = threading.Event()
        self._resources = contextlib.ExitStack()
        with contextlib.ExitStack() as stack:
            self._selector = stack.enter_context(selectors.DefaultSelector())
            self._wake_in, self._wake_out = map(stack.enter_context, socket.socketpair())
            self._listeners: list[Listener] = []
            family, any_host = _FAMILIES[ipv6 or ":" in host]
            for mode in sorted(modes):  # TCP first: whether its port is free is known at once
                made: Listener
                if mode == "tcp":
                    made = TcpListener(service, self._selector, max_connections, connection_time, clock)
                else:
                    made = UdpListener(service, self._selector)
                stack.callback(made.close)
                port = made.bind(family, host or any_host, port)
                self._listeners.append(made)
            self._wake_in.setblocking(False)
            self._wake_out.setblocking(False)
            self._selector.register(self._wake_in, selectors.EVENT_READ, self._drain)
            self._resources = stack.pop_all()
        self.host = host or any_host
        self.port = port

    @property
    def urls(self) -> list[str]:
        """Where it listens, for people."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return [f"{listener.mode}://{host}:{self.port}" for listener in self._listeners]

    def start(self) -> None:
        """Serve in a thread until `stop`."""
        self._thread = threading.Thread(target=self.serve, name=f"anycore-registry-{self.port}", daemon=True)
        self._thread.start()

    def serve(self) -> None:
        """Serve in this thread until `stop`; the sockets are closed then."""
        self._thread = threading.current_thread()
        _log.info("the registry listens on %s", ", ".join(self.urls))
        with contextlib.ExitStack() as stack:
            stack.callback(self._ended.set)
            stack.enter_context(self._resources)
            while not self._stopping:
                self._turn(None)
            end = self._clock() + self._grace
            for listener in self._listeners:
                listener.stop_accepting()
            while any(listener.busy for listener in self._listeners) and self._clock() < end:
                self._turn(max(0.0, end - self._clock()))
        _log.info("the registry has stopped")

    def stop(self) -> None:
        """Take no more requests, finish what runs, and wait for that unless this is the server's own thread.

        May be called from any thread, from signal handlers, and again.
        """
        self._stopping = True
        self.wake()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._ended.wait()

    def close(self) -> None:
        """Stop, and close the sockets even if it was never started."""
        self.stop()
        self._resources.close()

    def wake(self) -> None:
        """Have the server look at its clock; for clocks that do not go by themselves."""
        with contextlib.suppress(OSError):  # full: it is about to wake anyway; closed: it has stopped
            self._wake_out.send(b"\0")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _turn(self, timeout: float | None) -> None:
        waits = [self.service.prune(), *(listener.tick() for listener in self._listeners), timeout]
        for key, _ in self._selector.select(min((wait for wait in waits if wait is not None), default=None)):
            if self._selector.get_map().get(key.fd) is key:  # an earlier one of this turn may have closed it
                key.data()

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._wake_in.recv(4096):
                pass
