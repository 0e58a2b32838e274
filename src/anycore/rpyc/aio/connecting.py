"""Making connections on an event loop."""

from __future__ import annotations

import asyncio
import ssl as tls
from typing import TYPE_CHECKING, Any

from anycore.cores.probing import probe
from anycore.rpyc import login
from anycore.rpyc.aio.connection import Connection
from anycore.rpyc.service import VoidService

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

DEFAULT_PORT = 18812
_RACE_SECONDS = 0.25
"""How long an address may take to be connected to before the host's next one is tried as well (RFC 8305)."""


async def connect(
    host: str,
    port: int = DEFAULT_PORT,
    *,
    service: type | object | None = None,
    config: dict[str, Any] | None = None,
    timeout: float | None = 10.0,  # noqa: ASYNC109 - for connecting, which has several steps
    ssl: tls.SSLContext | bool | None = None,
    keepalive: bool | int = False,
    ping_interval: float | None = None,
    dialect: int | None = None,
    credentials: tuple[str, str] | None = None,
    token: str = "",
    cleartext: bool = False,
) -> Connection:
    """Connect to a server over TCP.

    Args:
        host: Name or address.
        port: The port.
        service: What the server may reach at this end: a class, made for this connection, or an instance; nothing when left out.
        config: Keys of the configuration that differ from the defaults. With `sync_request_timeout`, requests have a time limit.
        timeout: Seconds until the connection must be there and the server must have answered; None for no limit.
        ssl: A TLS context; or True to trust what the system trusts. The certificate must be for `host`, unless the context says otherwise.
        keepalive: Whether the system is to find out that the server's machine has gone: True for after 60 s, or a number of seconds.
        ping_interval: Seconds of silence after which the server is pinged; silent for as long again, it is given up. Not for servers
            that, as RPyC's own, do not answer pings while they are at a call that takes longer.
        dialect: 5 for a server of RPyC 4.1 to 5, 6 for one of RPyC 6, which is the default.
        credentials: Name and password to sign in with, to a server of Anycore.
        token: A bearer token to sign in with, in their place.
        cleartext: Whether these may be sent to another machine without TLS.

    Returns:
        The connection, which is an asynchronous context manager.

    Raises:
        OSError: When no connection can be made; `TimeoutError` and `ssl.SSLError` are such, and so is `LoginError`, when the server does not
            take the credentials.
        EOFError: When the server ended the connection at once; the message says why.
    """
    context = tls.create_default_context() if ssl is True else ssl or None

    async def dial(factory: Callable[[], Any]) -> Any:
        loop, name = asyncio.get_running_loop(), host if context is not None else None
        options: dict[str, Any] = {"happy_eyeballs_delay": _RACE_SECONDS, "ssl": context, "server_hostname": name}
        return await loop.create_connection(factory, host, port, **options)

    where = f"{host}:{port}"
    entry = _Entry(where, credentials, token, cleartext=cleartext or context is not None)
    connection = await _begin(entry, dial, service, config, timeout, dialect=dialect, ping_interval=ping_interval)
    if keepalive:
        probe(connection.line.get_extra_info("socket"), 60 if keepalive is True else int(keepalive))
    return connection


async def unix_connect(
    path: str,
    *,
    service: type | object | None = None,
    config: dict[str, Any] | None = None,
    timeout: float | None = 10.0,  # noqa: ASYNC109 - as above
    ping_interval: float | None = None,
    dialect: int | None = None,
    credentials: tuple[str, str] | None = None,
    token: str = "",
) -> Connection:
    """Connect to a server on this machine by a Unix socket; see `connect`.

    Args:
        path: The socket.
        service: See `connect`.
        config: See `connect`.
        timeout: See `connect`.
        ping_interval: See `connect`.
        dialect: See `connect`.
        credentials: See `connect`.
        token: See `connect`.
    """

    async def dial(factory: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().create_unix_connection(factory, path)

    entry = _Entry(path, credentials, token, cleartext=True)
    return await _begin(entry, dial, service, config, timeout, dialect=dialect, ping_interval=ping_interval)


class _Entry:
    """Where to connect to, and what to sign in with there."""

    def __init__(self, where: str, credentials: tuple[str, str] | None, token: str, *, cleartext: bool) -> None:
        self.where = where
        self._wanted = login.check(credentials, token)
        self._arguments = login.arguments(credentials, token)
        self._cleartext = cleartext

    async def sign_in(self, connection: Connection) -> None:
        """Sign in, if there is anything to sign in with."""
        if not self._wanted:
            return
        login.check_private(connection.line.get_extra_info("socket"), self.where, cleartext=self._cleartext)
        try:
            await getattr(connection.root, login.METHOD)(*self._arguments)
        except (EOFError, asyncio.CancelledError):
            raise
        except Exception as error:
            raise login.refused(self.where, error) from error


async def _begin(
    entry: _Entry,
    dial: Callable[[Callable[[], Any]], Awaitable[Any]],
    service: type | object | None,
    config: dict[str, Any] | None,
    timeout: float | None,  # noqa: ASYNC109 - as above
    **options: Any,
) -> Connection:
    made = VoidService if service is None else service
    connection = Connection(made() if isinstance(made, type) else made, config, **options)
    try:
        async with asyncio.timeout(timeout) as limit:
            await dial(lambda: connection.line)
            await connection.begin()
            await entry.sign_in(connection)
    except BaseException as error:
        connection.drop(f"connecting failed: {error!r:.200}")
        if isinstance(error, TimeoutError) and limit.expired():
            message = (
                f"{entry.where}: no connection to an RPyC server within {timeout:g} s; it may be another kind of server"
            )
            raise TimeoutError(message) from None
        raise
    return connection
