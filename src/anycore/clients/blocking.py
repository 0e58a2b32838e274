"""The client for programs without an event loop; any number of threads may share one. No wire or HTTP lives here."""

from __future__ import annotations

import os
import select
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING, Any, Self

from anycore.clients.errors import UnansweredError, UnsentError, failed, lost
from anycore.clients.proxy import MethodProxy, checked
from anycore.clients.waiting import readable
from anycore.cores.busy_poll import BusyPoll
from anycore.objects.config import BUSY_POLL_TIME

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from anycore.clients.exchange import Endpoint, Exchange
    from anycore.clients.questions import BatchCall, Question
    from anycore.clients.target import Target
    from anycore.wire.faults import Fault

_MAX_IDLE = 16  # connections kept; more threads than that may call at once, each with its own
_CHUNK = 65536
_RECORD = 16384  # bytes; the longest of TLS (RFC 8446 section 5.1), so that what is written first is there whole or not at all


class Client:
    """A server, as a synchronous program sees it; made by `anycore.clients.connect`.

    Methods are attributes: ``client.thermostat.set(21.5)``; `call` reaches also those whose names start with that of
    one of this class's own methods. Connections are opened when needed and kept for the next call. After a fork, the
    child opens its own. A call is sent once, unless it is known that nothing of it was sent, or `retries` were asked for.

    Args:
        endpoint: Where calls go.
        context: TLS settings, or None for the system's certificate authorities.
        busy_poll_time: Seconds to look for an answer before sleeping; see `BusyPoll`.
    """

    def __init__(
        self, endpoint: Endpoint, context: ssl.SSLContext | None = None, busy_poll_time: float = BUSY_POLL_TIME
    ) -> None:
        self._endpoint = endpoint
        self._busy_poll_time = busy_poll_time
        if context is None and endpoint.target.tls:
            context = ssl.create_default_context()
        self._context = context if endpoint.target.tls else None
        self._lock = threading.Lock()
        self._idle: list[Connection] = []
        self._process = os.getpid()
        self._closed = False

    def call(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
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
        return self._ask(self._endpoint.wire.call(name, args, kwargs))

    def notify(self, name: str, /, *args: Any, **kwargs: Any) -> None:
        """Call a method without wanting its result or its fault; JSON-RPC only. Raises as `call` does."""
        self._ask(self._endpoint.wire.notify(name, args, kwargs))

    def batch(self, calls: Sequence[BatchCall]) -> list[Any | Fault]:
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
        answers: list[Any] = self._ask(self._endpoint.wire.batch(calls)) if calls else []
        return answers

    def methods(self) -> list[str]:
        """Return the names of the server's methods (system.listMethods)."""
        names: list[str] = self.call("system.listMethods")
        return names

    def help(self, name: str) -> str:
        """Return the documentation of a method (system.methodHelp)."""
        text: str = self.call("system.methodHelp", name)
        return text

    def signature(self, name: str) -> Any:
        """Return the signatures of a method (system.methodSignature): lists of result type and parameter types."""
        return self.call("system.methodSignature", name)

    def close(self) -> None:
        """Close the connections; those in use are closed after their calls."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __getattr__(self, name: str) -> MethodProxy:
        return MethodProxy(self, checked(name))

    def __repr__(self) -> str:
        return f"<client of {self._endpoint.target.url}>"

    def _ask(self, question: Question) -> Any:
        timeout = self._endpoint.timeout
        try:
            exchange = self._carry(question, None if timeout is None else time.monotonic() + timeout)
        except OSError as error:
            raise failed(error, self._endpoint.target.url, timeout) from error
        return exchange.result()

    def _carry(self, question: Question, deadline: float | None) -> Exchange:
        connection, retries = self._take(), self._endpoint.retries
        while True:
            kept = connection is not None
            try:
                return self._use(
                    connection or Connection(self._endpoint.target, self._context, deadline, self._busy_poll_time),
                    question,
                    deadline,
                )
            except UnsentError:
                if not kept:
                    raise
            except UnansweredError:
                # It may have been carried out, and must not be repeated unasked (RFC 9110 section 9.2.2).
                if not retries:
                    raise
                retries -= 1
            connection = None

    def _use(self, connection: Connection, question: Question, deadline: float | None) -> Exchange:
        keep = 0.0
        try:
            exchange = self._endpoint.open(question, _left(deadline))
            connection.carry(exchange, deadline)
            keep = exchange.keep
        finally:
            self._give_back(connection, keep)
        return exchange

    def _take(self) -> Connection | None:
        """Take an idle connection that still lives, if there is one."""
        while True:
            with self._lock:
                if self._closed:
                    raise RuntimeError(f"{self!r} is closed; connect() again")
                if self._process != os.getpid():  # forked: those connections are the parent's
                    self._process, stale, self._idle = os.getpid(), self._idle, []
                    for connection in stale:
                        connection.close()
                if not self._idle:
                    return None
                connection = self._idle.pop()
            if time.monotonic() < connection.until and not connection.readable():
                return connection
            connection.close()  # its end, or a reply that nobody asked for, as a 408 before closing

    def _give_back(self, connection: Connection, keep: float) -> None:
        connection.until = time.monotonic() + keep
        with self._lock:
            if keep and connection.intact and not self._closed and len(self._idle) < _MAX_IDLE:
                self._idle.append(connection)
                return
        connection.close()


class Connection:
    """One connection to the server, carrying one exchange at a time.

    Args:
        target: The server.
        context: TLS settings, or None for no TLS.
        deadline: When to give up, by the monotonic clock, or None for never.
        busy_poll_time: See `Client`.

    Attributes:
        intact: Every question was sent whole, so that the next one may follow.
        until: When it has been idle for too long to be used, by the monotonic clock; 0 before its first exchange.

    Raises:
        OSError: It could not be made.
    """

    def __init__(
        self, target: Target, context: ssl.SSLContext | None, deadline: float | None, busy_poll_time: float
    ) -> None:
        self._socket = _connect(target, deadline)
        self._busy_poll = BusyPoll(busy_poll_time)
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        self.intact = True
        self.until = 0.0
        try:
            if context is not None:
                self._socket.settimeout(_left(deadline))
                self._socket = context.wrap_socket(self._socket, server_hostname=target.host)
        except BaseException:
            self._socket.close()
            raise

    def carry(self, exchange: Exchange, deadline: float | None) -> None:
        """Send the question and receive until its reply is complete.

        Raises:
            UnsentError: The connection, which was kept, had ended.
            UnansweredError: It ended without an answer.
            OSError: It broke otherwise, or time ran out (TimeoutError).
        """
        broken = self._send(exchange.request, deadline)
        try:
            while True:
                self._socket.settimeout(_left(deadline))
                data = self._busy_poll.read(self._receive, self._look)
                if data:
                    if exchange.feed(data):
                        return
                elif exchange.started:
                    exchange.eof()
                    return
                else:
                    break
        except OSError as error:
            raise lost(error, started=exchange.started) from error
        raise lost(broken, started=False) from broken

    def _send(self, request: bytes, deadline: float | None) -> OSError | None:
        """Send the question; returns what went wrong after the start, when there may be an answer all the same."""
        sent = 0
        self._socket.settimeout(_left(deadline))
        try:
            sent = self._socket.send(request[:_RECORD])
            if sent < len(request):
                self._socket.settimeout(_left(deadline))
                self._socket.sendall(memoryview(request)[sent:])
        except TimeoutError:
            raise
        except OSError as error:
            if self.until and not sent:
                raise UnsentError(f"it ended before the call could be sent ({error})") from error
            # A server that refuses a request early, as with a 413, may close before it has read everything.
            self.intact = False
            return error
        return None

    def _receive(self) -> bytes:
        return self._socket.recv(_CHUNK)

    def _look(self) -> bytes | None:
        # A socket with a time limit waits before it reads, whatever is asked of it.
        if self._poll.poll(0) or (isinstance(self._socket, ssl.SSLSocket) and self._socket.pending()):
            return self._socket.recv(_CHUNK)
        return None

    def readable(self) -> bool:
        """Whether something came in, be it the end."""
        return readable(self._socket)

    def close(self) -> None:
        """Close it."""
        self._socket.close()
        self._busy_poll.end()


def _connect(target: Target, deadline: float | None) -> socket.socket:
    if target.socket:
        return _connect_one(socket.AF_UNIX, 0, target.socket, deadline)
    failure: OSError = OSError("the name has no address")
    for family, _, protocol, _, address in socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM):
        try:
            connected = _connect_one(family, protocol, address, deadline)
        except TimeoutError:
            raise
        except OSError as error:
            failure = error
        else:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connected
    raise failure


def _connect_one(family: int, protocol: int, address: Any, deadline: float | None) -> socket.socket:
    connecting = socket.socket(family, socket.SOCK_STREAM, protocol)
    try:
        connecting.settimeout(_left(deadline))
        connecting.connect(address)
    except BaseException:
        connecting.close()
        raise
    return connecting


def _left(deadline: float | None) -> float | None:
    if deadline is None:
        return None
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
