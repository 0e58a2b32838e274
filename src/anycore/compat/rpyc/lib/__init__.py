"""`rpyc.lib`: small things that programs written for RPyC import from it."""

from __future__ import annotations

import inspect
import logging
import random
import socket
import sys
import time
from importlib import import_module
from types import MethodType, ModuleType
from typing import TYPE_CHECKING, Any, Final, NoReturn

from anycore.compat.rpyc.lib import colls, compat
from anycore.rpyc.helpers import spawn

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

__all__ = [
    "SPAWN_THREAD_PREFIX", "MissingModule", "Timeout", "colls", "compat", "exp_backoff", "get_id_pack", "get_methods", "hasattr_static",
    "hybridmethod", "maxint", "safe_import", "setup_logger", "socket_backoff_connect", "spawn", "spawn_waitready",
]  # fmt: skip

SPAWN_THREAD_PREFIX: Final = "anycore-spawned"
maxint: Final = sys.maxsize
_FORMAT: Final = "%(levelname)s:%(name)s[%(thread)d]:%(message)s"


class MissingModule:
    """Stands for a module that is not installed: false, and an ImportError as soon as it is used.

    Args:
        name: The module.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise ImportError(f"the module {self._name!r} is needed for this and cannot be imported; install it")

    def __bool__(self) -> bool:
        return False


def safe_import(name: str) -> ModuleType | MissingModule:
    """Return a module, or something that stands for its absence."""
    try:
        return import_module(name)
    except ImportError:
        return MissingModule(name)


def setup_logger(quiet: bool = False, logfile: str | None = None, namespace: str | None = None) -> logging.Logger:
    """Have messages written, by the root logger.

    Args:
        quiet: Whether only errors are.
        logfile: Where to; standard error when left out.
        namespace: Which logger to return.
    """
    level = logging.ERROR if quiet else logging.DEBUG
    if logfile is None:
        logging.basicConfig(level=level, format=_FORMAT)
    else:
        logging.basicConfig(level=level, format=_FORMAT, filename=logfile)
    return logging.getLogger(namespace)


class hybridmethod:  # noqa: N801 - RPyC's name, used like a function
    """A method that is bound to the instance it is called on, or to the class.

    Args:
        func: The function.
    """

    def __init__(self, func: Callable[..., Any]) -> None:
        self.func = func

    def __get__(self, obj: Any, cls: type | None = None) -> MethodType:
        return MethodType(self.func, cls if obj is None else obj)

    def __set__(self, obj: Any, value: Any) -> NoReturn:
        raise AttributeError(f"the method {self.func.__name__} cannot be replaced in an instance")


def hasattr_static(obj: Any, attr: str) -> bool:
    """Tell whether an object has an attribute, without running any code of its own."""
    try:
        inspect.getattr_static(obj, attr)
    except AttributeError:
        return False
    return True


def spawn_waitready(init: Callable[[], Any], main: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    """Begin something, then go on with it in a thread.

    Args:
        init: What is done before this returns.
        main: What the thread runs.

    Returns:
        The thread, and a list of what `init` returned.
    """
    result = init()
    return spawn(main), [result]


class Timeout:
    """A moment from which on one waits no longer.

    Args:
        timeout: Seconds from now; `None` for never; or another one, to be the same.
    """

    def __init__(self, timeout: Timeout | float | None) -> None:
        self.tmax: float | None
        if isinstance(timeout, Timeout):
            self.tmax = timeout.tmax
        else:
            self.tmax = time.monotonic() + timeout if timeout is not None and timeout >= 0 else None
        self.finite = self.tmax is not None

    def expired(self) -> bool:
        """Tell whether it has come."""
        return self.tmax is not None and time.monotonic() >= self.tmax

    def timeleft(self) -> float | None:
        """Return the seconds until then, at least 0; `None` for no end."""
        return None if self.tmax is None else max(0.0, self.tmax - time.monotonic())

    def sleep(self, interval: float) -> None:
        """Sleep for some seconds, but not beyond it."""
        left = self.timeleft()
        time.sleep(interval if left is None else min(interval, left))


def exp_backoff(collision: int) -> float:
    """Return how long to wait before the next attempt, in seconds: up to 2^n times 51.2 microseconds, at random."""
    return random.randrange(2**collision) * 51.2e-6  # noqa: S311 - no secret


def socket_backoff_connect(
    family: int, socktype: int, proto: int, addr: Any, timeout: float | None, attempts: int
) -> socket.socket:
    """Connect, and try again when time runs out.

    Args:
        family: Of addresses.
        socktype: Kind of socket.
        proto: Its protocol.
        addr: Where to.
        timeout: Seconds of one attempt.
        attempts: How many there may be.
    """
    for attempt in range(max(1, attempts)):
        made = socket.socket(family, socktype, proto)
        try:
            made.settimeout(timeout)
            made.connect(addr)
            return made
        except TimeoutError:
            made.close()
            if attempt + 1 >= attempts:
                raise
            time.sleep(exp_backoff(attempt + 1))
        except BaseException:
            made.close()
            raise
    raise AssertionError("unreachable: the last attempt raises")


def get_id_pack(obj: Any) -> tuple[str, int, int]:
    """Return what RPyC calls an object by: class name, identity of the class, identity of the object, which is 0 for a class."""
    known = getattr(obj, "____id_pack__", None)
    if known is not None:
        name, number, instance = known
        return (name, number, instance)
    if isinstance(obj, type):
        return (f"{obj.__module__}.{obj.__name__}", id(obj), 0)
    cls = obj.__class__
    if isinstance(obj, ModuleType):
        name = obj.__name__ if obj.__name__ in sys.modules else f"{cls.__module__}.{obj.__name__}"
        return (name, id(cls), id(obj))
    return (f"{cls.__module__}.{cls.__name__}", id(cls), id(obj))


def get_methods(obj_attrs: Any, obj: Any) -> list[tuple[str, str | None]]:
    """Return the methods of an object with their documentation.

    Args:
        obj_attrs: Names to leave out.
        obj: The object.
    """
    cls = type(obj)
    found: dict[str, Any] = {}
    for base in reversed([*(obj.__mro__ if isinstance(obj, type) else ()), *cls.__mro__]):
        found.update(vars(base))
    return [
        (name, inspect.getdoc(member))
        for name, member in found.items()
        if name not in obj_attrs and inspect.isroutine(member)
    ]
