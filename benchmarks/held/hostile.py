"""Hostile peers: 1,000 that send a request a byte at a time, 200 that stop in a TLS hand-shake, 200 that never read their answers."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from contextlib import ExitStack, suppress
from typing import Self

from benchmarks.held.busy import allow_descriptors, request
from benchmarks.workload import CALLS, request_body

SLOW = 1_000
SILENT = 200
DEAF = 200
SLICES = 50
SETTLE_SECONDS = 3.0
"""After which the buffers of those that never read are full."""
HELLO = bytes.fromhex("16030100ff")
"""The head of a TLS record that announces 255 bytes, which do not come (RFC 8446 section 5.1)."""
BODY = request_body("jsonrpc", "bench.echo", CALLS["echo"])


class Deaf:
    """A peer that asks, as much as goes, and never reads.

    Args:
        connection: Connected.
    """

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._connection = connection
        self._rest = b""

    def speak(self) -> None:
        """Send what the server takes; a request is never left half sent and begun anew."""
        with suppress(OSError):  # full, which is the point, or sent away
            while True:
                self._rest = self._rest or request(BODY)
                self._rest = self._rest[self._connection.send(self._rest) :]


class Hostile:
    """All of them, from start to end; a context manager.

    Args:
        port: The plain listener.
        tls_port: The TLS listener.
    """

    def __init__(self, port: int, tls_port: int) -> None:
        self._port = port
        self._tls_port = tls_port
        self._stack = ExitStack()
        self._slow: list[socket.socket] = []
        self._deaf: list[Deaf] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._torment, daemon=True)

    def __enter__(self) -> Self:
        allow_descriptors(SLOW + SILENT + DEAF + 200)
        try:
            self._slow = [self._open(self._port) for _ in range(SLOW)]
            for _ in range(SILENT):
                self._open(self._tls_port).sendall(HELLO)
            for _ in range(DEAF):
                connection = socket.socket()
                self._stack.enter_context(connection)
                # Small at this end, or to fill them would cost the busy peers' processor more than anything the server does.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)
                connection.connect(("127.0.0.1", self._port))
                self._deaf.append(Deaf(connection))
        except BaseException:
            self._stack.close()
            raise
        self._thread.start()
        time.sleep(SETTLE_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._stack.close()

    def _open(self, port: int) -> socket.socket:
        return self._stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))

    def _torment(self) -> None:
        """Once a second, a byte from each slow one, some at a time; from the deaf ones requests, as many as go."""
        text = request()
        for number in itertools.count():
            place, slice_ = divmod(number, SLICES)
            for peer in self._deaf[slice_::SLICES]:
                peer.speak()
            for connection in self._slow[slice_::SLICES]:
                with suppress(OSError):
                    connection.sendall(text[place % len(text) : place % len(text) + 1])
            if self._over.wait(1 / SLICES):
                return
