"""How the threads of a pump send over one socket: one at a time, and nobody waits for another. Reading is the pump's."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from anycore.cores.pump_stream import TICK

if TYPE_CHECKING:
    from collections.abc import Callable

    from anycore.cores.pump_stream import Stream


class Outbox:
    """What is to be sent, until the system has taken it. A thread that finds another one sending leaves its bytes to it.

    Args:
        stream: Where they go.
        has_room: Tells whether more may be read while the peer takes in nothing.
        take_in: Reads meanwhile; is told whether there is nothing else to do.
        stall_seconds: How long the peer may take in nothing while there is something to send, before it is given up.

    Attributes:
        failure: Why sending failed, for people; empty as long as it has not.
    """

    __slots__ = ("_has_room", "_lock", "_stall_seconds", "_stream", "_take_in", "_waiting", "failure")

    def __init__(
        self, stream: Stream, has_room: Callable[[], bool], take_in: Callable[[bool], None], stall_seconds: float
    ) -> None:
        self._stream = stream
        self._has_room = has_room
        self._take_in = take_in
        self._stall_seconds = stall_seconds
        self._waiting: deque[bytes] = deque()
        self._lock = threading.Lock()
        self.failure = ""

    def send(self, data: bytes) -> None:
        """Send bytes, after those that wait. May be called in the middle of another `send`, by a finaliser. Raises nothing."""
        if not self._waiting and self._lock.acquire(False):
            try:
                self._write(data, self._stall_seconds)
            finally:
                self._lock.release()
        else:
            self._waiting.append(data)
        if self._waiting:
            self.drain(self._stall_seconds)

    def add(self, data: bytes) -> None:
        """Have bytes sent by the next `send` or `drain`."""
        self._waiting.append(data)

    def drain(self, stall_seconds: float) -> None:
        """Send what waits, unless another thread is at it.

        Args:
            stall_seconds: As for the outbox.
        """
        waiting = self._waiting
        while waiting and self._lock.acquire(False):
            try:
                while waiting:
                    # Over TLS each frame is to have a record of its own; see `RpycConversation.take`.
                    together = 1 if self._stream.tls else len(waiting)
                    self._write(b"".join([waiting.popleft() for _ in range(together)]), stall_seconds)
            finally:
                self._lock.release()

    def _write(self, data: bytes, stall_seconds: float) -> None:
        try:
            sent = self._stream.write(data)
            if sent < len(data):
                self._push(memoryview(data)[sent:], stall_seconds)
        except OSError as error:
            # No more than this: it may be a finaliser that sends. Whoever reads, or looks next, finds the end.
            self.failure = self.failure or f"sending failed: {error}"
            self._waiting.clear()
            self._stream.shut()

    def _push(self, rest: memoryview, stall_seconds: float) -> None:
        """Send what the system does not take at once. The peer may be stuck in the same way: so what it sends is taken in meanwhile."""
        end = time.monotonic() + stall_seconds
        while rest:
            able = self._stream.ready(read=self._has_room(), write=True, seconds=TICK)
            if able and able[1]:
                sent = self._stream.write(rest)
                rest = rest[sent:]
                if sent:
                    end = time.monotonic() + stall_seconds
            if able and able[0]:
                self._take_in(not able[1])
            if time.monotonic() >= end:
                raise TimeoutError(f"the peer took in nothing for {stall_seconds:g} seconds")
