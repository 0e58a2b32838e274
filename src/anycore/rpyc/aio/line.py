"""The bytes of one connection on an event loop: frames in, frames out, signs of life. What messages mean is `engine`'s."""

from __future__ import annotations

import asyncio
from collections import deque
from threading import get_ident
from typing import TYPE_CHECKING, Any, Final, NoReturn, cast

from anycore.objects.link import Link
from anycore.wire import rpyc_constants as wire
from anycore.wire.errors import RemoteProtocolError
from anycore.wire.rpyc import FrameDecoder

if TYPE_CHECKING:
    from collections.abc import Callable

    from anycore.objects.result import AsyncResult
    from anycore.rpyc.aio.engine import Engine

_MAX_UNREAD: Final = 64 * 1024 * 1024
"""Bytes of answers that the peer may leave unread."""


class Line(asyncio.Protocol, Link):
    """Moves the bytes of a connection.

    Args:
        engine: The connection's end.
        opened: Called when the connection is there, before anything is read.
        ping_interval: Seconds of silence after which the peer is pinged, and again those after which it is given up; None for never.

    Attributes:
        lost: Done when the socket is closed.
        clogged: Where to wait while the peer does not read; None while it does.
        reason: Why the connection is about to end, when this side wants it to.
    """

    def __init__(self, engine: Engine, opened: Callable[[], None], ping_interval: float | None = None) -> None:
        self.lost: asyncio.Future[None] = engine.loop.create_future()
        self.clogged: asyncio.Event | None = None
        self.reason = ""
        self._engine = engine
        self._opened = opened
        self._loop = engine.loop
        self._thread = get_ident()
        max_frame = engine.config.get("max_frame", wire.MAX_FRAME)
        self._decoder = FrameDecoder(max_frame=max_frame, max_inflated=max_frame)
        self._transport: asyncio.Transport | None = None
        self._outbox: deque[bytes] = deque()
        self._scheduled = False
        self._interval = ping_interval
        self._heard = engine.loop.time()
        self._pinged = False
        self._timers: dict[str, asyncio.TimerHandle] = {}

    # Sending.

    def send(self, data: bytes) -> None:
        """Send bytes; see `Link.send`. One write serves all that is sent until the loop comes round, whichever task sends."""
        if self.lost.done():
            message = f"the connection has ended: {self._engine.end_reason or 'closed'}"
            raise EOFError(message)
        self._outbox.append(data)
        if not self._scheduled:
            # Never at once: it may be a finaliser, in the middle of the transport's own work.
            self._scheduled = True
            try:
                if get_ident() == self._thread:
                    self._loop.call_soon(self._flush)
                else:
                    self._loop.call_soon_threadsafe(self._flush)
            except RuntimeError:
                message = "the connection has ended: its event loop is closed"
                raise EOFError(message) from None

    def answer(self, frame: bytes) -> None:
        """Send the answer to a request of the peer's, which must not heap up answers without reading them."""
        transport = self._transport
        if transport is not None and transport.get_write_buffer_size() > _MAX_UNREAD:
            self._engine.ended("the other side asks and does not read the answers")
            transport.abort()
        else:
            self.send(frame)

    def _flush(self) -> None:
        self._scheduled = False
        outbox, transport = self._outbox, self._transport
        parts = []
        while outbox:
            parts.append(outbox.popleft())
        if parts and transport is not None:
            transport.write(b"".join(parts) if len(parts) > 1 else parts[0])

    def wait(self, result: AsyncResult, deadline: float | None) -> NoReturn:
        """Refuse to wait on the loop; see `Link.wait`."""
        message = f"waiting for {result!r} (deadline {deadline}) would hold up the event loop, which brings the answer"
        raise RuntimeError(message)

    def close(self) -> None:
        """End the connection after what was sent; without that when the peer does not read."""
        if self._transport is not None and not self.lost.done() and not self._transport.is_closing():
            self._flush()
            self._transport.close()
            seconds = self._engine.config["close_timeout"]
            self._timers["close"] = self._loop.call_later(seconds, self._transport.abort)

    def fileno(self) -> int:
        """Return the socket's descriptor, -1 after the end."""
        connected = self._transport.get_extra_info("socket") if self._transport is not None else None
        return -1 if connected is None else int(connected.fileno())

    # Called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is there."""
        self._transport = cast("asyncio.Transport", transport)
        self._flush()
        if self._interval is not None:
            self._listen_for_life(self._interval)
        self._opened()

    def data_received(self, data: bytes) -> None:
        """The peer says something."""
        self._heard = self._loop.time()
        engine = self._engine
        try:
            for payload in self._decoder.feed(data):
                if engine.closed:
                    return
                message = engine.codec.decode(payload)
                if message.kind == wire.REQUEST:
                    engine.serve_request(message)
                else:
                    for tell in engine.settle(message.seq, message.args, failed=message.kind == wire.EXCEPTION):
                        tell()
            if self._decoder.error is not None:
                raise self._decoder.error
        except RemoteProtocolError as error:
            engine.ended(f"the other side broke the protocol: {error.message}")

    def pause_writing(self) -> None:
        """The peer does not read."""
        self.clogged = asyncio.Event()

    def resume_writing(self) -> None:
        """The peer reads again."""
        clogged, self.clogged = self.clogged, None
        if clogged is not None:
            clogged.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is over."""
        broken = f"the connection broke: {exc}" if exc is not None else "the other side closed the connection"
        for timer in self._timers.values():
            timer.cancel()
        if not self.lost.done():
            self.lost.set_result(None)
        self._engine.ended(self.reason or broken)
        self._outbox.clear()
        self.resume_writing()

    # Signs of life.

    def _listen_for_life(self, interval: float) -> None:
        engine = self._engine
        if engine.closed:
            return
        silence = self._loop.time() - self._heard
        if silence < interval:
            self._pinged = False
        elif not self._pinged:
            self._pinged = True
            engine.async_request(wire.PING, "")
        elif silence >= 2 * interval:
            engine.ended(f"the other side has been silent for {silence:.3g} s and did not answer a ping")
            self.abort()
            return
        next_look = interval - silence if silence < interval else 2 * interval - silence
        self._timers["life"] = self._loop.call_later(max(next_look, 0.001), self._listen_for_life, interval)

    def abort(self) -> None:
        """Close the socket at once."""
        if self._transport is not None:
            self._transport.abort()

    def get_extra_info(self, name: str) -> Any:
        """Return what the transport knows, as `socket` or `peername`; see asyncio's documentation."""
        return None if self._transport is None else self._transport.get_extra_info(name)
