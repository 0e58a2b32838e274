"""The control socket: how `anycore ctl` and a server that takes over speak to this one. One JSON object in a line each way.

A request is `{"command": NAME, ...}`, its answer `{"result": ...}` or `{"error": "..."}`. Only root and the server's own user are let in:
by the permissions of the socket, and by what the system says of the process at the other end.
"""

from __future__ import annotations

import json
import logging
import os
import select
import socket
import stat
import struct
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from anycore.server.errors import StartupError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from anycore.server.process.privileges import Account

_log = logging.getLogger("anycore.control")

_LINE: Final = 65536
_SILENCE: Final = 30.0
"""Seconds that somebody who has connected may say nothing."""
_AT_ONCE: Final = 16
_CREDENTIALS: Final = struct.Struct("3i")


_LAST_WORDS: Final = 5.0
"""Seconds that an answer may take that is due when the server ends."""


class ControlError(Exception):
    """What was asked for cannot be done; the message says why, and is for whoever asked."""


class Line:
    """A connection over which JSON objects go, one in a line.

    Args:
        connected: The socket.
    """

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self._read = b""

    def send(self, value: Any, descriptors: list[int] | None = None) -> None:
        """Send a value, and open files with its first byte.

        Args:
            value: What JSON can hold.
            descriptors: The files, which the other side gets copies of.

        Raises:
            OSError: When the other side has gone, or does not read.
        """
        data = json.dumps(value).encode() + b"\n"
        sent = socket.send_fds(self.socket, [data], descriptors) if descriptors else 0
        if sent < len(data):
            self.socket.sendall(data[sent:])

    def receive(self, *, most_descriptors: int = 0) -> tuple[Any, list[int]]:
        """Return the next value, and the files that came with it; None at the end.

        Raises:
            OSError: When the connection is lost, or nothing comes in time.
            ValueError: When what comes is no JSON, or too long.
        """
        descriptors: list[int] = []
        while b"\n" not in self._read:
            if most_descriptors:
                data, more, _, _ = socket.recv_fds(self.socket, _LINE, most_descriptors)
                descriptors += more
            else:
                data = self.socket.recv(_LINE)
            if not data:
                return None, descriptors
            self._read += data
            if len(self._read) > 4 * _LINE:
                message = "a line is too long"
                raise ValueError(message)
        line, _, self._read = self._read.partition(b"\n")
        try:
            return json.loads(line), descriptors
        except RecursionError as error:
            message = "a line nests too deeply"
            raise ValueError(message) from error


Command: TypeAlias = "Callable[[Line, dict[str, Any]], Any]"


class ControlSocket:
    """A server's end.

    Args:
        path: Where it is; its directory is made if there is none, for its user alone.
        account: Whose it is, if the process becomes another user.
        bound: The listening socket, where that of another server is taken over.

    Raises:
        StartupError: When it cannot be had.
    """

    def __init__(self, path: str, account: Account | None = None, bound: socket.socket | None = None) -> None:
        self.path = Path(path).absolute()
        self._users = {0, os.geteuid() if account is None else account.uid}
        self._removes = True
        self._over = False
        self._places = threading.BoundedSemaphore(_AT_ONCE)
        self._thread: threading.Thread | None = None
        self._commands: Mapping[str, Command] = {}
        self._running = 0
        self._changed = threading.Condition()
        if bound is not None and bound.getsockname() != str(self.path):
            bound.close()  # that server had another one
            bound = None
        self.socket = bound if bound is not None else self._bind(account)
        self.socket.setblocking(False)
        self._wake_reader, self._wake_writer = socket.socketpair()

    def _bind(self, account: Account | None) -> socket.socket:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            if not self.path.parent.is_dir():
                self.path.parent.mkdir(mode=0o755, parents=True)
                if account is not None:
                    os.chown(self.path.parent, account.uid, account.gid)
            self._remove_stale()
            before = os.umask(0o177)
            try:
                made.bind(str(self.path))
            finally:
                os.umask(before)
            if account is not None:
                os.chown(self.path, account.uid, account.gid)
            made.listen(_AT_ONCE)
        except OSError as error:
            made.close()
            message = f"cannot make the control socket {self.path}: {error.strerror or error}; choose another path with --control"
            raise StartupError(message) from error
        except StartupError:
            made.close()
            raise
        return made

    def _remove_stale(self) -> None:
        try:
            mode = self.path.lstat().st_mode
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(mode):
            message = f"cannot make the control socket {self.path}: there is a file that is no socket; choose another path with --control"
            raise StartupError(message)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(_SILENCE)
            if probe.connect_ex(str(self.path)) == 0:
                message = (
                    f"another server answers at the control socket {self.path}; stop it with `anycore ctl --control {self.path} stop`,"
                    " take its place with --take-over, or choose another path with --control"
                )
                raise StartupError(message)
        self.path.unlink()

    def start(self, commands: Mapping[str, Command]) -> None:
        """Begin to answer, in a thread.

        Args:
            commands: What can be asked for, by name. Each is given the connection and the request, and returns the result, or raises
                `ControlError`; it runs in a thread of its own.
        """
        self._commands = commands
        self._thread = threading.Thread(target=self._accept, name="anycore-control", daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        """Accept until told to end; never wait in `accept`, as another server may take the connection first."""
        poll = select.poll()
        poll.register(self.socket, select.POLLIN)
        poll.register(self._wake_reader, select.POLLIN)
        while not self._over:
            poll.poll()
            if self._over:
                return  # type: ignore[unreachable] # another thread has said so
            try:
                connected, _ = self.socket.accept()
            except OSError:
                continue
            if not self._places.acquire(blocking=False):
                connected.close()
                continue
            threading.Thread(target=self._serve, args=(connected,), name="anycore-control-peer", daemon=True).start()

    def _serve(self, connected: socket.socket) -> None:
        try:
            with connected:
                connected.settimeout(_SILENCE)
                if self._admits(connected):
                    self._answer(Line(connected))
        except (OSError, ValueError):
            pass  # it has gone, says nothing, or speaks something else: there is nobody to tell
        finally:
            self._places.release()

    def _admits(self, connected: socket.socket) -> bool:
        if not hasattr(socket, "SO_PEERCRED"):
            return True  # the permissions of the socket have to do
        pid, uid, _ = _CREDENTIALS.unpack(
            connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        )
        if uid not in self._users:
            _log.warning("process %d of user %d is not let in: only root and the server's own user are", pid, uid)
            Line(connected).send({"error": "only root and the server's own user may do that"})
            connected.shutdown(socket.SHUT_WR)
            connected.recv(_LINE)  # closed with something unread, the answer would be lost to the other side
            return False
        return True

    def _answer(self, line: Line) -> None:
        while (request := line.receive()[0]) is not None:
            name = request.get("command") if isinstance(request, dict) else None
            command = self._commands.get(name) if isinstance(name, str) else None
            if command is None:
                known = ", ".join(sorted(self._commands))
                line.send({"error": f"there is no command {name!r}; there are: {known}"})
                continue
            self._count(1)
            try:
                self._run(line, name, command, request)
            finally:
                self._count(-1)

    def _run(self, line: Line, name: Any, command: Command, request: dict[str, Any]) -> None:
        _log.debug("command %s", name)
        try:
            result = command(line, request)
        except ControlError as error:
            line.send({"error": str(error)})
        except Exception as error:  # noqa: BLE001 - whatever it is, whoever asked is told
            _log.exception("command %s failed", name)
            line.send({"error": f"the server failed at this, its log says more: {type(error).__name__}: {error}"})
        else:
            line.send({"result": result})

    def _count(self, step: int) -> None:
        with self._changed:
            self._running += step
            self._changed.notify_all()

    def hand_on(self) -> None:
        """Leave the socket to another server, which has it as well."""
        self._removes = False
        self._end()

    def close(self) -> None:
        """Answer no more, once what was asked for is answered, and remove the socket's file, unless another server has it."""
        with self._changed:
            self._changed.wait_for(lambda: not self._running, _LAST_WORDS)
        if self._end() and self._removes:
            with suppress(OSError):  # its directory may be root's, and this process no longer
                self.path.unlink()

    def _end(self) -> bool:
        if self._over:
            return False
        self._over = True
        self._wake_writer.send(b"!")
        if self._thread is not None:
            self._thread.join()
        for one in (self.socket, self._wake_reader, self._wake_writer):
            one.close()
        return True


def ask(path: str, command: str, *, timeout: float = _SILENCE, **arguments: Any) -> Any:
    """Ask a server for something, over its control socket, and return the result.

    Args:
        path: The socket.
        command: The name of the command.
        timeout: Seconds to wait.
        **arguments: What else the request has.

    Raises:
        ControlError: When the server says no.
        OSError: When it cannot be reached, or does not answer.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connected:
        connected.settimeout(timeout)
        connected.connect(path)
        line = Line(connected)
        line.send({"command": command, **arguments})
        answer, _ = line.receive()
    if not isinstance(answer, dict) or "result" not in answer:
        raise ControlError(
            answer["error"] if isinstance(answer, dict) and "error" in answer else "the server did not answer"
        )
    return answer["result"]
