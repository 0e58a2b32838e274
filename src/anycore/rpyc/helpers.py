"""Helpers around proxies and connections: asynchronous and timed calls, chunked iteration, restricted objects, background serving.

Source: spec/rpyc.md sections 10, 11 and 23; `by_value` and `cancelled` are ours.
"""

from __future__ import annotations

import itertools
import logging
import threading
from typing import TYPE_CHECKING, Any, Final

from anycore.conversations.rpyc_jobs import current_job
from anycore.objects.extensions import CALL_BY_VALUE, restore
from anycore.objects.proxy import is_proxy
from anycore.rpyc.root import local
from anycore.wire.rpyc_constants import BUFFITER, CALL, CALLATTR

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Self

    from anycore.objects.connection import Connection
    from anycore.objects.result import AsyncResult

_log = logging.getLogger("anycore.rpyc")
_get = object.__getattribute__
_TICK: Final = 0.25
_numbers = itertools.count(1)


def _connection_of(proxy: Any) -> Connection:
    if not is_proxy(proxy):
        message = f"a proxy of a remote function is needed here, not a local {type(proxy).__name__}"
        raise TypeError(message)
    connection: Connection = _get(proxy, "____conn__")
    return connection


class async_:  # noqa: N801 - RPyC's name, used like a function
    """A remote function whose calls do not wait: each returns an `AsyncResult` at once. Nothing is promised about their order.

    Args:
        proxy: The remote function.
        timeout: Seconds that each call may take, None for no limit. A call given up is cancelled there, if the peer is one of ours.

    Raises:
        TypeError: When it is none.
    """

    def __init__(self, proxy: Any, timeout: float | None = None) -> None:
        self._connection = _connection_of(proxy)
        if not callable(proxy):
            message = f"the remote {_get(proxy, '____id_pack__')[0]} cannot be called"
            raise TypeError(message)
        self._proxy = proxy
        self._timeout = timeout

    def __call__(self, *args: Any, **kwargs: Any) -> AsyncResult:
        """Begin a call."""
        return self._connection.async_request(CALL, self._proxy, args, tuple(kwargs.items()), timeout=self._timeout)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._proxy!r})"


class timed:  # noqa: N801 - RPyC's name, used like a function
    """A remote function with a time limit of its own.

    Args:
        proxy: The remote function.
        timeout: Seconds that each call may take.

    Raises:
        TypeError: When it is none.
    """

    def __init__(self, proxy: Any, timeout: float) -> None:
        self._call = async_(proxy, timeout)

    def __call__(self, *args: Any, **kwargs: Any) -> AsyncResult:
        """Begin a call; its result raises TimeoutError when the time is over."""
        return self._call(*args, **kwargs)

    def __repr__(self) -> str:
        return f"timed{self._call!r}"


def by_value(proxy: Any) -> Callable[..., Any]:
    """Return a remote function whose results come as copies: lists, dicts, sets, tuples and bytearrays, as deep as they go.

    A peer of ours sends all of it in its answer. Of another maker's, what it returned is fetched item by item, in chunks.

    Args:
        proxy: The remote function.

    Raises:
        TypeError: When it is none.
    """
    connection = _connection_of(proxy)

    def call(*args: Any, **kwargs: Any) -> Any:
        if connection.extended():
            return restore(connection.sync_request(CALL_BY_VALUE, proxy, args, tuple(kwargs.items())))
        return local(proxy(*args, **kwargs))

    return call


def cancelled() -> bool:
    """Tell the code of a service whether the caller of the call that runs in this thread has given it up."""
    job = current_job()
    return job is not None and job.cancelled


def buffiter(obj: Any, chunk: int = 10, max_chunk: int = 1000, factor: float = 2) -> Iterator[Any]:
    """Iterate over a remote object many items to a request. The iterator runs ahead of the loop, which a side effect may show.

    Args:
        obj: What to iterate over.
        chunk: How many items to ask for at first.
        max_chunk: How many at most.
        factor: By how much to ask for more each time; at least 1.

    Raises:
        ValueError: When the factor is below 1.
    """
    if factor < 1:
        message = f"factor is {factor}; chunks may not shrink, so 1 or more is needed"
        raise ValueError(message)
    return _chunks(obj, chunk, max_chunk, factor)


def _chunks(obj: Any, chunk: float, max_chunk: int, factor: float) -> Iterator[Any]:
    connection = _connection_of(obj)
    iterator = connection.sync_request(CALLATTR, obj, "__iter__", (), ())
    while True:
        items = connection.sync_request(BUFFITER, iterator, int(chunk))
        if not items:
            return
        yield from items
        chunk = min(chunk * factor, max_chunk)


class restricted:  # noqa: N801 - RPyC's name, used like a function
    """Wrap an object so that peers reach some of its attributes only, whatever the configuration says.

    Args:
        obj: The object.
        attrs: What may be read.
        wattrs: What may be set; as `attrs` when left out.
    """

    def __init__(self, obj: Any, attrs: Iterable[str], wattrs: Iterable[str] | None = None) -> None:
        self._obj = obj
        self._read = frozenset(attrs)
        self._write = self._read if wattrs is None else frozenset(wattrs)

    def _rpyc_getattr(self, name: str) -> Any:
        if name not in self._read:
            message = (
                f"cannot access {name!r}: of this object only {', '.join(sorted(self._read)) or 'nothing'} can be read"
            )
            raise AttributeError(message)
        return getattr(self._obj, name)

    def _rpyc_setattr(self, name: str, value: Any) -> None:
        if name not in self._write:
            message = (
                f"cannot access {name!r}: of this object only {', '.join(sorted(self._write)) or 'nothing'} can be set"
            )
            raise AttributeError(message)
        setattr(self._obj, name, value)

    def _rpyc_delattr(self, name: str) -> None:
        message = f"cannot access {name!r}: attributes of this object cannot be deleted"
        raise AttributeError(message)


class BgServingThread:
    """Serves a connection in a thread, so that the peer's calls are answered while nobody here waits for it.

    It answers at once; RPyC's sleeps between its looks, and `sleep_interval` is taken for its programs' sake only.

    Args:
        conn: The connection.
        callback: Called when serving ends by an error; without it, the error is logged.
        serve_interval: Seconds of one look; no call waits for it.
        sleep_interval: Not used.
    """

    def __init__(
        self,
        conn: Connection,
        callback: Callable[[], Any] | None = None,
        serve_interval: float = 0.0,
        sleep_interval: float = 0.1,  # noqa: ARG002 - RPyC's
    ) -> None:
        self._conn = conn
        self._callback = callback
        self._interval = max(serve_interval, _TICK)
        self._active = True
        self._thread = threading.Thread(target=self._serve, name=f"anycore-bg-{conn.config['connid']}", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.stop()

    def _serve(self) -> None:
        try:
            while self._active:
                self._conn.serve(self._interval)
        except EOFError as error:
            if not self._active:
                return
            if self._callback is None:
                _log.info("%s is served no longer in the background: %s", self._conn, error)
            else:
                self._callback()
        finally:
            self._active = False

    def stop(self) -> None:
        """Serve no longer, and wait for the thread."""
        self._active = False
        if self._thread is not threading.current_thread():
            self._thread.join()


bg_serve = BgServingThread


def spawn(function: Callable[..., Any], *args: Any, **kwargs: Any) -> threading.Thread:
    """Start a daemon thread.

    Args:
        function: What it runs.
        *args: With which arguments.
        **kwargs: With which named ones.

    Returns:
        The thread.
    """
    thread = threading.Thread(
        target=function, args=args, kwargs=kwargs, name=f"anycore-spawned-{next(_numbers)}", daemon=True
    )
    thread.start()
    return thread
