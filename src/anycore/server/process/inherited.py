"""Listening sockets that somebody else has opened: systemd, or the server whose place this one takes. They are matched to listeners."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from anycore.kernel.call import is_loopback
from anycore.server.errors import StartupError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from anycore.settings.tables import ListenSettings


class Passed(msgspec.Struct, eq=False):
    """A socket that was passed to this process.

    Args:
        name: What it is called: the URL of its listener where another server passed it, systemd's name for it where that did.
        socket: The socket, bound.
        keeps_file: Whether the file of a Unix socket stays when the server ends, as it is somebody else's.
    """

    name: str
    socket: socket.socket
    keeps_file: bool = False


class Inherited:
    """Sockets that were passed, until a listener takes them.

    Args:
        passed: The sockets.
        giver: Who passed them, for messages; empty for a server whose place this one takes, which may have had other listeners.
    """

    def __init__(self, passed: Iterable[Passed] = (), giver: str = "") -> None:
        self._passed = list(passed)
        self._giver = giver

    def take(self, settings: ListenSettings) -> Passed | None:
        """Return the socket that was opened for a listener; None when there is none, and it is to be bound.

        Args:
            settings: The listener's table of the configuration.

        Raises:
            StartupError: When the socket that has its name reaches further than the listener may.
        """
        if settings.address.stdio:
            return None
        for suits in (_is_named, _has_address):
            for one in self._passed:
                if suits(settings, one) and one.socket.type == socket.SOCK_STREAM:
                    self._passed.remove(one)
                    _check_reach(settings, one)
                    return one
        return None

    def finish(self) -> None:
        """Close what no listener has taken.

        Raises:
            StartupError: When systemd has opened it: its callers would wait for ever.
        """
        left, self._passed = self._passed, []
        places = [f"{one.name or 'without a name'} at {_shown(one.socket)}" for one in left]
        for one in left:
            one.socket.close()
        if places and self._giver:
            message = (
                f"{self._giver} passed a socket for which there is no listener: {', '.join(places)}; add a table [[listen]] with its"
                " address, or with its name as socket_name, or remove it from the socket unit"
            )
            raise StartupError(message)


def _is_named(settings: ListenSettings, one: Passed) -> bool:
    return bool(one.name) and one.name in (settings.url, settings.socket_name)


def _has_address(settings: ListenSettings, one: Passed) -> bool:
    address, bound = settings.address, one.socket.getsockname()
    if one.socket.family == socket.AF_UNIX:
        return bool(address.path) and bound == address.path
    if not address.port or bound[1] != address.port:
        return False
    with suppress(OSError):
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        return any(entry[4][0] == bound[0] for entry in found)
    return False


def _check_reach(settings: ListenSettings, one: Passed) -> None:
    """What the configuration promises of an address must hold of the socket that stands in for it."""
    here = one.socket.family == socket.AF_UNIX or is_loopback(one.socket.getsockname()[0])
    if not here and not settings.address.tls and not settings.insecure:
        where = _shown(one.socket)
        one.socket.close()
        message = (
            f"the socket {one.name} at {where} can be reached from other machines, and the listener {settings.url} is not encrypted;"
            " use https:// or rpycs://, or write insecure = true if the network may read and change everything"
        )
        raise StartupError(message)


def _shown(bound: socket.socket) -> str:
    name = bound.getsockname()
    return f"{name[0]} port {name[1]}" if isinstance(name, tuple) else str(name)
