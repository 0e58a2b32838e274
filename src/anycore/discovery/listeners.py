"""The sockets of a registry's server, driven by its selector: UDP, and TCP with its connections. None of them ever waits."""

from __future__ import annotations

import contextlib
import logging
import selectors
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Final

from anycore.discovery.service import RegistryService
from anycore.kernel.call import Peer, is_loopback
from anycore.wire.errors import RemoteProtocolError
from anycore.wire.registry import decode_request
from anycore.wire.rpyc_constants import MAX_DATAGRAM

_log = logging.getLogger("anycore.discovery")
_PER_TURN: Final = 64
_PAUSE: Final = 1.0


class Listener(ABC):
    """One socket that requests arrive at.

    Args:
        service: What answers.
        selector: Calls `key.data()` of what is ready.
    """

    mode: ClassVar[str]
    kind: ClassVar[socket.SocketKind]

    def __init__(self, service: RegistryService, selector: selectors.BaseSelector) -> None:
        self._service = service
        self._selector = selector
        self._socket: socket.socket | None = None

    def bind(self, family: socket.AddressFamily, host: str, port: int) -> int:
        """Bind the socket and wait for its first request from now on.

        Args:
            family: Of the address.
            host: The address, or a name of it.
            port: 0 for a free one.

        Returns:
            The port.

        Raises:
            OSError: It cannot be bound there.
        """
        address = socket.getaddrinfo(host, port, family, self.kind)[0][4]
        self._socket = made = socket.socket(family, self.kind)
        made.setblocking(False)
        if family == socket.AF_INET6 and socket.has_dualstack_ipv6():
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        if self.kind == socket.SOCK_STREAM:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
        if self.kind == socket.SOCK_STREAM:
            made.listen(128)
        self._selector.register(made, selectors.EVENT_READ, self._ready)
        bound: int = made.getsockname()[1]
        return bound

    def stop_accepting(self) -> None:
        """Close the socket; what is under way goes on."""
        if self._socket is not None:
            _forget(self._selector, self._socket)
            self._socket = None

    def close(self) -> None:
        """Close all sockets."""
        self.stop_accepting()

    @property
    def busy(self) -> bool:
        """Whether something is under way."""
        return False

    def tick(self) -> float | None:
        """Do what is due.

        Returns:
            The seconds until something is due again, or None.
        """
        return None

    @abstractmethod
    def _ready(self) -> None:
        """Take what has arrived."""


class UdpListener(Listener):
    """Datagrams in, datagrams out."""

    mode = "udp"
    kind = socket.SOCK_DGRAM

    def _ready(self) -> None:
        for _ in range(_PER_TURN):
            if self._socket is None:
                return
            try:
                data, address = self._socket.recvfrom(MAX_DATAGRAM + 1)
            except BlockingIOError:
                return
            except OSError as error:  # what became of an earlier answer (ICMP)
                _log.debug("a registry's datagram came to nothing: %s", error)
                continue
            peer = _peer("udp", address)
            answer = self._service.answer_datagram(data, peer)
            if answer is not None:
                try:
                    self._socket.sendto(answer, address)
                except OSError as error:  # BlockingIOError too: a client asks again
                    self._service.refuse(peer, "registry-unsent", f"the answer could not be sent: {error}")


class TcpListener(Listener):
    """Connections of one request and one answer each.

    Args:
        service: What answers.
        selector: Calls `key.data()` of what is ready.
        max_connections: How many there may be at a time.
        seconds: How long each may take.
        clock: Returns seconds that only grow.
    """

    mode = "tcp"
    kind = socket.SOCK_STREAM

    def __init__(
        self,
        service: RegistryService,
        selector: selectors.BaseSelector,
        max_connections: int,
        seconds: float,
        clock: Callable[[], float],
    ) -> None:
        super().__init__(service, selector)
        self._max = max_connections
        self._seconds = seconds
        self._clock = clock
        self._connections: dict[Connection, float] = {}  # with their deadlines, the first one first
        self._paused_until: float | None = None

    @property
    def busy(self) -> bool:
        """Whether a client is connected."""
        return bool(self._connections)

    def tick(self) -> float | None:
        """Drop clients whose time is up."""
        now = self._clock()
        if self._paused_until is not None and self._paused_until <= now and self._socket is not None:
            self._paused_until = None
            self._selector.register(self._socket, selectors.EVENT_READ, self._ready)
        for connection, deadline in list(self._connections.items()):
            if deadline > now:
                break
            connection.drop("registry-timeout", f"no request within {self._seconds:g} s")
        waits = [deadline - now for deadline in self._connections.values()][:1]
        return min(waits + ([] if self._paused_until is None else [self._paused_until - now]), default=None)

    def close(self) -> None:
        """Close all sockets."""
        super().close()
        for connection in list(self._connections):
            connection.close()

    def _ready(self) -> None:
        for _ in range(_PER_TURN):
            if self._socket is None:
                return
            try:
                accepted, address = self._socket.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:  # no file descriptors left: asking again at once would only burn time
                _log.warning("the registry cannot accept: %s; it tries again in %g s", error, _PAUSE)
                self._selector.unregister(self._socket)
                self._paused_until = self._clock() + _PAUSE
                return
            if len(self._connections) >= self._max:
                oldest = next(iter(self._connections))
                oldest.drop("registry-crowded", f"was silent when client {self._max + 1} came")
            connection = Connection(self._service, accepted, _peer("tcp", address), self._leave)
            self._connections[connection] = self._clock() + self._seconds
            self._selector.register(accepted, selectors.EVENT_READ, connection.ready)

    def _leave(self, connection: Connection) -> None:
        del self._connections[connection]
        _forget(self._selector, connection.socket)


class Connection:
    """One TCP client: a request, which may come in pieces, and its answer.

    Args:
        service: What answers.
        accepted: The socket.
        peer: The other end.
        leave: Called with the connection to close it.
    """

    def __init__(
        self,
        service: RegistryService,
        accepted: socket.socket,
        peer: Peer,
        leave: Callable[[Connection], None],
    ) -> None:
        self.socket = accepted
        accepted.setblocking(False)
        self._service = service
        self._peer = peer
        self._leave = leave
        self._data = b""

    def ready(self) -> None:
        """Take what has arrived, and answer when it is a request."""
        try:
            piece = self.socket.recv(MAX_DATAGRAM + 1 - len(self._data))
        except BlockingIOError:
            return
        except OSError as error:
            self.drop("registry-connection", f"the connection failed: {error}")
            return
        if not piece and not self._data:
            self.close()  # somebody has looked whether the port is open
            return
        self._data += piece
        try:
            request = decode_request(self._data)
        except RemoteProtocolError as error:  # perhaps only for the moment: nothing says where a request ends
            if not piece or len(self._data) > MAX_DATAGRAM:
                self.drop("registry-datagram", error.message)
            return
        answer = self._service.answer(request, self._peer, max_list=MAX_DATAGRAM)  # as much as RPyC's client takes
        try:
            if answer is not None:
                self.socket.send(answer)  # into the empty buffer of a new connection
        except OSError as error:
            self.drop("registry-unsent", f"the answer could not be sent: {error}")
        else:
            self.close()

    def drop(self, kind: str, message: str) -> None:
        """Count the client among the incidents, and close.

        Args:
            kind: What it is counted by.
            message: What was wrong with it.
        """
        self._service.refuse(self._peer, kind, message)
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._leave(self)


def _peer(transport: str, address: Any) -> Peer:
    host = str(address[0])
    return Peer(transport, host, int(address[1]), local=is_loopback(host))


def _forget(selector: selectors.BaseSelector, what: socket.socket) -> None:
    with contextlib.suppress(KeyError, ValueError):  # a listener that pauses is not registered
        selector.unregister(what)
    what.close()
