"""Making connections, as a client."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, Any

from anycore.conversations.rpyc import RpycConversation
from anycore.cores.pump import Pump
from anycore.kernel.call import Peer
from anycore.objects.connection import Connection
from anycore.rpyc.service import VoidService
from anycore.wire.rpyc import MessageCodec

if TYPE_CHECKING:
    from collections.abc import Callable

DEFAULT_PORT = 18812
DEFAULT_SSL_PORT = 18821


def connect(
    host: str,
    port: int = DEFAULT_PORT,
    service: type | object = VoidService,
    config: dict[str, Any] | None = None,
    *,
    ipv6: bool = False,
    keepalive: bool | int = False,
    timeout: float = 10.0,
    dialect: int | None = None,
) -> Connection:
    """Connect to a server over TCP.

    Args:
        host: Name or address.
        port: The port.
        service: What the server may reach at this end: a class, made for this connection, or an instance.
        config: Keys of the configuration that differ from the defaults.
        ipv6: Whether to use IPv6.
        keepalive: Whether the system is to find out that the server has gone: True for after 60 s, or a number of seconds.
        timeout: Seconds that connecting may take.
        dialect: 5 for a server of RPyC 5, 6 for one of RPyC 6.

    Raises:
        OSError: When no connection can be made.
    """
    family = socket.AF_INET6 if ipv6 else socket.AF_INET
    found = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)
    kind, protocol, address = found[0][1], found[0][2], found[0][4]
    made = socket.socket(family, kind, protocol)
    try:
        made.settimeout(timeout)
        made.connect(address)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if keepalive:
            _keep_alive(made, 60 if keepalive is True else int(keepalive))
    except BaseException:
        made.close()
        raise
    return connect_socket(made, service, config, dialect=dialect)


def _keep_alive(connected: socket.socket, seconds: int) -> None:
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", seconds), ("TCP_KEEPINTVL", seconds), ("TCP_KEEPCNT", 5)):
        if hasattr(socket, name):
            connected.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def unix_connect(path: str, service: type | object = VoidService, config: dict[str, Any] | None = None) -> Connection:
    """Connect to a server on this machine by a unix socket; see `connect`."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        made.connect(path)
    except BaseException:
        made.close()
        raise
    return connect_socket(made, service, config)


def connect_socket(
    connected: socket.socket | ssl.SSLSocket,
    service: type | object = VoidService,
    config: dict[str, Any] | None = None,
    *,
    dialect: int | None = None,
) -> Connection:
    """Speak over a socket that is connected already; see `connect`."""
    root = service() if isinstance(service, type) else service
    connection = Connection(root, config, MessageCodec(dialect))
    conversation = RpycConversation(Peer(), connection)
    pump = Pump(connected, conversation)
    attach_service(connection, root)
    pump.begin()
    on_connect: Callable[[Connection], None] | None = getattr(root, "on_connect", None)
    if on_connect is not None:
        try:
            on_connect(connection)
        except BaseException:
            connection.close()
            raise
    return connection


def attach_service(connection: Connection, root: object) -> None:
    """See to it that a service is told once when its connection ends."""
    told = getattr(root, "on_disconnect", None)
    if told is not None:
        connection.on_end = lambda: told(connection)
