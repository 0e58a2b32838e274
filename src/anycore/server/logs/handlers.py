"""Where log records go: handlers of the standard library's logging, made from the settings."""

from __future__ import annotations

import logging
import os
from logging.handlers import SysLogHandler, WatchedFileHandler
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from anycore.server.errors import StartupError
from anycore.server.logs.formatters import JsonFormatter

_NAMES: Final = ("anycore-log", "anycore-syslog")
_SYSLOG_PORT: Final = 514


def mark(handler: logging.Handler, *, syslog: bool = False) -> logging.Handler:
    """Give a handler the name by which `ours` knows it."""
    handler.set_name(_NAMES[syslog])
    return handler


def ours(handler: logging.Handler) -> bool:
    """Tell whether a handler is one of ours, so that a second set-up replaces it and nobody else's."""
    return handler.get_name() in _NAMES


def rotated(path: str) -> logging.Handler:
    """Return a handler that appends to a file, and opens it again when it was moved away, as logrotate does.

    Args:
        path: The file.

    Raises:
        StartupError: It cannot be written.
    """
    try:
        return WatchedFileHandler(path, encoding="utf-8")
    except OSError as error:
        message = (
            f"log.file: {path} cannot be written: {error.strerror}; give the path of a file in a directory that exists"
        )
        raise StartupError(message) from error


def syslog(address: str, facility: str) -> logging.Handler:
    """Return a handler that sends records, as JSON in one line, to syslog (RFC 3164).

    Args:
        address: The path of its socket, or `udp://HOST:PORT`.
        facility: The facility, by name.

    Raises:
        StartupError: Nothing listens at the path, or the host has no address.
    """
    try:
        handler = SysLogHandler(_place(address), facility)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        message = f"log.syslog: {address}: {reason}; write the path of syslog's socket, as /dev/log, or udp://HOST:PORT"
        raise StartupError(message) from error
    handler.ident = f"anycore[{os.getpid()}]: "
    handler.append_nul = False
    handler.setFormatter(JsonFormatter())
    return mark(handler, syslog=True)


def _place(address: str) -> str | tuple[str, int]:
    if address.startswith("/"):
        Path(address).stat()  # the handler itself would say nothing
        return address
    parts = urlsplit(address)
    if parts.scheme != "udp" or not parts.hostname:
        message = "expected a path or a URL"
        raise ValueError(message)
    return parts.hostname, parts.port or _SYSLOG_PORT
