"""The bytes of a connected socket for the pump: one class for plain sockets, one for TLS. Who reads and who writes is not decided here."""

from __future__ import annotations

import select
import socket
import ssl
import struct
import threading
import time
from contextlib import suppress
from typing import ClassVar, Final

from anycore.cores.busy_poll import BusyPoll
from anycore.cores.quickack import acknowledge
from anycore.objects.config import BUSY_POLL_TIME

TICK: Final = 1.0
"""Seconds after which a read that got nothing returns; the kernel keeps the time, at no cost to reads that get something."""
_SMALL: Final = 1 << 14
_LARGE: Final = 1 << 18
_DONTWAIT: Final = getattr(socket, "MSG_DONTWAIT", 0)


class Stream:
    """A plain socket: reads block in the kernel, writes do not.

    Args:
        connected: The socket, connected; it becomes a blocking one.
        busy_poll_time: Seconds to look for bytes before sleeping; see `BusyPoll`.

    Attributes:
        tls: Whether it speaks TLS.
    """

    tls: ClassVar[bool] = False

    def __init__(self, connected: socket.socket, busy_poll_time: float = BUSY_POLL_TIME) -> None:
        self.socket = connected
        self._size = _SMALL
        self._busy_poll = BusyPoll(busy_poll_time)
        if connected.gettimeout() is not None:
            connected.settimeout(None)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", int(TICK), 0))

    def read(self, deadline: float | None) -> bytes | None:
        """Read what is there, or comes before the deadline and a tick are over.

        Returns:
            Nothing where nothing came, no bytes where the peer has gone.

        Raises:
            OSError: When the connection is lost.
        """
        left = TICK if deadline is None else deadline - time.monotonic()
        if deadline is None or left >= TICK:
            data = self._busy_poll.read(self._receive, self._look)
        elif left > 0.0:
            data = self._busy_poll.read(lambda: self._receive_until(deadline), self._look)
        else:
            data = self._look()
        if data is not None:
            self._size = _LARGE if len(data) >= _SMALL else _SMALL
        return data

    def _receive(self) -> bytes | None:
        try:
            return self.socket.recv(self._size)
        except BlockingIOError:
            return None

    def _receive_until(self, end: float) -> bytes | None:
        return self._look() if self.ready(read=True, seconds=max(0.0, end - time.monotonic())) else None

    def _look(self) -> bytes | None:
        try:
            return self.socket.recv(self._size, _DONTWAIT)
        except BlockingIOError:
            return None

    def write(self, data: memoryview | bytes) -> int:
        """Write what the kernel takes at once.

        Returns:
            How many bytes it took.

        Raises:
            OSError: When the connection is lost.
        """
        try:
            return self.socket.send(data, _DONTWAIT)
        except BlockingIOError:
            return 0

    def acknowledge(self) -> None:
        """Acknowledge what came, now; see `quickack`."""
        acknowledge(self.socket)

    def ready(self, *, read: bool = False, write: bool = False, seconds: float) -> tuple[bool, bool] | None:
        """Wait until the socket can be read or written.

        Returns:
            Whether it can be read and whether it can be written; None where neither became so in time.
        """
        poll = select.poll()
        poll.register(self.socket, (select.POLLIN if read else 0) | (select.POLLOUT if write else 0))
        events = poll.poll(seconds * 1000)
        if not events:
            return None
        happened = events[0][1]
        broken = happened & (select.POLLERR | select.POLLHUP | select.POLLNVAL)
        return bool(happened & select.POLLIN or broken), bool(happened & select.POLLOUT or broken)

    def shut(self) -> None:
        """End both directions; a read under way returns."""
        self._busy_poll.end()
        with suppress(OSError):  # the peer was quicker
            socket.socket.shutdown(self.socket, socket.SHUT_RDWR)


class TlsStream(Stream):
    """A TLS socket. OpenSSL lets one thread at a time into a connection, so nothing in here waits while it is in there.

    Args:
        connected: The socket, its handshake done.
        busy_poll_time: See `Stream`.
    """

    tls: ClassVar[bool] = True

    def __init__(self, connected: ssl.SSLSocket, busy_poll_time: float = BUSY_POLL_TIME) -> None:
        super().__init__(connected, busy_poll_time)
        self.socket: ssl.SSLSocket = connected
        connected.setblocking(False)
        self._lock = threading.RLock()

    def read(self, deadline: float | None) -> bytes | None:
        """Read; see `Stream.read`."""
        end = time.monotonic() + TICK
        if deadline is not None:
            end = min(end, deadline)
        return self._busy_poll.read(lambda: self._receive_until(end), self._look)

    def _look(self) -> bytes | None:
        try:
            with self._lock:
                return self.socket.recv(_LARGE)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return None
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            return b""

    def _receive_until(self, end: float) -> bytes | None:
        while True:
            writes = False
            try:
                with self._lock:
                    return self.socket.recv(_LARGE)
            except ssl.SSLWantReadError:
                writes = False
            except ssl.SSLWantWriteError:
                writes = True
            except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
                return b""
            left = end - time.monotonic()
            if left <= 0 or not self.ready(read=not writes, write=writes, seconds=left):
                return None

    def write(self, data: memoryview | bytes) -> int:
        """Write; see `Stream.write`."""
        try:
            with self._lock:
                return self.socket.send(data)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return 0


def stream_of(connected: socket.socket, busy_poll_time: float = BUSY_POLL_TIME) -> Stream:
    """Return the stream of a socket, by its kind."""
    kind = TlsStream if isinstance(connected, ssl.SSLSocket) else Stream
    return kind(connected, busy_poll_time)  # type: ignore[arg-type]
