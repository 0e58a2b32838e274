"""What a proxy must know of an object's type: its routines (spec/rpyc.md section 7), worked out once for each type."""

from __future__ import annotations

import inspect
from threading import Lock
from typing import Any, Final
from weakref import WeakKeyDictionary

LOCAL_ATTRS: Final = frozenset(
    ["____conn__", "____id_pack__", "____refcount__", "____proxy__", "__class__", "__cmp__", "__del__", "__delattr__", "__dir__", "__doc__", "__getattr__", "__getattribute__", "__hash__", "__instancecheck__", "__init__", "__metaclass__", "__module__", "__new__", "__reduce__", "__reduce_ex__", "__repr__", "__setattr__", "__slots__", "__str__", "__weakref__", "__dict__", "__methods__", "__exit__", "__eq__", "__ne__", "__lt__", "__gt__", "__le__", "__ge__", "__array_struct__", "__array_interface__"]
)
"""Names that a proxy answers itself, by means of its own, and that are never sent."""

Routines = tuple[tuple[str, str | None], ...]


class Inspector:
    """Remembers the routines of types. One may serve any number of connections. Safe for threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._known: WeakKeyDictionary[type, Routines] = WeakKeyDictionary()

    def routines(self, obj: Any) -> Routines:
        """Return the name and documentation of every routine of an object's type; of a class, its own and its metaclass's."""
        if issubclass(type(obj), type):  # not isinstance(), which would ask a proxy's peer
            return _of_mro((*reversed(type(obj).__mro__), *reversed(obj.__mro__)))
        cls = type(obj)
        with self._lock:
            found = self._known.get(cls)
        if found is None:
            found = routines_of(cls)
            with self._lock:
                self._known[cls] = found
        return found


def routines_of(cls: type) -> Routines:
    """Return the name and documentation of every routine that instances of a class have."""
    return _of_mro(tuple(reversed(cls.__mro__)))


def _of_mro(order: tuple[type, ...]) -> Routines:
    attributes: dict[str, Any] = {}
    for base in order:
        attributes.update(vars(base))
    return tuple(
        (name, _doc(value))
        for name, value in attributes.items()
        if name not in LOCAL_ATTRS and (inspect.isroutine(value) or isinstance(value, (staticmethod, classmethod)))
    )


def _doc(value: Any) -> str | None:
    found = inspect.getdoc(value)
    return found if isinstance(found, str) else None
