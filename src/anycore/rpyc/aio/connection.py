"""A connection as asyncio programs see it: its root, its life and its end. Requests are made by `engine`."""

from __future__ import annotations

import asyncio
import inspect
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from anycore.objects.limits import limited
from anycore.rpyc.aio.engine import Engine
from anycore.rpyc.aio.line import Line
from anycore.rpyc.aio.proxy import Path
from anycore.wire import rpyc_constants as wire
from anycore.wire.rpyc import MessageCodec

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from types import TracebackType

_log = logging.getLogger("anycore.rpyc")


class Connection:
    """A connection to an RPyC server; made by `connect`. Any number of tasks may use it at once.

    Args:
        root: What the server may reach at this end. Its `on_connect` and `on_disconnect`, functions or coroutine functions, are told.
        config: Keys of the configuration that differ from the defaults.
        dialect: 5 or 6; see `connect`.
        ping_interval: See `connect`.
    """

    def __init__(
        self,
        root: Any,
        config: dict[str, Any] | None = None,
        *,
        dialect: int | None = None,
        ping_interval: float | None = None,
    ) -> None:
        if ping_interval is not None and not ping_interval > 0:
            message = f"ping_interval is a number of seconds above 0, or None, not {ping_interval!r}"
            raise ValueError(message)
        self._engine = Engine(root, config, MessageCodec(dialect))
        self._engine.on_end = self._ended
        self._opening: asyncio.Task[Any] | None = None
        self._farewell: asyncio.Task[Any] | None = None
        self._failure: BaseException | None = None
        self._closing = False
        self.line = self._engine.line = self._engine.link = Line(self._engine, self._opened, ping_interval)

    @property
    def root(self) -> Path:
        """The server's root, as a path: ``await conn.root.f(x)``; ``await conn.root`` is the root itself."""
        return Path(self._engine, ())

    @property
    def closed(self) -> bool:
        """Whether the connection has ended."""
        return self._engine.closed

    @property
    def end_reason(self) -> str:
        """Why it has ended, for people; empty before."""
        return self._engine.end_reason

    @property
    def config(self) -> dict[str, Any]:
        """The configuration, live."""
        return self._engine.config

    def __repr__(self) -> str:
        return repr(self._engine)

    async def get_root(self) -> Any:
        """Return the server's root; asked for once."""
        return await self._engine.get_root()

    def timeout(self, seconds: float | None) -> AbstractContextManager[None]:
        """Limit the time of each request made in a block: ``with conn.timeout(2): await conn.root.f()``.

        Args:
            seconds: Seconds for each request; None for no limit.
        """
        return limited(self._engine, seconds)

    async def ping(self, data: str = "ping") -> float:
        """Send data there and back.

        Args:
            data: The data.

        Returns:
            How long it took, in seconds.

        Raises:
            ValueError: When something else came back.
        """
        begun = self._engine.loop.time()
        if await self._engine.ask(wire.PING, data) != data:
            message = "the answer to a ping is not what was sent"
            raise ValueError(message)
        return self._engine.loop.time() - begun

    async def wait_closed(self) -> None:
        """Wait until the connection has ended, whoever ends it, and the service has been told."""
        await asyncio.shield(self.line.lost)
        if self._farewell is not None and self._farewell is not asyncio.current_task():
            await asyncio.shield(self._farewell)

    async def close(self) -> None:
        """End the connection: tell the server, and wait until it has done what came before, `close_timeout` seconds at most."""
        engine = self._engine
        engine.spare(asyncio.current_task())
        if not engine.closed and not self._closing:
            self._closing = True
            self.line.reason = "closed by this side"
            try:
                await self._say_goodbye()
            finally:
                self.drop(self.line.reason)
        await self.wait_closed()

    def drop(self, reason: str) -> None:
        """End the connection at once, without a word.

        Args:
            reason: Why, for people.
        """
        self._engine.ended(reason)
        self.line.abort()

    async def _say_goodbye(self) -> None:
        before, config = self._engine.config["before_closed"], self._engine.config
        try:
            if before is not None:
                told = before(self.root)
                if inspect.isawaitable(told):
                    await told
        except Exception:
            if not config["close_catchall"]:
                raise
            _log.debug("%s: before_closed failed", self, exc_info=True)
        with suppress(EOFError, TimeoutError):
            self._engine.async_request(wire.CLOSE)  # answered by the end of the connection
            async with asyncio.timeout(config["close_timeout"]):
                await asyncio.shield(self.line.lost)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # The service at this end.

    def _opened(self) -> None:
        told = getattr(self._engine.local_root, "on_connect", None)
        if told is None:
            return
        try:
            result = told(self)
        except Exception as error:  # noqa: BLE001 - raised by `begin`
            self._failure = error
            return
        if inspect.iscoroutine(result):
            self._opening = self._engine.loop.create_task(result)

    async def begin(self) -> None:
        """Wait for the service's `on_connect`, and for the server's root, which shows that it speaks RPyC.

        Raises:
            Exception: What `on_connect` raised.
            EOFError: When the connection has ended already.
        """
        if self._failure is not None:
            raise self._failure
        await self._engine.get_root()
        if self._opening is not None:
            await self._opening

    def _ended(self) -> None:
        self._engine.cancel_tasks()
        if self._opening is not None:
            self._opening.cancel()
        told = getattr(self._engine.local_root, "on_disconnect", None)
        result = told(self) if told is not None else None
        if inspect.iscoroutine(result):
            self._farewell = self._engine.loop.create_task(self._take_leave(result))

    async def _take_leave(self, farewell: Any) -> None:
        try:
            await farewell
        except Exception:  # noqa: BLE001 - whatever the service did, the connection has ended
            _log.exception("%s: telling the service that the connection has ended failed", self)
