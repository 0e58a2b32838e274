"""What systemd and a service say to each other: readiness, status, watchdog (sd_notify(3)), and sockets (sd_listen_fds(3))."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import MutableMapping

_FIRST_SOCKET: Final = 3  # SD_LISTEN_FDS_START


class Notifier:
    """Tells systemd, or whatever else has set `NOTIFY_SOCKET`, how the service is doing; without one it does nothing.

    Args:
        environment: The variables; the process's own when left out. Those that are meant for this process alone are removed.

    Attributes:
        watchdog: Seconds after which systemd takes the service for dead if it has not heard from it; 0 for never.
    """

    def __init__(self, environment: MutableMapping[str, str] | None = None) -> None:
        found = os.environ if environment is None else environment
        self._address = found.get("NOTIFY_SOCKET", "")
        if self._address.startswith("@"):  # in the abstract namespace
            self._address = "\0" + self._address[1:]
        mine = found.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.watchdog = (
            int(found.get("WATCHDOG_USEC", "0")) / 1e6 if mine and found.get("WATCHDOG_USEC", "").isdigit() else 0.0
        )
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) if self._address else None
        if self._socket is not None:
            with suppress(OSError):
                self._socket.connect(self._address)  # now: a changed root directory may hide it later

    @property
    def wanted(self) -> bool:
        """Whether anybody listens."""
        return self._socket is not None

    def tell(self, *fields: str, **assignments: str | int) -> None:
        """Send one notification.

        Args:
            *fields: Words that stand for `WORD=1`: `READY`, `STOPPING`, `WATCHDOG`.
            **assignments: Others, such as `STATUS="..."`.
        """
        if self._socket is None:
            return
        lines = [f"{field}=1" for field in fields] + [f"{name}={value}" for name, value in assignments.items()]
        with suppress(OSError):  # whoever listened has gone; that is no reason not to serve
            self._socket.send("\n".join(lines).encode())

    def reloading(self, status: str) -> None:
        """Say that the service is busy with itself; to be followed by `READY` (sd_notify(3), RELOADING)."""
        self.tell("RELOADING", MONOTONIC_USEC=time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000, STATUS=status)

    def close(self) -> None:
        """Let go of the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def passed_sockets(environment: MutableMapping[str, str] | None = None) -> list[tuple[str, socket.socket]]:
    """Return the sockets that systemd has opened for this process, with their names; an empty list where it has not.

    The variables are removed, so that no process that is started later takes them for its own.

    Args:
        environment: The variables; the process's own when left out.
    """
    found = os.environ if environment is None else environment
    pid, count, names = (found.pop(name, "") for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"))
    if pid != str(os.getpid()) or not count.isdigit():
        return []
    named = [*names.split(":"), *[""] * int(count)]
    made = []
    for index in range(int(count)):
        os.set_inheritable(_FIRST_SOCKET + index, False)
        made.append((named[index], socket.socket(fileno=_FIRST_SOCKET + index)))
    return made
