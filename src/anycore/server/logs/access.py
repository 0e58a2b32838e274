"""The access log: a line for each call that has ended, apart from the server's log."""

from __future__ import annotations

import logging
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from anycore.server.errors import StartupError
from anycore.server.logs.formatters import printable
from anycore.settings.keys import STANDARD_STREAM

if TYPE_CHECKING:
    from anycore.kernel.call import Call, Outcome

_log = logging.getLogger("anycore.server")

_encode = msgspec.json.Encoder().encode
_NAME_SHOWN: Final = 100  # characters of a name that a peer sent


class AccessLog:
    """An observer of the kernel that writes a line for each call, in one write, so that several processes may share the file.

    Args:
        path: The file; it is opened again when it was moved away, as logrotate does. `-` for standard error.
        pretty: Whether lines are for people rather than JSON.

    Raises:
        StartupError: The file cannot be written.
    """

    def __init__(self, path: str, *, pretty: bool = False) -> None:
        self._path = path
        self._pretty = pretty
        self._second = 0
        self._stamp = ""
        self._failed = False
        self._file = -1
        self._inode = (0, 0)
        try:
            self._open()
        except OSError as error:
            message = f"log.access: {path} cannot be written: {error.strerror}; give the path of a file in a directory that exists, or -"
            raise StartupError(message) from error

    def _open(self) -> None:
        if self._path == STANDARD_STREAM:
            self._file = sys.stderr.fileno()
            return
        opened = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        found = os.fstat(opened)
        old, self._file, self._inode = self._file, opened, (found.st_dev, found.st_ino)
        if old >= 0:
            os.close(old)

    def close(self) -> None:
        """Close the file; nothing is written any more."""
        file, self._file = self._file, -1
        if file >= 0 and self._path != STANDARD_STREAM:
            os.close(file)

    def __call__(self, call: Call, outcome: Outcome, nanoseconds: int) -> None:
        """Write the line of a call.

        Args:
            call: The call.
            outcome: What became of it.
            nanoseconds: How long it took.
        """
        try:
            now = time.time()
            second = int(now)
            if second != self._second:
                self._turn(second)
            line = self._line(now - second, call, outcome, nanoseconds)
            if self._file >= 0:
                os.write(self._file, line)
                self._failed = False
        except OSError as error:
            if not self._failed:  # once, until it goes again: a full disk must not fill the server's log as well
                self._failed = True
                _log.error("the access log %s cannot be written: %s", self._path, error.strerror)

    def _turn(self, second: int) -> None:
        """A second has begun: write the time anew, and look whether the file is still there."""
        self._stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        self._second = second
        if self._path == STANDARD_STREAM or self._file < 0:
            return
        try:
            found = Path(self._path).stat()
            if (found.st_dev, found.st_ino) == self._inode:
                return
        except FileNotFoundError:
            pass
        self._open()

    def _line(self, fraction: float, call: Call, outcome: Outcome, nanoseconds: int) -> bytes:
        stamp = f"{self._stamp}.{int(fraction * 1000):03}Z"
        fault = outcome.fault
        name = call.name[:_NAME_SHOWN]
        if self._pretty:
            end = "ok" if fault is None else f"fault {fault.code}"
            text = f"{stamp} {call.id} {call.peer} {call.identity.name} {call.wire} {name} {end} {nanoseconds / 1e6:.3f} ms"
            return (printable(text).replace("\n", "\\n") + "\n").encode()
        fields: dict[str, Any] = {
            "time": stamp,
            "id": call.id,
            "peer": str(call.peer),
            "identity": call.identity.name,
            "kind": call.identity.kind,
            "wire": call.wire,
            "method": name,
            "code": 0 if fault is None else fault.code,
            "ms": round(nanoseconds / 1e6, 3),
        }
        return bytes(_encode(fields)) + b"\n"
