"""Proxies: objects of the peer, used as if they were here (spec/rpyc.md section 7)."""

from __future__ import annotations

import pickle
import sys
from typing import TYPE_CHECKING, Any, Final, cast

from anycore.objects.inspection import LOCAL_ATTRS
from anycore.wire.brine import Encoded
from anycore.wire.rpyc_constants import (
    BUFFITER,
    CALLATTR,
    CMP,
    CTXEXIT,
    DELATTR,
    DIR,
    GETATTR,
    HASH,
    INSTANCECHECK,
    LOCAL_REF,
    OLDSLICING,
    PICKLE,
    REPR,
    SETATTR,
    STR,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from anycore.objects.connection import Connection
    from anycore.objects.table import IdPack

_get = object.__getattribute__
_HIDDEN: Final = frozenset({"__array_struct__", "__array_interface__"})
_READ_AHEAD: Final = (32, 2048)
_SLICING: Final = {"__getslice__": "__getitem__", "__setslice__": "__setitem__", "__delslice__": "__delitem__"}
_HOOKS: Final = frozenset({"_rpyc_getattr", "_rpyc_setattr", "_rpyc_delattr"})
CONTAINERS: Final = frozenset(
    {"builtins.list", "builtins.tuple", "builtins.dict", "builtins.set", "builtins.frozenset"}
)
"""Built-in containers, whose iterators may be read ahead: reading one has no effect that anybody could see."""


class ProxyMeta(type):
    """The class of proxy classes: `isinstance` with a proxy of a class asks where the class is."""

    def __repr__(cls) -> str:
        return f"<netref class '{cls.__module__}.{cls.__name__}'>"


class Proxy(metaclass=ProxyMeta):
    """An object of the peer.

    Args:
        connection: The connection.
        id_pack: The object, in the peer's words.
    """

    __slots__ = ("____boxed__", "____conn__", "____id_pack__", "__weakref__")
    ____proxy__ = True

    def __init__(self, connection: Connection, id_pack: IdPack) -> None:
        object.__setattr__(self, "____conn__", connection)
        object.__setattr__(self, "____id_pack__", id_pack)
        object.__setattr__(self, "____boxed__", Encoded.reference(LOCAL_REF, id_pack))

    def __getattribute__(self, name: str) -> Any:
        if name not in LOCAL_ATTRS:
            return _ask(self, GETATTR, name)
        if name == "__class__":
            return _class_of(self)
        if name == "__doc__":
            return _ask(self, GETATTR, name)
        if name in _HIDDEN:
            message = f"{name!r} of a remote object would be taken for memory of this process"
            raise AttributeError(message)
        try:
            return _get(self, name)
        except AttributeError:
            return _ask(self, GETATTR, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in LOCAL_ATTRS:
            object.__setattr__(self, name, value)
        else:
            _ask(self, SETATTR, name, value)

    def __delattr__(self, name: str) -> None:
        if name in LOCAL_ATTRS:
            object.__delattr__(self, name)
        else:
            _ask(self, DELATTR, name)

    def __dir__(self) -> Iterable[str]:
        return list(_ask(self, DIR))

    def __hash__(self) -> int:
        return int(_ask(self, HASH))

    def __cmp__(self, other: Any) -> Any:
        return _ask(self, CMP, other, "__cmp__")

    def __eq__(self, other: object) -> Any:
        return _ask(self, CMP, other, "__eq__")

    def __ne__(self, other: object) -> Any:
        return _ask(self, CMP, other, "__ne__")

    def __lt__(self, other: Any) -> Any:
        return _ask(self, CMP, other, "__lt__")

    def __gt__(self, other: Any) -> Any:
        return _ask(self, CMP, other, "__gt__")

    def __le__(self, other: Any) -> Any:
        return _ask(self, CMP, other, "__le__")

    def __ge__(self, other: Any) -> Any:
        return _ask(self, CMP, other, "__ge__")

    def __repr__(self) -> str:
        return str(_ask(self, REPR))

    def __str__(self) -> str:
        return str(_ask(self, STR))

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> Any:
        return _ask(self, CTXEXIT, error)

    def __reduce_ex__(self, protocol: Any) -> Any:
        _check_pickle(self, "copied or pickled")
        return pickle.loads, (_ask(self, PICKLE, protocol),)

    def __instancecheck__(self, other: Any) -> bool:
        name, number, instance = _get(self, "____id_pack__")
        if instance:
            message = "isinstance() needs a class on the right-hand side; this is a proxy of an instance"
            raise TypeError(message)
        if getattr(type(other), "____proxy__", False):
            pack = _get(other, "____id_pack__")
            if pack[1] == number and pack[2] and _get(other, "____conn__") is _get(self, "____conn__"):
                return True
            return bool(_ask(self, INSTANCECHECK, pack))
        local = local_class(name)
        return local is not None and isinstance(other, local)


def is_proxy(obj: Any) -> bool:
    """Tell whether an object is a proxy, of any connection."""
    return getattr(type(obj), "____proxy__", False) is True


def _ask(proxy: Proxy, handler: int, *args: Any) -> Any:
    return _get(proxy, "____conn__").sync_request(handler, proxy, *args)


def local_class(name: str) -> type | None:
    """Return the class of this process that a name pack stands for, if it is there; nothing is imported."""
    module, _, attribute = name.rpartition(".")
    while module:
        found: Any = sys.modules.get(module)
        if found is not None:
            for part in attribute.split("."):
                found = getattr(found, part, None)
            return found if isinstance(found, type) else None
        module, _, head = module.rpartition(".")
        attribute = f"{head}.{attribute}"
    return None


def _class_of(proxy: Proxy) -> Any:
    name, _, instance = _get(proxy, "____id_pack__")
    found = local_class(name)
    if found is not None:
        return found if instance else type(found)
    return _ask(proxy, GETATTR, "__class__")


def make_class(name: str, routines: Iterable[tuple[str, str | None]]) -> type[Proxy]:
    """Make the class of proxies of one of the peer's types.

    Args:
        name: Its name pack.
        routines: The names and documentation of its routines.
    """
    members: dict[str, Any] = {"__slots__": ()}
    for routine, doc in routines:
        if routine not in LOCAL_ATTRS and routine not in _HOOKS:  # a hook of the peer's is not one of this side's
            members[routine] = _method(routine, doc)
    if name in CONTAINERS:
        members["__iter__"] = _read_ahead
    return cast("type[Proxy]", ProxyMeta(name, (Proxy,), members))


def _method(name: str, doc: str | None) -> Callable[..., Any]:
    """Make the method behind an operator; attribute access by name never comes here."""
    if name == "__call__":

        def method(_self: Proxy, /, *args: Any, **kwargs: Any) -> Any:
            return _get(_self, "____conn__").call(_self, args, kwargs)

    elif name in _SLICING:

        def method(_self: Proxy, /, *args: Any, **_kwargs: Any) -> Any:
            start, stop, *more = args
            stop = None if stop == sys.maxsize else stop
            return _ask(_self, OLDSLICING, _SLICING[name], name, start, stop, tuple(more))

    elif name == "__array__":

        def method(_self: Proxy, /, *args: Any, **kwargs: Any) -> Any:
            return _array(_self).__array__(*args, **kwargs)

    else:

        def method(_self: Proxy, /, *args: Any, **kwargs: Any) -> Any:
            return _ask(_self, CALLATTR, name, args, tuple(kwargs.items()))

    method.__name__ = name
    method.__doc__ = doc
    return method


def _check_pickle(proxy: Proxy, done: str) -> None:
    if not _get(proxy, "____conn__").config["allow_pickle"]:
        message = (
            f"a remote object can be {done} only where allow_pickle is set on this side, because this side unpickles what the"
            " peer sends; obtain() fetches one on purpose"
        )
        raise ValueError(message)


def _array(proxy: Proxy) -> Any:
    """Fetch an array by value; this side unpickles what the peer sends, so this side must have allowed it."""
    _check_pickle(proxy, "used as a local array")
    return pickle.loads(_ask(proxy, PICKLE, -1))  # noqa: S301 - the operator opted in, just above


def _read_ahead(proxy: Proxy) -> Iterator[Any]:
    """Iterate over a built-in container many items to a request."""
    connection = _get(proxy, "____conn__")
    iterator = connection.sync_request(CALLATTR, proxy, "__iter__", (), ())
    if not is_proxy(iterator):
        return iter(iterator)
    return _chunks(connection, iterator)


def _chunks(connection: Connection, iterator: Proxy) -> Iterator[Any]:
    size, most = _READ_AHEAD
    while True:
        chunk = connection.sync_request(BUFFITER, iterator, size)
        yield from chunk
        if len(chunk) < size:
            return
        size = min(size * 8, most)
