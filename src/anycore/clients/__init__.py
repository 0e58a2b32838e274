"""Clients of every wire, synchronous and asyncio, on the same codecs as the server.

    with connect("jsonrpc+http://localhost:6789") as client:
        client.thermostat.set(celsius=21.5, room="hall")

What is refused and raised: `Fault` when the server answered with one, `TransportError` when no answer could be had,
`LocalProtocolError` when the wire cannot carry what was asked.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from typing import Any

from anycore.clients.aio import AsyncClient
from anycore.clients.blocking import Client
from anycore.clients.credentials import authorization, with_authorization
from anycore.clients.errors import CallTimeoutError, TransportError
from anycore.clients.exchange import IDLE_TIME, MAX_REPLY, make_endpoint
from anycore.objects.config import BUSY_POLL_TIME, MAX_BUSY_POLL_TIME
from anycore.wire.errors import LocalProtocolError
from anycore.wire.faults import Fault

__all__ = [
    "AsyncClient",
    "CallTimeoutError",
    "Client",
    "Fault",
    "LocalProtocolError",
    "TransportError",
    "aconnect",
    "connect",
]


def connect(
    url: str,
    *,
    timeout: float | None = 30.0,
    context: ssl.SSLContext | None = None,
    headers: Mapping[str, str] | None = None,
    compress: bool = False,
    max_reply: int = MAX_REPLY,
    default: Callable[[Any], Any] | None = None,
    credentials: tuple[str, str] | None = None,
    token: str = "",
    idle_time: float = IDLE_TIME,
    retries: int = 0,
    busy_poll_time: float = BUSY_POLL_TIME,
) -> Client:
    """Make a synchronous client. Nothing is connected before the first call.

    Args:
        url: ``http://host:port/path`` or ``https://`` for XML-RPC, ``jsonrpc+http://`` or ``jsonrpc+https://`` for
            JSON-RPC, ``unix+http:///path/to.sock`` (or ``unix+jsonrpc+http``) for a socket in the file system. The path
            is /RPC2 or /jsonrpc when there is none. Credentials, as in ``http://name:password@host/``, go into an
            Authorization header.
        timeout: Seconds for a call from its start to its whole reply, or None for no limit; the server is told.
        context: TLS settings; without them the server's certificate must be one that the system trusts.
        headers: More header fields for each request, or other values for those that are sent anyway.
        compress: Whether to send large requests as gzip; replies may always be compressed.
        max_reply: The largest reply taken, in bytes, decompressed or not.
        default: Called with a value of a type that the wire does not know; returns one that it does.
        credentials: Name and password to sign in with, in place of those in the URL.
        token: A bearer token to sign in with, in their place.
        idle_time: Seconds that a connection may have been idle and still be used, 0 to use none twice. Give less than the
            server's own `idle_time`, which is 75 unless changed; one that says its time (`Keep-Alive: timeout=5`) is believed.
        retries: How often a call is made once more when its connection has ended without a byte of an answer. Whether it was
            carried out cannot be known then, so that this is for methods that may be called twice (RFC 9110 section 9.2.2).
        busy_poll_time: Seconds that a thread looks for an answer, where the last ones came quickly, before it sleeps until that comes:
            being woken takes longer than a short call. 0.01 at most, 0 for never.

    Returns:
        A client that threads may share, and a context manager that closes it.

    Raises:
        ValueError: The URL, the credentials or one of the numbers have no meaning.
        LocalProtocolError: A header cannot be sent.
    """
    if not 0 <= busy_poll_time <= MAX_BUSY_POLL_TIME:
        message = f"busy_poll_time must be a number of seconds from 0 to {MAX_BUSY_POLL_TIME:g}, not {busy_poll_time!r}"
        raise ValueError(message)
    headers = with_authorization(headers, authorization(credentials, token))
    endpoint = make_endpoint(
        url,
        timeout=timeout,
        headers=headers,
        compress=compress,
        max_reply=max_reply,
        default=default,
        idle_time=idle_time,
        retries=retries,
    )
    return Client(endpoint, context, busy_poll_time)


def aconnect(
    url: str,
    *,
    timeout: float | None = 30.0,
    context: ssl.SSLContext | None = None,
    headers: Mapping[str, str] | None = None,
    compress: bool = False,
    max_reply: int = MAX_REPLY,
    default: Callable[[Any], Any] | None = None,
    credentials: tuple[str, str] | None = None,
    token: str = "",
    idle_time: float = IDLE_TIME,
    retries: int = 0,
) -> AsyncClient:
    """Make an asyncio client; the arguments, but for `busy_poll_time`, and errors are those of `connect`. Nothing is connected before a call.

    Returns:
        A client that tasks of one event loop may share, and an asynchronous context manager that closes it.
    """
    headers = with_authorization(headers, authorization(credentials, token))
    endpoint = make_endpoint(
        url,
        timeout=timeout,
        headers=headers,
        compress=compress,
        max_reply=max_reply,
        default=default,
        idle_time=idle_time,
        retries=retries,
    )
    return AsyncClient(endpoint, context)
