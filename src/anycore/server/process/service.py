"""A server as a process of its machine: pid file, privileges, systemd, the control socket, and the server that takes its place one day.

What it serves is put together in `application`, what `anycore ctl` may ask for in `commands`.
"""

from __future__ import annotations

import logging
import os
import threading
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Final

from anycore.server.application import Server
from anycore.server.errors import StartupError
from anycore.server.process.commands import commands
from anycore.server.process.control import ControlError, ControlSocket
from anycore.server.process.handover import Estate, Predecessor, confirm, offer, predecessor_at, start_successor
from anycore.server.process.health import Health
from anycore.server.process.inherited import Inherited, Passed
from anycore.server.process.pidfile import PidFile
from anycore.server.process.privileges import drop, find_account
from anycore.server.process.signals import install
from anycore.server.process.systemd import Notifier, passed_sockets

if TYPE_CHECKING:
    from collections.abc import Callable

    from anycore.server.announcement import Announcement
    from anycore.server.process.control import Line
    from anycore.server.process.handover import Command
    from anycore.settings.tables import Settings

_log = logging.getLogger("anycore.server")

_START_SECONDS: Final = 90.0
"""How long a server that takes this one's place may take to start; systemd gives a service as long."""


class Service:
    """A server and its place on the machine. Everything that needs root is done when this has been made.

    Args:
        settings: Everything that can be set.
        command: How to start another server like this one; None if that is impossible.
        announce: Called when the server is ready, with what there is to say about it.
        predecessor: The server that has started this one to be replaced by it.
        reread: Reads the settings again; see `Server`.

    Raises:
        StartupError: When something cannot be had; all that was had already is given back.
    """

    def __init__(
        self,
        settings: Settings,
        command: Command | None = None,
        announce: Callable[[Announcement], None] = lambda _: None,
        predecessor: Predecessor | None = None,
        reread: Callable[[], Settings] | None = None,
    ) -> None:
        process = settings.process
        self._settings = settings
        self._command = command
        self._announce = announce
        self._restarting = threading.Lock()
        self.notifier = Notifier()
        self.control: ControlSocket | None = None
        self.pidfile: PidFile | None = None
        with ExitStack() as stack:
            stack.callback(self.notifier.close)
            activated = [Passed(name, bound, keeps_file=True) for name, bound in passed_sockets()]
            if process.take_over and predecessor is None:
                predecessor = predecessor_at(process.control)
            self._predecessor = predecessor
            self._account = find_account(process.user, process.group)
            if process.umask:
                os.umask(int(process.umask, 8))
            estate = predecessor.estate if predecessor is not None else Estate(activated)
            self._take_pidfile(estate, stack)
            inherited = Inherited(estate.passed, "" if predecessor is not None else "systemd")
            self.server = Server(settings, self._begin, inherited=inherited, reread=reread)
            stack.callback(self.server.release)
            self._take_control(estate, stack)
            self._own_sockets()
            self._stack = stack.pop_all()
        self._health = Health(self.server, self.notifier)

    def _take_pidfile(self, estate: Estate, stack: ExitStack) -> None:
        path = self._settings.process.pidfile
        if path:
            self.pidfile = PidFile(path, self._account, descriptor=estate.pidfile if estate.pidfile >= 0 else None)
            stack.callback(self.pidfile.remove if estate.pidfile < 0 else self.pidfile.close)
        elif estate.pidfile >= 0:
            os.close(estate.pidfile)

    def _take_control(self, estate: Estate, stack: ExitStack) -> None:
        path = self._settings.process.control
        if path:
            self.control = ControlSocket(path, self._account, estate.control)
            stack.callback(self.control.close if estate.control is None else self.control.hand_on)
        elif estate.control is not None:
            estate.control.close()

    def _own_sockets(self) -> None:
        """Give the files of Unix sockets to the user that the process becomes."""
        if self._account is None:
            return
        for listen, _ in self.server.listening:
            if listen.address.path:
                os.chown(listen.address.path, self._account.uid, self._account.gid)

    def run(self) -> None:
        """Serve until told to stop, or until another server has taken this one's place and the last caller has gone.

        Raises:
            StartupError: When it cannot start.
        """
        try:
            drop(self._account, self._settings.process.chroot)
            install(self.server, self.server.reload, self._restart_by_signal)
            self.server.on_reload = self._reloading
            self.server.on_stop = self._stopping
            self.server.run(signals=False)
        finally:
            self._health.stop()
            self._stack.close()

    def _begin(self, announcement: Announcement) -> None:
        """The server is ready. Another one that it replaces is asked first whether it may begin."""
        if self._predecessor is not None:
            self._predecessor.ready()
            _log.info("takes the place of another server, which finishes what it has under way")
            self._take_for_good()
        if self.control is not None:
            self.control.start(commands(self))
        self.notifier.tell("READY", MAINPID=os.getpid(), STATUS=self._health.status())
        self._health.start()
        self._announce(announcement)

    def _take_for_good(self) -> None:
        """What was the other server's is this one's: to be removed in the end, too."""
        if self.pidfile is not None:
            self.pidfile.write()
            self._stack.callback(self.pidfile.remove)
        if self.control is not None:
            self._stack.callback(self.control.close)

    def _reloading(self, done: bool) -> None:
        if done:
            self.notifier.tell("READY", STATUS=self._health.status())
        else:
            self.notifier.reloading("reloading")

    def _stopping(self) -> None:
        if not self.server.retiring:
            self.notifier.tell("STOPPING", STATUS="finishing what runs")

    # Another server.

    def restart(self) -> int:
        """Start another server like this one, have it take this one's place, and finish.

        Returns:
            Its process number.

        Raises:
            ControlError: When it could not start; this one goes on as if nothing had been.
        """
        if self._command is None or self._settings.process.chroot:
            message = "this server cannot start another from where it is (chroot); start one with the same options and --take-over instead"
            raise ControlError(message)
        if os.getpid() == 1:
            message = "this is the first process of a container, which would end with it; restart the container instead"
            raise ControlError(message)
        command = self._command
        return self._replaced_by(lambda: int(start_successor(command, self._hand_over)))

    def hand_over(self, line: Line) -> int:
        """Let the server at the other end of a line take this one's place; see `restart`."""
        return self._replaced_by(lambda: self._hand_over(line))

    def _replaced_by(self, other: Callable[[], int]) -> int:
        if any(listen.address.stdio for listen, _ in self.server.listening):
            message = "standard input and output cannot be handed over; start another server instead"
            raise ControlError(message)
        if self.server.retiring or not self._restarting.acquire(blocking=False):
            message = "another server takes this one's place already"
            raise ControlError(message)
        try:
            self.notifier.reloading("another server starts to take this one's place")
            pid = other()
        except ControlError as error:
            _log.error("restart: %s", error)
            self.notifier.tell("READY", MAINPID=os.getpid(), STATUS=self._health.status())
            raise
        finally:
            self._restarting.release()
        return pid

    def _hand_over(self, line: Line) -> int:
        bound = self.control.socket if self.control is not None else None
        estate = Estate(self.server.passed, bound, self.pidfile.descriptor if self.pidfile is not None else -1)
        pid = offer(line, estate, _START_SECONDS)
        self.notifier.tell(MAINPID=pid)  # before the other one says anything, which systemd would not believe
        confirm(line)
        _log.info("process %d takes this one's place; this one finishes what is under way", pid)
        self._health.stop()
        if self.control is not None:
            self.control.hand_on()
        if self.pidfile is not None:
            self.pidfile.close()
        self.server.retire()
        return pid

    def _restart_by_signal(self) -> None:
        def restart() -> None:
            with suppress(ControlError):  # it was logged
                self.restart()

        threading.Thread(target=restart, name="anycore-restart", daemon=True).start()


__all__ = ["Service", "StartupError"]
