"""Binding the sockets that the configuration names. The TLS contexts that belong to them live in `tls`."""

from __future__ import annotations

import errno
import os
import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from anycore.cores.pipes import take_standard_streams
from anycore.kernel.call import is_loopback
from anycore.server.errors import StartupError

if TYPE_CHECKING:
    from anycore.settings.tables import ListenSettings
    from anycore.settings.urls import ListenAddress


def bind(settings: ListenSettings) -> socket.socket:
    """Return a bound socket; for standard input and output, which are taken over by this, a connected one.

    Args:
        settings: The listener's table of the configuration.

    Raises:
        StartupError: When the address cannot be had.
    """
    address = settings.address
    if address.stdio:
        return _take_stdio(settings)
    if address.path:
        return _bind_unix(Path(address.path), int(settings.mode, 8), settings.url)
    return _bind_tcp(address, settings.url)


def bound_url(settings: ListenSettings, bound: socket.socket) -> str:
    """Return the URL under which a bound socket is reached; it differs from the configured one where the system chose the port."""
    named = settings.address.stdio or bound.family == socket.AF_UNIX
    return settings.address.with_port(0 if named else bound.getsockname()[1])


def release(settings: ListenSettings, bound: socket.socket, *, keep_file: bool = False) -> None:
    """Close a listening socket, and remove the file of one that has a file, unless that is somebody else's now."""
    bound.close()
    if settings.address.path and not keep_file:
        Path(settings.address.path).unlink(missing_ok=True)


def _take_stdio(settings: ListenSettings) -> socket.socket:
    """Take over standard input and output; what is printed goes to standard error from then on."""
    if any(os.isatty(number) for number in (0, 1)):
        message = (
            f"cannot serve {settings.url}: standard input or output is a terminal; have this command started by what"
            " speaks to it, such as ssh, inetd, or a program that opens pipes to it"
        )
        raise StartupError(message)
    try:
        taken = take_standard_streams(keep_errors=True)
    except OSError as error:
        message = f"cannot serve {settings.url}: standard input or output is closed ({error.strerror}); leave both open"
        raise StartupError(message) from error
    if not settings.insecure and _is_from_elsewhere(taken):
        taken.close()
        message = (
            f"cannot serve {settings.url}: the peer is on another machine and nothing is encrypted; have it come through"
            " ssh or a TLS proxy, or write insecure = true if the network may read and change everything"
        )
        raise StartupError(message)
    return taken


def _is_from_elsewhere(connected: socket.socket) -> bool:
    if connected.family == socket.AF_UNIX:
        return False
    try:
        return not is_loopback(connected.getpeername()[0])
    except OSError:  # the peer has gone, whoever it was
        return False


def _bind_tcp(address: ListenAddress, shown: str) -> socket.socket:
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        message = f"cannot listen on {shown}: the host name {address.host!r} has no address ({error.strerror}); correct the URL"
        raise StartupError(message) from error
    family, kind, protocol, _, endpoint = found[0]
    made = socket.socket(family, kind, protocol)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(endpoint)
    except OSError as error:
        made.close()
        raise StartupError(_cannot_listen(shown, error)) from error
    return made


_CURES = {
    errno.EADDRINUSE: "another program has the port: stop it, or choose another port with --listen",
    errno.EACCES: "ports below 1024 need a privilege: choose a higher one with --listen",
    errno.EADDRNOTAVAIL: "this machine has no such address: choose one that it has with --listen",
}


def _cannot_listen(shown: str, error: OSError) -> str:
    cure = _CURES.get(error.errno or 0, "choose another address with --listen")
    return f"cannot listen on {shown}: {os.strerror(error.errno or 0)}; {cure}"


def _bind_unix(path: Path, mode: int, shown: str) -> socket.socket:
    """Bind a unix socket with the given permissions; take the place of one that a dead server has left."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if path.exists():
            _remove_stale(path, shown)
        before = os.umask(0o777 & ~mode)
        try:
            made.bind(str(path))
        finally:
            os.umask(before)
    except OSError as error:
        made.close()
        message = (
            f"cannot listen on {shown}: {error.strerror or error}; choose a path in a directory that may be written to"
        )
        raise StartupError(message) from error
    except StartupError:
        made.close()
        raise
    return made


def _remove_stale(path: Path, shown: str) -> None:
    if not stat.S_ISSOCK(path.stat().st_mode):
        message = f"cannot listen on {shown}: {path} exists and is not a socket; choose another path, or remove it"
        raise StartupError(message)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            path.unlink()
            return
    message = f"cannot listen on {shown}: another server answers there; stop it, or choose another path"
    raise StartupError(message)
