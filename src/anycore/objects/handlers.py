"""The 20 requests a peer can make, as a table from number to function (spec/rpyc.md section 4)."""

from __future__ import annotations

import itertools
import pickle
import sys
from typing import TYPE_CHECKING, Any, Final

from anycore.objects.extensions import ANSWER, QUESTION
from anycore.objects.proxy import is_proxy, local_class
from anycore.wire import rpyc_constants as wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from anycore.objects.connection import Connection

MAX_CHUNK: Final = 100_000


def ping(_: Connection, data: Any) -> Any:
    """Give the data back, but to a peer of ours that asks whether we are one as well."""
    return ANSWER if type(data) is str and data == QUESTION else data


def close(connection: Connection) -> None:
    """End the connection; the peer expects no answer."""
    connection.close_received()


def get_root(connection: Connection) -> Any:
    """Return the root object."""
    return connection.local_root


def get_attr(connection: Connection, obj: Any, name: Any) -> Any:
    """Read an attribute, if the policy lets."""
    return connection.policy.get(obj, name)


def set_attr(connection: Connection, obj: Any, name: Any, value: Any) -> None:
    """Set an attribute, if the policy lets."""
    connection.policy.set(obj, name, value)


def del_attr(connection: Connection, obj: Any, name: Any) -> None:
    """Delete an attribute, if the policy lets."""
    connection.policy.delete(obj, name)


def call(connection: Connection, obj: Any, args: Any, kwargs: Any = ()) -> Any:
    """Call an object, if the policy lets."""
    connection.policy.check("call", obj)
    return obj(*args, **dict(kwargs)) if kwargs else obj(*args)


def call_attr(connection: Connection, obj: Any, name: Any, args: Any, kwargs: Any = ()) -> Any:
    """Call an attribute, if the policy lets."""
    return call(connection, connection.policy.get(obj, name), args, kwargs)


def represent(connection: Connection, obj: Any) -> str:
    """Return repr(), if the policy lets."""
    connection.policy.check("repr", obj)
    return repr(obj)


def text(connection: Connection, obj: Any) -> str:
    """Return str(), if the policy lets."""
    connection.policy.check("str", obj)
    return str(obj)


def compare(connection: Connection, obj: Any, other: Any, operator: Any = "__cmp__") -> Any:
    """Compare, by the special method of the object's type."""
    return connection.policy.operator(obj, operator)(obj, other)


def hash_of(connection: Connection, obj: Any) -> int:
    """Return hash(), if the policy lets."""
    connection.policy.check("hash", obj)
    return hash(obj)


def dir_of(connection: Connection, obj: Any) -> tuple[str, ...]:
    """Return dir(), if the policy lets."""
    connection.policy.check("dir", obj)
    return tuple(dir(obj))


def pickled(connection: Connection, obj: Any, protocol: int) -> bytes:
    """Return an object by value, if the configuration lets."""
    if not connection.config["allow_pickle"]:
        message = "pickling is disabled: allow_pickle is off on the side that owns the object"
        raise ValueError(message)
    connection.policy.check("pickle", obj)
    return pickle.dumps(obj, protocol)


def drop_references(connection: Connection, obj: Any, count: int = 1) -> None:
    """Take back references that the peer has done with. `obj` is the id pack: the object itself is not touched."""
    connection.table.drop(obj, count)


def inspect_type(connection: Connection, pack: Any) -> Any:
    """Return the routines of an object's type."""
    return connection.inspector.routines(connection.table.find(pack))


def read_ahead(connection: Connection, iterator: Any, count: int) -> tuple[Any, ...]:
    """Return the next items of an iterator, at most `count`, if the policy lets."""
    connection.policy.check("iterate", iterator)
    return tuple(itertools.islice(iterator, min(count, MAX_CHUNK)))


def old_slicing(connection: Connection, obj: Any, attempt: Any, fallback: Any, start: Any, stop: Any, args: Any) -> Any:
    """Slice in the way of Python 2, as old peers ask."""
    try:
        return connection.policy.get(obj, attempt)(slice(start, stop), *args)
    except Exception:  # noqa: BLE001 - the protocol says: on any exception, the other way
        return connection.policy.get(obj, fallback)(start, sys.maxsize if stop is None else stop, *args)


def leave_context(connection: Connection, obj: Any, error: Any) -> Any:
    """Leave a `with` block, with the peer's exception if there was one."""
    leave = connection.policy.get(obj, "__exit__")
    if not _given(error):
        return leave(None, None, None)
    raised = _raised(connection, error)
    return leave(type(raised), raised, raised.__traceback__)


def _given(error: Any) -> bool:
    return error is not None and (is_proxy(error) or bool(error))


def _raised(connection: Connection, error: Any) -> BaseException:
    """Return an exception of this side for one of the peer's, with a traceback, so that `__exit__` gets what it knows to handle."""
    if is_proxy(error) or not isinstance(error, BaseException):
        error = connection.stand_in(error)
    try:
        raise error
    except BaseException as made:  # noqa: BLE001 - raised for its traceback
        return made


def is_instance(_: Connection, obj: Any, other: Any) -> bool:
    """Tell whether the peer's object of the given id pack is an instance of a class of ours, going by names."""
    if is_proxy(obj):  # of another connection: its peer knows
        return bool(object.__getattribute__(obj, "____conn__").sync_request(wire.INSTANCECHECK, obj, other))
    if type(other) is not tuple or not other:
        message = f"an id pack is a name and two numbers, not {other!r:.100}"
        raise ValueError(message)
    known = local_class(str(other[0]))
    return known is not None and issubclass(type(obj), type) and issubclass(known, obj)


HANDLERS: Final[dict[int, Callable[..., Any]]] = {
    wire.PING: ping,
    wire.CLOSE: close,
    wire.GETROOT: get_root,
    wire.GETATTR: get_attr,
    wire.DELATTR: del_attr,
    wire.SETATTR: set_attr,
    wire.CALL: call,
    wire.CALLATTR: call_attr,
    wire.REPR: represent,
    wire.STR: text,
    wire.CMP: compare,
    wire.HASH: hash_of,
    wire.DIR: dir_of,
    wire.PICKLE: pickled,
    wire.DEL: drop_references,
    wire.INSPECT: inspect_type,
    wire.BUFFITER: read_ahead,
    wire.OLDSLICING: old_slicing,
    wire.CTXEXIT: leave_context,
    wire.INSTANCECHECK: is_instance,
}
