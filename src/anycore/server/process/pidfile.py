"""The pid file: locked for as long as the server runs, so that there is one, and handed on to a server that takes its place."""

from __future__ import annotations

import fcntl
import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from anycore.server.errors import StartupError

if TYPE_CHECKING:
    from anycore.server.process.privileges import Account

_log = logging.getLogger("anycore.server")


class PidFile:
    """A file with the process's number in it. Whoever has the lock (flock) runs; a file without one is stale, whatever it says.

    Args:
        path: The file; its directory is made if there is none.
        account: Whom the file, and the directory if it is made, belong to; the process's own user when left out.
        descriptor: The open and locked file of the server whose place this one takes, if it does.

    Raises:
        StartupError: When another server has it, or it cannot be written.
    """

    def __init__(self, path: str | Path, account: Account | None = None, *, descriptor: int | None = None) -> None:
        self.path = Path(path).absolute()
        self._descriptor = -1
        self._folder = -1
        try:
            self._make_directory(account)
            if descriptor is not None and not self._is_here(descriptor):
                os.close(descriptor)  # that server had another one
                descriptor = None
            self._descriptor = self._open() if descriptor is None else descriptor
            # Through this it is removed later, when a root directory of its own, or fewer rights, may be in the way of the path.
            self._folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
            if descriptor is None:
                if account is not None:
                    os.fchown(self._descriptor, account.uid, account.gid)
                self.write()
        except OSError as error:
            self.close()
            message = f"cannot write the pid file {self.path}: {error.strerror}; choose another with --pidfile"
            raise StartupError(message) from error

    def _make_directory(self, account: Account | None) -> None:
        folder = self.path.parent
        if folder.is_dir():
            return
        folder.mkdir(mode=0o755, parents=True)
        if account is not None:
            os.chown(folder, account.uid, account.gid)

    def _open(self) -> int:
        """Open and lock the file; if it is removed meanwhile, it is not the file any more."""
        while True:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                found = _number(descriptor)
                os.close(descriptor)
                whose = f"process {found}" if found else "a process"
                message = f"the pid file {self.path} is locked: {whose} runs already; stop it, or choose another file with --pidfile"
                raise StartupError(message) from error
            if self._is_here(descriptor):
                stale = _number(descriptor)
                if stale:
                    _log.warning("the pid file %s was left behind by process %d, which has ended", self.path, stale)
                return descriptor
            os.close(descriptor)

    def _is_here(self, descriptor: int) -> bool:
        """Tell whether an open file is the one at the path."""
        try:
            return os.path.samestat(os.fstat(descriptor), self.path.lstat())
        except FileNotFoundError:
            return False

    @property
    def descriptor(self) -> int:
        """The open file, whose lock goes with it to whoever gets it."""
        return self._descriptor

    def write(self) -> None:
        """Write this process's number."""
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def remove(self) -> None:
        """Remove the file, unless it was handed on."""
        if self._descriptor < 0:
            return
        try:
            os.unlink(self.path.name, dir_fd=self._folder)
        except OSError:  # the directory may be root's, and this process no longer
            with suppress(OSError):
                os.ftruncate(self._descriptor, 0)
        self.close()

    def close(self) -> None:
        """Let go of the file: another process has it now."""
        for descriptor in (self._descriptor, self._folder):
            if descriptor >= 0:
                os.close(descriptor)
        self._descriptor = self._folder = -1


def _number(descriptor: int) -> int:
    """Return the number that a pid file holds; 0 when there is none."""
    try:
        return int(os.pread(descriptor, 32, 0))
    except (OSError, ValueError):
        return 0
