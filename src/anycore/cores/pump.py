"""A blocking socket, read and written by whichever thread needs it: how threads wait for a peer that may ask in return.

One thread at a time reads; it settles everybody's results. A thread that waits while another reads sleeps until its result is settled
or the reading is free. Nobody holds a lock while it runs a job, and a lock is never taken in one function and released in another.
"""

from __future__ import annotations

import select
import socket
import ssl
import struct
import threading
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from anycore.conversations.base import Phase
from anycore.kernel.call import Mode
from anycore.objects.link import Link

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from anycore.conversations.base import Job
    from anycore.conversations.rpyc import RpycConversation
    from anycore.objects.result import AsyncResult

_CHUNK: Final = 1 << 18
_QUICKACK: Final = getattr(socket, "TCP_QUICKACK", 0)
_TICK: Final = 1.0
"""Seconds after which a read that got nothing looks at its deadline; the kernel keeps the time, at no cost to reads that get something."""


class Pump(Link):
    """Moves the bytes of one interactive conversation over one connected, blocking socket.

    Args:
        connected: The socket.
        conversation: The conversation.
        run_async: Runs the coroutine of an asynchronous job and waits for it.
    """

    def __init__(
        self, connected: socket.socket, conversation: RpycConversation, run_async: Callable[[Any], Any] | None = None
    ) -> None:
        self.socket = connected
        self._conversation = conversation
        self._run_async = run_async
        self._reading = threading.Lock()
        self._sending = threading.Lock()
        self._outbox: deque[bytes] = deque()
        self._turn = threading.Condition()
        self._sleepers = 0
        self._here = threading.local()
        self._tls = isinstance(connected, ssl.SSLSocket)
        self._quick_ack = _QUICKACK and connected.family in (socket.AF_INET, socket.AF_INET6)
        self.ended = False
        connected.settimeout(None)
        if hasattr(socket, "SO_RCVTIMEO"):
            seconds = int(_TICK)
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", seconds, 0))

    def send(self, data: bytes) -> None:
        """Send bytes; see `Link.send`. A thread that finds another one sending leaves its bytes to it."""
        if self.ended:
            message = f"the connection has ended: {self._conversation.connection.end_reason or 'closed'}"
            raise EOFError(message)
        self._outbox.append(data)
        self._drain()

    def _drain(self) -> None:
        while self._outbox and self._sending.acquire(blocking=False):
            try:
                while self._outbox:
                    self.socket.sendall(self._outbox.popleft() if len(self._outbox) == 1 else self._gather())
            except OSError as error:
                self._lost(f"sending failed: {error}")
                return
            finally:
                self._sending.release()

    def _gather(self) -> bytes:
        parts = []
        while self._outbox:
            parts.append(self._outbox.popleft())
        return b"".join(parts)

    def begin(self) -> None:
        """Start the conversation."""
        self._run(self._conversation.begin(self))

    def serve(self) -> None:
        """Read and work until the connection ends."""
        while not self.ended and self._conversation.phase is not Phase.CLOSING:
            self.serve_one(None)
        self.close()

    def serve_one(self, deadline: float | None, done: Callable[[], bool] = bool) -> None:
        """Read once and do what follows from it, or let another thread's reading go on until `done`, but not beyond the deadline.

        Args:
            deadline: On the clock of `time.monotonic()`, in seconds; None for none.
            done: Whether there is nothing to wait for any more.
        """
        if self._reading.acquire(blocking=False):
            try:
                jobs = () if done() else self._read(deadline)
            finally:
                self._reading.release()
                if self._sleepers:
                    self._wake()
                if self.ended:
                    self._dispose()
            if jobs:
                self._run(jobs)
            return
        with self._turn:
            self._sleepers += 1
            if not done() and self._reading.locked() and not self.ended:
                self._turn.wait(_TICK if deadline is None else min(_TICK, max(0.0, deadline - time.monotonic())))
            self._sleepers -= 1

    def _wake(self) -> None:
        with self._turn:
            self._turn.notify_all()

    def _read(self, deadline: float | None) -> Sequence[Job]:
        if self.ended:
            return ()
        try:
            if deadline is not None and not self._readable(deadline):
                return ()
            data = self.socket.recv(_CHUNK)
            if self._quick_ack:
                # A peer with Nagle's algorithm on holds its next small write back until this one is acknowledged: do it now.
                # The system forgets the option at its own discretion, so it is set each time.
                self.socket.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        except (BlockingIOError, ssl.SSLWantReadError):
            return ()
        except OSError as error:
            self._lost(f"receiving failed: {error}")
            return ()
        if not data:
            self._conversation.eof()
            self.close()
            return ()
        return self._conversation.feed(data)

    def _readable(self, deadline: float) -> bool:
        """Tell whether to read now; what is further away than a tick is left to the kernel's own clock."""
        left = deadline - time.monotonic()
        if left >= _TICK:
            return True
        if self._tls and self.socket.pending():  # type: ignore[attr-defined]
            return True
        poll = select.poll()
        poll.register(self.socket, select.POLLIN)
        return bool(poll.poll(max(0.0, left) * 1000))

    def _run(self, jobs: Sequence[Job]) -> None:
        here = self._here
        for job in jobs:
            outer = getattr(here, "running", False)
            here.running = True
            try:
                if job.mode is Mode.ASYNC and self._run_async is not None:
                    self._run_async(job.run_async())
                else:
                    job.run()
            finally:
                here.running = outer
            more = self._conversation.finish(job)
            data = self._conversation.take()
            if data and not self.ended:
                self._outbox.append(data)
                self._drain()
            if more:
                self._run(more)

    def wait(self, result: AsyncResult, deadline: float | None) -> None:
        """Serve the connection until a result is settled; see `Link.wait`."""
        inside = getattr(self._here, "running", False)
        if inside:
            self._run(self._conversation.suspend())
        try:
            while not result.settled:
                if self.ended:
                    result.fail(
                        EOFError(f"the connection has ended: {self._conversation.connection.end_reason or 'closed'}")
                    )
                    return
                if deadline is not None and time.monotonic() >= deadline:
                    self.serve_one(deadline, lambda: result.settled)
                    return
                self.serve_one(deadline, lambda: result.settled)
        finally:
            if inside:
                self._conversation.resume()

    def _lost(self, reason: str) -> None:
        self.ended = True
        self._conversation.connection.ended(reason)
        self.close()

    def close(self) -> None:
        """Close the socket, once; a thread that reads finds out."""
        if not self.ended:
            self._drain()
        self.ended = True
        with suppress(OSError):  # the peer was quicker
            socket.socket.shutdown(self.socket, socket.SHUT_RDWR)
        self._wake()
        self._dispose()

    def _dispose(self) -> None:
        """Give the descriptor back, unless a thread reads from it: that one will do it when it has found out."""
        if self._reading.acquire(blocking=False):
            try:
                self.socket.close()
            finally:
                self._reading.release()
