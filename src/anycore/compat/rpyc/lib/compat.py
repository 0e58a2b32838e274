"""`rpyc.lib.compat`: names for what differed between versions of Python. Masters ask a slave for `pickle` by way of it."""

from __future__ import annotations

import pickle
import select as select_module
import sys
from io import BytesIO
from select import select
from struct import Struct
from typing import Any, Final

__all__ = [
    "BYTES_LITERAL", "BytesIO", "PollingPoll", "Struct", "TimeoutError", "acquire_lock", "callable", "execute", "get_exc_errno",
    "is_py_3k", "is_py_gte37", "is_py_gte38", "is_py_gte310", "is_py_gte311", "maxint", "next", "pickle", "poll", "select",
    "select_error", "select_module", "with_metaclass",
]  # fmt: skip

is_py_3k: Final = True
is_py_gte37: Final = True
is_py_gte38: Final = True
is_py_gte310: Final = True
is_py_gte311: Final = True
maxint: Final = sys.maxsize
select_error: Final = OSError
TimeoutError = TimeoutError  # noqa: A001, PLW0127 - re-exported
callable = callable  # noqa: A001, PLW0127 - re-exported
next = next  # noqa: A001, PLW0127 - re-exported
execute = exec
_EVENTS: Final = {"r": select_module.POLLIN | select_module.POLLPRI, "w": select_module.POLLOUT}
_HAPPENED: Final = (
    (select_module.POLLIN | select_module.POLLPRI, "r"), (select_module.POLLOUT, "w"), (select_module.POLLERR, "e"),
    (select_module.POLLNVAL, "n"), (select_module.POLLHUP, "h"),
)  # fmt: skip


def BYTES_LITERAL(text: str) -> bytes:  # noqa: N802 - RPyC's name
    """Return text as bytes."""
    return bytes(text, "utf-8")


def acquire_lock(lock: Any, blocking: bool, timeout: Any) -> bool:
    """Acquire a lock.

    Args:
        lock: The lock.
        blocking: Whether to wait for it.
        timeout: A `Timeout`: for how long.
    """
    if blocking and timeout.finite:
        return bool(lock.acquire(True, timeout.timeleft()))
    return bool(lock.acquire(blocking))


def get_exc_errno(exc: BaseException) -> int | None:
    """Return the number of an operating system's error."""
    found: int | None = getattr(exc, "errno", None)
    return found


def with_metaclass(meta: type, *bases: type) -> type:
    """Return a base class of a metaclass."""
    made: type = meta("NewBase", bases or (object,), {})
    return made


class PollingPoll:
    """Waits for descriptors, their events written as letters: r, w, e (error), h (hung up), n (invalid)."""

    def __init__(self) -> None:
        self._poll = select_module.poll()

    def register(self, fd: int, mode: str) -> None:
        """Wait for a descriptor, too."""
        flags = 0
        for letter in mode:
            flags |= _EVENTS.get(letter, 0)
        self._poll.register(fd, flags)

    modify = register

    def unregister(self, fd: int) -> None:
        """Wait for a descriptor no longer."""
        self._poll.unregister(fd)

    def poll(self, timeout: float | None = None) -> list[tuple[int, str]]:
        """Return what has happened within some seconds."""
        events = self._poll.poll(None if timeout is None else timeout * 1000)
        return [(fd, "".join(letter for flag, letter in _HAPPENED if event & flag)) for fd, event in events]


poll = PollingPoll
