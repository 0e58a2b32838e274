"""One server takes the place of another: the listening sockets, the pid file and the control socket go over, and no caller notices.

What the two say to each other, over a pair of sockets or the control socket, one JSON object in a line (see `control`):

    the old one   what it has, and the open files of it (SCM_RIGHTS)
    the new one   {"ready": PID}, or {"failed": "why"}; an end without a word is a failure, too
    the old one   {"yours": true}; from then on the new one accepts, and the old one no longer

Until the last line the old server serves as if nothing were. Without it the new one ends.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import msgspec

from anycore.server.errors import StartupError
from anycore.server.process.control import ControlError, Line
from anycore.server.process.inherited import Inherited, Passed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

VARIABLE: Final = "_ANYCORE_PREDECESSOR"
"""Where a server that was started by the one that it replaces finds the number of its end of the pair of sockets."""
_FILES_AT_ONCE: Final = 253  # SCM_MAX_FD of Linux
_LAST_LINE: Final = 30.0


class Command(msgspec.Struct, frozen=True):
    """How a server was started, so that another can be started likewise.

    Args:
        arguments: Program and arguments.
        directory: The working directory.
        environment: The variables.
    """

    arguments: tuple[str, ...]
    directory: str
    environment: dict[str, str]

    @classmethod
    def own(cls) -> Command:
        """Return how this process was started. To be called before anything changes directory or environment."""
        left_out = (VARIABLE, "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID")  # meant for one process
        environment = {name: value for name, value in os.environ.items() if name not in left_out}
        return cls((sys.executable, *sys.orig_argv[1:]), os.getcwd(), environment)  # noqa: PTH109


class Estate(msgspec.Struct):
    """What one server leaves to another.

    Args:
        passed: Its listening sockets; the names are the configured URLs.
        control: The control socket, if there is one.
        pidfile: The descriptor of the pid file; -1 if there is none.
    """

    passed: list[Passed]
    control: socket.socket | None = None
    pidfile: int = -1


def offer(line: Line, estate: Estate, seconds: float) -> int:
    """Offer what this server has, and wait until the other one is ready.

    Args:
        line: The connection with the other server.
        estate: What it gets.
        seconds: How long it may take to start.

    Returns:
        Its process number.

    Raises:
        ControlError: When it could not start; everything is as before then.
    """
    described = [{"name": one.name, "keeps_file": one.keeps_file} for one in estate.passed]
    descriptors = [one.socket.fileno() for one in estate.passed]
    descriptors += [estate.control.fileno()] if estate.control is not None else []
    descriptors += [estate.pidfile] if estate.pidfile >= 0 else []
    if len(descriptors) > _FILES_AT_ONCE:
        message = f"{len(descriptors)} sockets are more than can be handed over at once, which are {_FILES_AT_ONCE}"
        raise ControlError(message)
    line.socket.settimeout(seconds)
    try:
        has = {"control": estate.control is not None, "pidfile": estate.pidfile >= 0}
        line.send({"sockets": described, "pid": os.getpid(), **has}, descriptors)
        answer, _ = line.receive()
    except TimeoutError:
        message = f"the new server was not ready after {seconds:g} s; this one goes on"
        raise ControlError(message) from None
    except (OSError, ValueError) as error:
        message = f"the new server has gone: {error}; this one goes on"
        raise ControlError(message) from error
    if not isinstance(answer, dict) or not isinstance(answer.get("ready"), int):
        reason = (
            answer["failed"]
            if isinstance(answer, dict) and "failed" in answer
            else "it ended without a word, see the log"
        )
        message = f"the new server could not start, this one goes on: {reason}"
        raise ControlError(message)
    return int(answer["ready"])


def confirm(line: Line) -> None:
    """Tell the other server that it is the one now.

    Raises:
        ControlError: When it has gone.
    """
    try:
        line.send({"yours": True})
    except OSError as error:
        message = f"the new server has gone when it was ready: {error}; this one goes on"
        raise ControlError(message) from error


class Predecessor:
    """The server whose place this one takes, seen from here.

    Args:
        line: The connection with it.
        estate: What it hands over.
    """

    def __init__(self, line: Line, estate: Estate) -> None:
        self._line = line
        self.estate = estate

    @property
    def inherited(self) -> Inherited:
        """The sockets, for listeners to take."""
        return Inherited(self.estate.passed)

    def ready(self) -> None:
        """Say that this server could begin, and wait until the other lets it.

        Raises:
            StartupError: When it does not: then it goes on, and this one must not begin.
        """
        try:
            self._line.socket.settimeout(_LAST_LINE)
            self._line.send({"ready": os.getpid()})
            answer, _ = self._line.receive()
        except (OSError, ValueError):
            answer = None
        if answer != {"yours": True}:
            message = "the server that was to be replaced has changed its mind, and goes on; its log says why"
            raise StartupError(message)
        self.close()

    def failed(self, reason: str) -> None:
        """Say why this server does not start. Nothing, once it was let begin."""
        with suppress(OSError):
            if self._line.socket.fileno() >= 0:
                self._line.send({"failed": reason})
        self.close()

    def close(self) -> None:
        """Let go of the connection."""
        self._line.socket.close()


def predecessor_of_environment() -> Predecessor | None:
    """Return the server that has started this one in order to be replaced by it; None where there is none."""
    number = os.environ.pop(VARIABLE, "")
    if not number.isdigit():
        return None
    os.set_inheritable(int(number), False)
    return _accept(Line(socket.socket(fileno=int(number))))


def predecessor_at(path: str) -> Predecessor | None:
    """Return the server that answers at a control socket; None where none does.

    Args:
        path: The control socket.

    Raises:
        StartupError: When it does not hand over.
    """
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connected.settimeout(_LAST_LINE)
    if connected.connect_ex(path) != 0:
        connected.close()
        return None
    line = Line(connected)
    line.send({"command": "handover"})
    return _accept(line)


def _accept(line: Line) -> Predecessor:
    try:
        offered, descriptors = line.receive(most_descriptors=_FILES_AT_ONCE)
    except (OSError, ValueError) as error:
        offered, descriptors = {"error": str(error)}, []
    if not isinstance(offered, dict) or "sockets" not in offered:
        reason = offered.get("error") if isinstance(offered, dict) else "it has ended"
        line.socket.close()
        message = f"the server that was to be replaced does not hand over: {reason}"
        raise StartupError(message)
    left = list(descriptors)
    passed = [Passed(one["name"], socket.socket(fileno=left.pop(0)), one["keeps_file"]) for one in offered["sockets"]]
    control = socket.socket(fileno=left.pop(0)) if offered["control"] else None
    pidfile = left.pop(0) if offered["pidfile"] else -1
    return Predecessor(line, Estate(passed, control, pidfile))


def start_successor(command: Command, use: Callable[[Line], Any]) -> Any:
    """Start a server like this one, and hand over to it.

    Args:
        command: How this one was started.
        use: Given the connection with the new one, which is closed afterwards.

    Returns:
        What `use` did.

    Raises:
        ControlError: When it cannot be started, or `use` raises it; a process that was started is ended then.
    """
    ours, theirs = socket.socketpair()
    with ours:
        try:
            with theirs:
                process = _start(command.arguments, command, theirs)
        except OSError as error:
            message = (
                f"cannot start {command.arguments[0]} in {command.directory}: {error.strerror}; this server goes on"
            )
            raise ControlError(message) from error
        try:
            done = use(Line(ours))
        except BaseException:
            ours.close()  # it ends by itself when it sees this; if it does not, it is ended
            _end(process)
            raise
    process.returncode = 0  # it outlives this process, which must not wait for it
    return done


def _start(arguments: Sequence[str], command: Command, theirs: socket.socket) -> subprocess.Popen[bytes]:
    environment = {**command.environment, VARIABLE: str(theirs.fileno())}
    return subprocess.Popen(  # noqa: S603 - the command that has started this server
        arguments, cwd=command.directory, env=environment, pass_fds=(theirs.fileno(),), stdin=subprocess.DEVNULL
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
