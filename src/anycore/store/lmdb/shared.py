"""Which environments this process has open: one for each file, however many stores use it, as LMDB demands.

This is state of the whole process, because the restriction is: a file that is opened twice loses its locks when one is closed.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from anycore.store.errors import StoreError
from anycore.store.lmdb.environment import Environment

if TYPE_CHECKING:
    from anycore.store.lmdb.environment import Options


class Environments:
    """The environments that are open in this process, by path."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[str, tuple[Environment, int]] = {}

    def take(self, path: str, options: Options) -> Environment:
        """Return the environment of a path, opened if it is not.

        Args:
            path: The directory.
            options: How to open it.

        Raises:
            StoreError: When it cannot be opened, or is open with other options.
        """
        path = os.path.realpath(path)
        with self._lock:
            found, users = self._open.get(path, (None, 0))
            if found is None:
                found = Environment(path, options)
                found.open()
            elif found.options != options:
                raise StoreError(f"{found.name}: it is open in this process with {found.options}, not {options}")
            self._open[path] = (found, users + 1)
            return found

    def give_back(self, environment: Environment) -> None:
        """Close an environment when nobody uses it any more."""
        with self._lock:
            _, users = self._open[environment.path]
            if users > 1:
                self._open[environment.path] = (environment, users - 1)
                return
            del self._open[environment.path]
            environment.close()

    def holds(self, path: str) -> bool:
        """Tell whether a path is open in this process."""
        with self._lock:
            return os.path.realpath(path) in self._open

    def before_fork(self) -> None:
        """Bring all environments to rest."""
        self._lock.acquire()
        for environment, _ in self._open.values():
            environment.before_fork()

    def after_fork_in_parent(self) -> None:
        """Go on."""
        for environment, _ in self._open.values():
            environment.after_fork_in_parent()
        self._lock.release()

    def after_fork_in_child(self) -> None:
        """Leave to the parent what is the parent's."""
        self._lock = threading.Lock()
        for environment, _ in self._open.values():
            environment.after_fork_in_child()


ENVIRONMENTS = Environments()
os.register_at_fork(
    before=ENVIRONMENTS.before_fork,
    after_in_parent=ENVIRONMENTS.after_fork_in_parent,
    after_in_child=ENVIRONMENTS.after_fork_in_child,
)
