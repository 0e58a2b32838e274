"""A server in a thread, on real sockets, and connections that are closed at the end of the test."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from anycore.objects.connection import Connection
from anycore.rpyc import connecting
from anycore.rpyc.starting import serve_socket


class Loopback:
    """Listens on this machine and serves each connection in a thread."""

    def __init__(
        self, service: Any, config: dict[str, Any] | None, wrap: Callable[[socket.socket], socket.socket]
    ) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self._service, self._config, self._wrap = service, config, wrap
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                accepted, _ = self.listener.accept()
            except OSError:
                return
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._threads.append(threading.Thread(target=self._serve, args=(accepted,)))
            self._threads[-1].start()

    def _serve(self, accepted: socket.socket) -> None:
        try:
            wrapped = self._wrap(accepted)
        except OSError:
            accepted.close()
            return
        serve_socket(wrapped, self._service, self._config)

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive(), "a connection was left open"


@pytest.fixture
def serve() -> Iterator[Callable[..., int]]:
    """Serve a service; returns the port."""
    made: list[Loopback] = []

    def start(service: Any, config: dict[str, Any] | None = None, wrap: Any = lambda accepted: accepted) -> int:
        made.append(Loopback(service, config, wrap))
        return made[-1].port

    yield start
    for loopback in made:
        loopback.close()


@pytest.fixture
def connect(serve: Callable[..., int]) -> Iterator[Callable[..., Connection]]:
    """Serve a service and connect to it."""
    made: list[Connection] = []

    def to(served: Any, config: dict[str, Any] | None = None, /, **options: Any) -> Connection:
        made.append(connecting.connect("127.0.0.1", serve(served, config), **options))
        return made[-1]

    yield to
    for connection in made:
        connection.close()
