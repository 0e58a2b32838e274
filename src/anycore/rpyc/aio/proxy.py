"""Objects of the peer as asyncio programs see them: proxies, paths that lead to them, and calls that wait to be awaited.

In short::

    conn.root.thermostat.rooms        a path: nothing is sent
    await conn.root.thermostat.rooms  what it leads to
    conn.root.thermostat.rooms()      a call: nothing is sent before it is awaited
"""

from __future__ import annotations

from collections.abc import Coroutine
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final, NoReturn

from anycore.wire.brine import Encoded
from anycore.wire.rpyc_constants import CALL, CALLATTR, CTXEXIT, GETATTR, LOCAL_REF

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator
    from types import TracebackType
    from typing import Protocol

    from anycore.objects.table import IdPack
    from anycore.rpyc.aio.engine import Engine

    class Rooted(Protocol):
        """What has a root: a connection, or what stands for several one after the other."""

        async def get_root(self) -> Any:
            """Return the root."""


_get = object.__getattribute__
_set = object.__setattr__
DOTTED: Final = frozenset({"anycore.rpyc.root.PluginRoot", "anycore.rpyc.root._Names"})
"""Name packs of objects whose attributes may be asked for by a dotted name, several steps in one request."""


class Remote:
    """What paths and proxies share: attributes are paths, and whatever Python would want at once is refused."""

    __slots__ = ()
    __iter__ = None  # else Python would try [0], [1], [2] ... for ever
    __contains__ = None

    def __setattr__(self, name: str, value: Any) -> None:
        message = (
            f"an attribute of a remote object cannot be set without waiting: await aio.set_attr(..., {name!r}, ...)"
        )
        raise AttributeError(message)

    def __delattr__(self, name: str) -> None:
        message = (
            f"an attribute of a remote object cannot be deleted without waiting: await aio.del_attr(..., {name!r})"
        )
        raise AttributeError(message)

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        message = "a remote object cannot be copied or pickled; await aio.value(...) returns its containers by value"
        raise TypeError(message)

    def __getitem__(self, key: Any) -> Call:
        return Call(call_attr(self, "__getitem__", (key,)))

    def __aiter__(self) -> AsyncIterator[Any]:
        from anycore.rpyc.aio.iteration import iterate

        return iterate(self)


class Proxy(Remote):
    """An object of the peer.

    Args:
        engine: The connection.
        id_pack: The object, in the peer's words.
    """

    __slots__ = ("____boxed__", "____conn__", "____id_pack__", "__weakref__")
    ____proxy__ = True

    def __init__(self, engine: Engine, id_pack: IdPack) -> None:
        _set(self, "____conn__", engine)
        _set(self, "____id_pack__", id_pack)
        _set(self, "____boxed__", Encoded((LOCAL_REF, id_pack)))

    def __getattr__(self, name: str) -> Path:
        return Path(self, (_checked(name),))

    def __call__(self, /, *args: Any, **kwargs: Any) -> Call:
        """Return a call of the object."""
        return Call(_call(self, args, kwargs))

    def __repr__(self) -> str:
        return f"<remote {_get(self, '____id_pack__')[0]} of {_get(self, '____conn__')}>"

    async def __aenter__(self) -> Any:
        return await call_attr(self, "__enter__")

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        return bool(await request(self, CTXEXIT, error))

    def _rpyc_getattr(self, name: str) -> Path:
        return Path(self, (name,))  # another peer asks, by way of this one


class Path(Remote):
    """A way to an object of the peer: attributes of attributes. Nothing is sent before it is awaited or called.

    Args:
        base: Where it begins: a proxy, or what has a root.
        names: The attributes.
    """

    __slots__ = ("____base__", "____names__")

    def __init__(self, base: Proxy | Rooted, names: tuple[str, ...]) -> None:
        _set(self, "____base__", base)
        _set(self, "____names__", names)

    def __getattr__(self, name: str) -> Path:
        return Path(_get(self, "____base__"), (*_get(self, "____names__"), _checked(name)))

    def __call__(self, /, *args: Any, **kwargs: Any) -> Call:
        """Return a call of what the path leads to."""
        names = _get(self, "____names__")
        coroutine: Any = _call_path(_get(self, "____base__"), names, args, kwargs)
        if names:
            coroutine.__qualname__ = names[-1]  # for "was never awaited"
        return Call(coroutine)

    def __await__(self) -> Generator[Any, Any, Any]:
        return _follow(_get(self, "____base__"), _get(self, "____names__")).__await__()

    def __repr__(self) -> str:
        base, names = _get(self, "____base__"), _get(self, "____names__")
        start = repr(base) if type(base) is Proxy else "root"
        return f"<path {'.'.join((start, *names))}: await it, or call it>"

    def __aenter__(self) -> NoReturn:
        message = f"{self!r} is not entered yet: write `async with await ...`, or call it"
        raise TypeError(message)

    def __aexit__(self, kind: object, error: object, trace: object) -> NoReturn:
        raise AssertionError  # never entered


class Call(Coroutine[Any, Any, Any]):
    """A call that waits to be awaited, or to be made a task. `async for` and `async with` take it as well.

    Args:
        coroutine: What makes it.
    """

    __slots__ = ("_coroutine", "_entered")

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._coroutine = coroutine
        self._entered: Any = None

    @property
    def __name__(self) -> str:
        """The attribute that is called; shown of tasks."""
        return str(getattr(self._coroutine, "__qualname__", "call"))

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._coroutine.__await__()

    def send(self, value: Any) -> Any:
        """Go on; for tasks."""
        return self._coroutine.send(value)

    def throw(self, *error: Any) -> Any:
        """Go on with an exception; for tasks."""
        return self._coroutine.throw(*error)

    def close(self) -> None:
        """Do without the call."""
        self._coroutine.close()

    def __repr__(self) -> str:
        return f"<call of {self.__name__}: await it>"

    def __aiter__(self) -> AsyncIterator[Any]:
        from anycore.rpyc.aio.iteration import iterate

        return iterate(self)

    async def __aenter__(self) -> Any:
        self._entered = await self._coroutine
        return await self._entered.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        return bool(await self._entered.__aexit__(kind, error, trace))


_AWAITED: Final = frozenset({Path, Call, CoroutineType})


async def settled(remote: Any) -> Any:
    """Return what a path or a call comes to; anything else as it is.

    Args:
        remote: A path, a call, a coroutine, a proxy, or a value.
    """
    return await remote if type(remote) in _AWAITED else remote


async def request(remote: Any, handler: int, *args: Any) -> Any:
    """Make a request about an object of the peer.

    Args:
        remote: A proxy, or a path or call that comes to one.
        handler: The request's number.
        *args: More arguments.

    Raises:
        TypeError: When it is no object of the peer.
    """
    proxy = await settled(remote)
    if type(proxy) is not Proxy:
        message = f"an object of the other side is needed, not {type(proxy).__name__}: {proxy!r:.100}"
        raise TypeError(message)
    return await _get(proxy, "____conn__").ask(handler, proxy, *args)


async def call_attr(remote: Any, name: str, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
    """Call an attribute of an object of the peer, whatever the attribute's name; one round trip.

    Args:
        remote: A proxy, or a path or call that comes to one.
        name: The attribute.
        args: Arguments by position.
        kwargs: Arguments by name.
    """
    _check_args(args, kwargs)
    return await request(remote, CALLATTR, name, args, tuple(kwargs.items()) if kwargs else ())


async def _call(proxy: Proxy, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    _check_args(args, kwargs)
    return await _get(proxy, "____conn__").ask(CALL, proxy, args, tuple(kwargs.items()))


async def _call_path(
    base: Proxy | Rooted, names: tuple[str, ...], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    _check_args(args, kwargs)
    keywords = tuple(kwargs.items())
    proxy, name = await _last_step(base, names)
    if not name:
        return await request(proxy, CALL, args, keywords)
    return await request(proxy, CALLATTR, name, args, keywords)


async def _follow(base: Proxy | Rooted, names: tuple[str, ...]) -> Any:
    proxy, name = await _last_step(base, names)
    return await request(proxy, GETATTR, name) if name else proxy


async def _last_step(base: Proxy | Rooted, names: tuple[str, ...]) -> tuple[Any, str]:
    """Go all of a path but the last step."""
    found: Any = base if isinstance(base, Proxy) else await base.get_root()
    if not names:
        return found, ""
    if len(names) > 1:
        if type(found) is Proxy and _get(found, "____id_pack__")[0] in DOTTED:
            return found, ".".join(names)
        for name in names[:-1]:
            found = await request(found, GETATTR, name)
    return found, names[-1]


def _checked(name: str) -> str:
    """Refuse names that Python and its tools look for on any object."""
    if name.startswith("_"):
        message = f"{name!r} is not taken as a remote attribute: await aio.get_attr(..., {name!r}), or aio.call_attr"
        raise AttributeError(message)
    return name


def _check_args(args: tuple[Any, ...], kwargs: dict[str, Any] | None) -> None:
    for arg in (*args, *kwargs.values()) if kwargs else args:
        if type(arg) in _AWAITED:
            message = f"the argument {arg!r} has no value yet; await it first"
            raise TypeError(message)
