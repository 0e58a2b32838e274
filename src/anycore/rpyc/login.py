"""Signing in over a connection: RPyC's protocol has no place for credentials, so they go in the first call to the server's root."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, Final

from anycore.clients.credentials import NEITHER
from anycore.kernel.call import is_loopback
from anycore.rpyc.faults import fault_of

if TYPE_CHECKING:
    import ssl

    from anycore.objects.connection import Connection

METHOD: Final = "authenticate"
"""What the root of a server of Anycore calls it."""


class LoginError(ConnectionError):
    """The server does not take the credentials, or they must not be sent to it."""


def check(credentials: tuple[str, str] | None, token: str) -> bool:
    """Tell whether there is anything to sign in with.

    Raises:
        ValueError: There is too much of it.
    """
    if credentials is not None and token:
        raise ValueError(NEITHER)
    return credentials is not None or bool(token)


def check_private(connected: Any, where: str, *, cleartext: bool) -> None:
    """Do nothing where credentials may be sent: over TLS, and to this machine.

    Args:
        connected: The socket, or what asyncio gives in its place.
        where: The server, for the message.
        cleartext: Whether they may be sent anywhere.

    Raises:
        LoginError: Whoever is on the way could read them.
    """
    if cleartext or hasattr(connected, "getpeercert") or connected.family == getattr(socket, "AF_UNIX", None):
        return
    if not is_loopback(connected.getpeername()[0]):
        message = (
            f"{where} is on another machine and the connection is not encrypted: whoever is on the way could read the password; connect"
            " with TLS, or say cleartext=True"
        )
        raise LoginError(message)


def arguments(credentials: tuple[str, str] | None, token: str) -> tuple[str, ...]:
    """Return what the server's `authenticate` is called with: name and password, or nothing and a token."""
    return credentials if credentials is not None else ("", token)


def refused(where: str, error: BaseException) -> LoginError:
    """Return what to raise when the server's `authenticate` has failed.

    Args:
        where: The server.
        error: What it raised.
    """
    if isinstance(error, AttributeError):
        return LoginError(
            f"{where} takes no credentials: it is no server of Anycore; use TLS with a client certificate"
        )
    return LoginError(f"{where} refuses the credentials: {fault_of(error).message}")


def login(
    connection: Connection,
    connected: socket.socket | ssl.SSLSocket,
    credentials: tuple[str, str] | None,
    token: str,
    *,
    cleartext: bool,
) -> None:
    """Sign in over a new connection; it is closed where that fails.

    Args:
        connection: The connection.
        connected: Its socket.
        credentials: Name and password.
        token: A bearer token.
        cleartext: Whether they may be sent to other machines without TLS.

    Raises:
        LoginError: It fails.
    """
    if not check(credentials, token):
        return
    where = "the server"
    try:
        check_private(connected, where, cleartext=cleartext)
        try:
            getattr(connection.root, METHOD)(*arguments(credentials, token))
        except EOFError:
            raise
        except Exception as error:
            raise refused(where, error) from error
    except BaseException:
        connection.close()
        raise
