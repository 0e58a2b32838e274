"""Going into the background: the command waits until the server is ready or has failed, and ends the same way."""

from __future__ import annotations

import os
import stat
import struct
import sys
from contextlib import suppress
from typing import Final

_CODE: Final = struct.Struct("!i")


class Detached:
    """The background side of `detach`."""

    def __init__(self, channel: int) -> None:
        self._channel = channel

    def ready(self) -> None:
        """Tell the command that waits that all went well, and let go of its terminal."""
        if self._channel >= 0:
            _release_streams()
            self._tell(0)

    def failed(self, code: int) -> None:
        """Tell the command that waits how to end; nothing, if the server was ready once.

        Args:
            code: The exit code.
        """
        if self._channel >= 0:
            self._tell(code)

    def _tell(self, code: int) -> None:
        with suppress(OSError):  # nobody waits any more
            os.write(self._channel, _CODE.pack(code))
        os.close(self._channel)
        self._channel = -1


def detach() -> Detached:
    """Go on in the background, in a session of its own, without a terminal.

    In the process that was started this does not return: it waits until the other one calls `ready` or `failed`, or has gone, and exits
    accordingly. Errors are still seen until then, as the terminal is let go with `ready`. To be called before any thread is started.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    theirs, ours = os.pipe()
    if os.fork():
        os.close(ours)
        os._exit(_wait(theirs))
    os.close(theirs)
    os.setsid()
    if os.fork():  # a session's leader could get a terminal again, its child cannot
        os._exit(0)
    return Detached(ours)


def _wait(channel: int) -> int:
    """Return the exit code that the background side tells; 1 when it has gone without a word."""
    with os.fdopen(channel, "rb") as told:
        data = told.read(_CODE.size)
    return int(_CODE.unpack(data)[0]) if len(data) == _CODE.size else 1


def _release_streams() -> None:
    """Give back terminal and pipes; what goes to a file goes on doing so. The directory stays: relative paths are meant from there."""
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    for number in (1, 2):
        if not _is_file(number):
            os.dup2(null, number)
    os.close(null)


def _is_file(descriptor: int) -> bool:
    try:
        return stat.S_ISREG(os.fstat(descriptor).st_mode)
    except OSError:
        return False
