"""The link of a connection whose bytes an event loop moves: how worker threads send and wait."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from anycore.conversations.rpyc_jobs import CallbackJob
from anycore.objects.link import Link

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from anycore.conversations.base import Job
    from anycore.conversations.rpyc import RpycConversation
    from anycore.cores.asyncio_connection import AsyncioConnection
    from anycore.objects.result import AsyncResult


class LoopLink(Link):
    """Sends by way of the loop; waits in worker threads, never on the loop.

    Args:
        connection: The connection.
        conversation: Its conversation.
        loop: The loop, which runs in the calling thread.
    """

    __slots__ = ("_connection", "_conversation", "_loop", "_scheduled", "_thread")

    def __init__(
        self, connection: AsyncioConnection, conversation: RpycConversation, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._connection = connection
        self._conversation = conversation
        self._loop = loop
        self._thread = threading.get_ident()
        self._scheduled = False

    def send(self, data: bytes) -> None:
        """Leave bytes to the loop; see `Link.send`. One flush serves all that is sent until it runs."""
        if self._connection.ended:
            message = f"the connection has ended: {self._conversation.connection.end_reason or 'closed'}"
            raise EOFError(message)
        self._conversation.put(data)
        self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            try:
                self._loop.call_soon_threadsafe(self._flush)
            except RuntimeError:
                message = "the connection has ended: the server has stopped"
                raise EOFError(message) from None

    def _flush(self) -> None:
        self._scheduled = False
        if not self._connection.ended and self._connection.recall():
            self._connection.flush()

    def wait(self, result: AsyncResult, deadline: float | None) -> None:
        """Wait in a worker thread; see `Link.wait`. Other requests of the peer may run meanwhile."""
        if threading.get_ident() == self._thread:
            message = "waiting for the peer here would hold up the event loop, which brings the answer: use `await`, or a plain method"
            raise RuntimeError(message)
        gate = threading.Event()
        result.open_when_settled(gate)
        inside = self._conversation.inside
        if inside:
            jobs = self._conversation.suspend()
            if jobs:
                self._loop.call_soon_threadsafe(self._run, jobs)
        try:
            gate.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
        finally:
            if inside:
                self._conversation.resume()

    def _run(self, jobs: Sequence[Job]) -> None:
        self._connection.run(jobs)

    def tell(self, callbacks: Sequence[Callable[[], Any]]) -> None:
        """Call in a worker thread, for a service may take its time over the end; see `Link.tell`."""
        if threading.get_ident() == self._thread:
            self._connection.run_last(CallbackJob(callbacks))
        else:
            super().tell(callbacks)

    def close(self) -> None:
        """Close after what was sent; see `Link.close`."""
        if not self._connection.ended:
            try:
                self._loop.call_soon_threadsafe(self._flush)
            except RuntimeError:
                return  # the loop has ended, and the connection with it
