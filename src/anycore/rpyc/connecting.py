"""Making connections to servers that run already, as a client. Servers that are started for a connection are in `starting`."""

from __future__ import annotations

import os
import socket
import ssl
from typing import TYPE_CHECKING, Any

from anycore.conversations.rpyc import RpycConversation
from anycore.cores.pipes import as_socket
from anycore.cores.probing import probe
from anycore.cores.pump import Pump
from anycore.kernel.call import Peer
from anycore.objects.config import BUSY_POLL_TIME
from anycore.objects.connection import Connection
from anycore.rpyc.login import check, login
from anycore.rpyc.service import VoidService
from anycore.wire.rpyc import MessageCodec
from anycore.wire.rpyc_constants import MAX_FRAME

if TYPE_CHECKING:
    from collections.abc import Callable

    from anycore.cores.pipes import Pipe

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
    credentials: tuple[str, str] | None = None,
    token: str = "",
    cleartext: bool = False,
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
        credentials: Name and password to sign in with, to a server of Anycore.
        token: A bearer token to sign in with, in their place.
        cleartext: Whether these may be sent to another machine without TLS.

    Raises:
        OSError: When no connection can be made; `LoginError`, which is one, when the server does not take the credentials.
    """
    check(credentials, token)
    made = _connect_tcp(host, port, ipv6=ipv6, keepalive=keepalive, timeout=timeout)
    connection = connect_socket(made, service, config, dialect=dialect)
    login(connection, made, credentials, token, cleartext=cleartext)
    return connection


def ssl_connect(
    host: str,
    port: int = DEFAULT_SSL_PORT,
    service: type | object = VoidService,
    config: dict[str, Any] | None = None,
    *,
    keyfile: str | None = None,
    certfile: str | None = None,
    ca_certs: str | None = None,
    verify_mode: ssl.VerifyMode = ssl.CERT_REQUIRED,
    check_hostname: bool = True,
    ciphers: str | None = None,
    context: ssl.SSLContext | None = None,
    ipv6: bool = False,
    keepalive: bool | int = False,
    timeout: float = 10.0,
    dialect: int | None = None,
    credentials: tuple[str, str] | None = None,
    token: str = "",
) -> Connection:
    """Connect to a server over TLS. Unlike with RPyC, the server's certificate is verified unless that is declined.

    Args:
        host: Name or address; the certificate must be for it.
        port: The port.
        service: See `connect`.
        config: See `connect`.
        keyfile: PEM file with the private key for `certfile`, when it is not in that file.
        certfile: PEM file with the certificate to show to a server that asks for one.
        ca_certs: PEM file with the authorities to trust; those of the system when left out.
        verify_mode: `ssl.CERT_NONE` to talk to a server whoever it is.
        check_hostname: Whether the certificate must be for `host`.
        ciphers: The ciphers to offer, in OpenSSL's words.
        context: A TLS context to use in place of all these.
        ipv6: See `connect`.
        keepalive: See `connect`.
        timeout: Seconds that connecting may take, and the hand-shake again as many.
        dialect: See `connect`.
        credentials: See `connect`.
        token: See `connect`.

    Raises:
        OSError: When no connection can be made; `ssl.SSLError`, which is one, when TLS is why; `LoginError` as with `connect`.
    """
    check(credentials, token)
    if context is None:
        context = _tls_context(keyfile, certfile, ca_certs, verify_mode, check_hostname, ciphers)
    raw = _connect_tcp(host, port, ipv6=ipv6, keepalive=keepalive, timeout=timeout)
    try:
        wrapped = context.wrap_socket(raw, server_hostname=host)
    except BaseException:
        raw.close()
        raise
    connection = connect_socket(wrapped, service, config, dialect=dialect)
    login(connection, wrapped, credentials, token, cleartext=False)
    return connection


def _tls_context(
    keyfile: str | None,
    certfile: str | None,
    ca_certs: str | None,
    verify_mode: ssl.VerifyMode,
    check_hostname: bool,
    ciphers: str | None,
) -> ssl.SSLContext:
    made = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=ca_certs)
    made.check_hostname = check_hostname and verify_mode is not ssl.CERT_NONE
    made.verify_mode = verify_mode
    if certfile is not None:
        made.load_cert_chain(certfile, keyfile)
    if ciphers is not None:
        made.set_ciphers(ciphers)
    return made


def _connect_tcp(host: str, port: int, *, ipv6: bool, keepalive: bool | int, timeout: float) -> socket.socket:
    """Connect to the first address of a host that can be connected to."""
    family = socket.AF_INET6 if ipv6 else socket.AF_INET
    failed: OSError | None = None
    for _, kind, protocol, _, address in socket.getaddrinfo(host, port, family, socket.SOCK_STREAM):
        made = socket.socket(family, kind, protocol)
        try:
            made.settimeout(timeout)
            made.connect(address)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if keepalive:
                probe(made, 60 if keepalive is True else int(keepalive))
        except OSError as error:
            made.close()
            failed = error
        except BaseException:
            made.close()
            raise
        else:
            return made
    raise failed if failed is not None else OSError(f"{host} has no {'IPv6' if ipv6 else 'IPv4'} address")


def unix_connect(
    path: str,
    service: type | object = VoidService,
    config: dict[str, Any] | None = None,
    *,
    credentials: tuple[str, str] | None = None,
    token: str = "",
) -> Connection:
    """Connect to a server on this machine by a unix socket; see `connect`."""
    check(credentials, token)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        made.connect(path)
    except BaseException:
        made.close()
        raise
    connection = connect_socket(made, service, config)
    login(connection, made, credentials, token, cleartext=False)
    return connection


def connect_pipes(
    incoming: Pipe, outgoing: Pipe, service: type | object = VoidService, config: dict[str, Any] | None = None
) -> Connection:
    """Speak over two pipes.

    Args:
        incoming: What is read: a file, or a descriptor. Closed with the connection.
        outgoing: What is written; likewise.
        service: See `connect`.
        config: See `connect`.
    """
    return connect_socket(as_socket(incoming, outgoing), service, config)


def connect_stdpipes(service: type | object = VoidService, config: dict[str, Any] | None = None) -> Connection:
    """Speak over standard input and output. The program must not use them otherwise; see `pipes.take_standard_streams`."""
    return connect_pipes(os.dup(0), os.dup(1), service, config)


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
    given = config or {}
    conversation = RpycConversation(Peer(), connection, max_frame=given.get("max_frame", MAX_FRAME))
    pump = Pump(connected, conversation, busy_poll_time=given.get("busy_poll_time", BUSY_POLL_TIME))
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
