"""How a check learns what happens in other processes, where the core under test has several.

What the check keeps (the journal, what it wants done at startup) is in its own process. A `Desk` there does what other processes, which are
copies of it, ask for: a method marked with `at_home` runs there, wherever it is called. What goes between them is pickled.
"""

from __future__ import annotations

import functools
import os
import threading
from multiprocessing.connection import Client, Listener
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

P = ParamSpec("P")
R = TypeVar("R")

THREADS = "check-core"
"""What the names of the check's own threads begin with."""


class Desk:
    """Does, in the process in which it is opened, what copies of that process ask for.

    Args:
        path: A unix socket, to be made.
    """

    def __init__(self, path: str) -> None:
        self._home = os.getpid()
        self._path = path
        self._objects: dict[str, Any] = {}
        self._own = threading.local()
        self._listener = Listener(path, "AF_UNIX", backlog=64)
        threading.Thread(target=self._accept, name=f"{THREADS}-desk", daemon=True).start()

    @property
    def away(self) -> bool:
        """Whether this is another process."""
        return os.getpid() != self._home

    def keep(self, name: str, value: Any) -> None:
        """Make an object known, before the core runs."""
        self._objects[name] = value

    def ask(self, name: str, method: str, *args: Any, **kwargs: Any) -> Any:
        """Call a method of an object at home; return what it returns, raise what it raises."""
        own = self._own
        if getattr(own, "pid", 0) != os.getpid():
            own.pid, own.connection = os.getpid(), Client(self._path, "AF_UNIX")
        connection: Connection[Any, Any] = own.connection
        connection.send((name, method, args, kwargs))
        well, value = connection.recv()
        if not well:
            raise value
        return value

    def _accept(self) -> None:
        while True:
            try:
                connection = self._listener.accept()
            except OSError:  # it is closed
                return
            threading.Thread(target=self._serve, args=(connection,), name=f"{THREADS}-desk", daemon=True).start()

    def _serve(self, connection: Connection[Any, Any]) -> None:
        with connection:
            while True:
                try:
                    name, method, args, kwargs = connection.recv()
                except (EOFError, OSError):
                    return
                try:
                    answer = (True, getattr(self._objects[name], method)(*args, **kwargs))
                except BaseException as error:  # noqa: BLE001 - raised where it was called
                    answer = (False, error)
                try:
                    connection.send(answer)
                except OSError:
                    return

    def close(self) -> None:
        """Listen no more."""
        self._listener.close()


class Kept(Protocol):
    """What a desk knows by name."""

    desk: Desk | None
    known_as: str


K = TypeVar("K", bound=Kept)


def at_home(method: Callable[Concatenate[K, P], R]) -> Callable[Concatenate[K, P], R]:
    """Mark a method that runs in the process of the check, wherever it is called."""

    @functools.wraps(method)
    def call(self: K, *args: P.args, **kwargs: P.kwargs) -> R:
        if self.desk is None or not self.desk.away:
            return method(self, *args, **kwargs)
        found: R = self.desk.ask(self.known_as, method.__name__, *args, **kwargs)
        return found

    return cast("Callable[Concatenate[K, P], R]", call)
