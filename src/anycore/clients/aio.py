"""The client for programs on asyncio; any number of tasks of one event loop may share one. No wire or HTTP lives here."""

from __future__ import annotations

import asyncio
import ssl
import time
from typing import TYPE_CHECKING, Any, Self, cast

from anycore.clients.errors import UnansweredError, UnsentError, failed, lost
from anycore.clients.proxy import MethodProxy, checked
from anycore.clients.waiting import readable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from anycore.clients.exchange import Endpoint, Exchange
    from anycore.clients.questions import BatchCall, Question
    from anycore.wire.faults import Fault

_MAX_IDLE = 16  # connections kept; more tasks than that may call at once, each with its own


class AsyncClient:
    """A server, as an asyncio program sees it; made by `anycore.clients.aconnect`.

    Methods are attributes: ``await client.thermostat.set(21.5)``; `call` reaches also those whose names start with that
    of one of this class's own methods. Connections are opened when needed and kept for the next call. A call that is
    cancelled closes its connection. It is sent once, unless it is known that nothing of it was sent, or `retries` were asked
    for.

    Args:
        endpoint: Where calls go.
        context: TLS settings, or None for the system's certificate authorities.
    """

    def __init__(self, endpoint: Endpoint, context: ssl.SSLContext | None = None) -> None:
        self._endpoint = endpoint
        if context is None and endpoint.target.tls:
            context = ssl.create_default_context()
        self._context = context if endpoint.target.tls else None
        self._idle: list[Connection] = []
        self._closed = False

    async def call(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        """Call a method.

        Args:
            name: Its name on the server.
            *args: Its arguments by position.
            **kwargs: Its arguments by name, where the wire has that: JSON-RPC.

        Returns:
            Its result.

        Raises:
            Fault: The server answered with a fault.
            TransportError: No answer could be had; `CallTimeoutError` when time ran out.
            LocalProtocolError: The wire cannot carry the arguments; nothing was sent.
        """
        return await self._ask(self._endpoint.wire.call(name, args, kwargs))

    async def notify(self, name: str, /, *args: Any, **kwargs: Any) -> None:
        """Call a method without wanting its result or its fault; JSON-RPC only. Raises as `call` does."""
        await self._ask(self._endpoint.wire.notify(name, args, kwargs))

    async def batch(self, calls: Sequence[BatchCall]) -> list[Any | Fault]:
        """Make several calls in one request: a JSON-RPC batch, or system.multicall of XML-RPC.

        Args:
            calls: Tuples of a name, its positional arguments, and its named ones; the latter two may be left out.

        Returns:
            For each call, in order, its result or its Fault.

        Raises:
            Fault: The batch as a whole was refused.
            TransportError: As in `call`.
            LocalProtocolError: As in `call`.
        """
        answers: list[Any] = await self._ask(self._endpoint.wire.batch(calls)) if calls else []
        return answers

    async def methods(self) -> list[str]:
        """Return the names of the server's methods (system.listMethods)."""
        names: list[str] = await self.call("system.listMethods")
        return names

    async def help(self, name: str) -> str:
        """Return the documentation of a method (system.methodHelp)."""
        text: str = await self.call("system.methodHelp", name)
        return text

    async def signature(self, name: str) -> Any:
        """Return the signatures of a method (system.methodSignature): lists of result type and parameter types."""
        return await self.call("system.methodSignature", name)

    async def close(self) -> None:
        """Close the connections; those in use are closed after their calls."""
        self._closed = True
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.abort()
        await asyncio.gather(*(connection.closed for connection in idle))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __getattr__(self, name: str) -> MethodProxy:
        return MethodProxy(self, checked(name))

    def __repr__(self) -> str:
        return f"<asyncio client of {self._endpoint.target.url}>"

    async def _ask(self, question: Question) -> Any:
        timeout = self._endpoint.timeout
        try:
            async with asyncio.timeout(timeout) as limit:
                exchange = await self._carry(question, limit)
        except OSError as error:
            raise failed(error, self._endpoint.target.url, timeout) from error
        return exchange.result()

    async def _carry(self, question: Question, limit: asyncio.Timeout) -> Exchange:
        connection, retries = self._take(), self._endpoint.retries
        while True:
            kept = connection is not None
            try:
                return await self._use(connection or await self._connect(), question, limit)
            except UnsentError:
                if not kept:
                    raise
            except UnansweredError:
                # As in the other client: it may have been carried out, and must not be repeated unasked.
                if not retries:
                    raise
                retries -= 1
            connection = None

    async def _use(self, connection: Connection, question: Question, limit: asyncio.Timeout) -> Exchange:
        keep = 0.0
        try:
            exchange = self._endpoint.open(question, _left(limit))
            await connection.carry(exchange)
            keep = exchange.keep
        finally:
            if keep and connection.idle and not self._closed and len(self._idle) < _MAX_IDLE:
                connection.until = time.monotonic() + keep
                self._idle.append(connection)
            else:
                connection.abort()
        return exchange

    async def _connect(self) -> Connection:
        target, loop = self._endpoint.target, asyncio.get_running_loop()
        if target.socket:
            _, connection = await loop.create_unix_connection(Connection, target.socket)
        else:
            name = target.host if self._context is not None else None
            _, connection = await loop.create_connection(
                Connection, target.host, target.port, ssl=self._context, server_hostname=name
            )
        return connection

    def _take(self) -> Connection | None:
        """Take an idle connection that still lives, if there is one."""
        if self._closed:
            raise RuntimeError(f"{self!r} is closed; aconnect() again")
        while self._idle:
            connection = self._idle.pop()
            if connection.idle and time.monotonic() < connection.until and not connection.readable():
                return connection
            connection.abort()  # its end, or a reply that nobody asked for, as a 408 before closing
        return None


class Connection(asyncio.Protocol):
    """One connection to the server, carrying one exchange at a time; made by the event loop.

    Attributes:
        closed: Done when the connection is.
        until: When it has been idle for too long to be used, by the monotonic clock.
    """

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[None] = loop.create_future()
        self.until = 0.0
        self._transport: asyncio.Transport | None = None
        self._exchange: Exchange | None = None
        self._done: asyncio.Future[None] | None = None

    @property
    def idle(self) -> bool:
        """Whether it lives, and the question before was sent and answered whole."""
        transport = self._transport
        return (
            transport is not None
            and self._exchange is None
            and not transport.is_closing()
            and not transport.get_write_buffer_size()
        )

    def readable(self) -> bool:
        """Whether something came in that the event loop has not seen yet, be it the end."""
        raw = self._transport.get_extra_info("socket") if self._transport is not None else None
        return raw is not None and readable(raw)

    async def carry(self, exchange: Exchange) -> None:
        """Send the question and wait until its reply is complete.

        Raises:
            UnsentError: The connection had ended.
            UnansweredError: It ended without an answer.
            OSError: It broke otherwise.
        """
        if self._transport is None or self._transport.is_closing():
            raise UnsentError("the server closed it before the call could be sent")
        self._exchange = exchange
        self._done = asyncio.get_running_loop().create_future()
        self._transport.write(exchange.request)
        try:
            if self._transport.is_closing():  # already: so it was the first write to the socket that has failed
                raise UnsentError("it ended before the call could be sent")
            await self._done
        finally:
            self._exchange = self._done = None

    def abort(self) -> None:
        """Close it at once."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the event loop."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Called by the event loop."""
        done = self._done
        if self._exchange is None or done is None or done.done():
            self.abort()  # nothing was asked
        elif self._exchange.feed(data):
            done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the event loop."""
        if not self.closed.done():
            self.closed.set_result(None)
        done = self._done
        if self._exchange is None or done is None or done.done():
            return
        if self._exchange.started and not isinstance(exc, ConnectionError):
            self._exchange.eof()
            done.set_result(None)
        else:
            done.set_exception(lost(exc, started=self._exchange.started))


def _left(limit: asyncio.Timeout) -> float | None:
    when = limit.when()
    return None if when is None else max(when - asyncio.get_running_loop().time(), 0.0)
