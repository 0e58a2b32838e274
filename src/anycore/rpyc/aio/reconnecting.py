"""A client that outlives its connections: it connects again, and never makes a call twice."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any, Self

from anycore.rpyc.aio.proxy import Path
from anycore.rpyc.login import LoginError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    from anycore.rpyc.aio.connection import Connection


class Reconnecting:
    """A server, whichever connection leads to it at the time.

        async with Reconnecting(lambda: aio.connect("localhost", 18812)) as client:
            await client.root.f(1)

    A call that was under way when its connection ended raises `EOFError`, which says why the connection ended; whether the call was
    carried out is unknown, so it is not made again. Calls made while there is no connection wait for the next one. Objects of an
    earlier connection are gone with it. A service given to `aio.connect` is told of each connection, and can subscribe again there.

    Args:
        dial: Connects; called for each connection.
        patience: Seconds that a call waits for a connection; None for ever.
        first_delay: Seconds between a failed attempt and the next; each further time twice as long, varied by chance.
        max_delay: The longest delay in seconds.
    """

    def __init__(
        self,
        dial: Callable[[], Awaitable[Connection]],
        *,
        patience: float | None = 30.0,
        first_delay: float = 0.1,
        max_delay: float = 30.0,
    ) -> None:
        self._dial = dial
        self._patience = patience
        self._delays = (first_delay, max_delay)
        self._task: asyncio.Task[None] | None = None
        self._connection: Connection | None = None
        self._changed = asyncio.Event()
        self._failure: BaseException | None = None
        self._closed = False
        self.connections = 0

    @property
    def root(self) -> Path:
        """The server's root, as a path; see `Connection.root`."""
        return Path(self, ())

    @property
    def connected(self) -> bool:
        """Whether there is a connection now."""
        return self._connection is not None and not self._connection.closed

    def __repr__(self) -> str:
        state = "closed" if self._closed else "connected" if self.connected else "not connected"
        return f"<reconnecting client, {state}>"

    async def get_root(self) -> Any:
        """Return the root of the connection that there is, or of the next one.

        Raises:
            ConnectionError: When there is none within the client's patience; says why the last attempt failed.
        """
        return await (await self.connection()).get_root()

    async def connection(self) -> Connection:
        """Return the connection that there is, or wait for the next one; raises as `get_root` does."""
        self.start()
        try:
            async with asyncio.timeout(self._patience):
                while self._connection is None or self._connection.closed:
                    self._changed.clear()
                    await self._changed.wait()
                    if self._closed:
                        raise self._no_connection("the client is closed")
        except TimeoutError:
            raise self._no_connection(f"no connection within {self._patience:g} s") from self._failure
        return self._connection

    def _no_connection(self, what: str) -> ConnectionError:
        why = (
            f"; the last attempt failed: {str(self._failure) or repr(self._failure)}"
            if self._failure is not None
            else ""
        )
        return ConnectionError(f"{what}{why}")

    def start(self) -> None:
        """Begin to connect; the first call does so as well."""
        if self._closed:
            raise self._no_connection("the client is closed")
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        first, most = self._delays
        delay = first
        while True:
            try:
                connection = await self._dial()
            except LoginError as error:  # it would be so again, and too many such attempts lock a caller out
                self._give_up(error)
                return
            except (OSError, EOFError) as error:
                self._failure = error
                await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311 - so that many clients do not come at once
                delay = min(delay * 2, most)
                continue
            except Exception as error:
                self._give_up(error)
                raise
            self._connection, self._failure, delay = connection, None, first
            self.connections += 1
            self._changed.set()
            await connection.wait_closed()
            self._failure = EOFError(f"the connection has ended: {connection.end_reason}")

    def _give_up(self, error: BaseException) -> None:
        self._failure = error
        self._closed = True
        self._changed.set()

    async def close(self) -> None:
        """End the connection, and make no more."""
        self._closed = True
        self._changed.set()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        if self._connection is not None:
            await self._connection.close()

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
