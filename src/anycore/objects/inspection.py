"""What a proxy must know of an object's type: its routines (spec/rpyc.md section 7), worked out once for each type."""

from __future__ import annotations

import inspect
from typing import Any, Final
from weakref import WeakKeyDictionary

from anycore.wire.brine import Encoded
from anycore.wire.errors import LocalProtocolError

LOCAL_ATTRS: Final = frozenset(
    [
        "____conn__",
        "____id_pack__",
        "____refcount__",
        "____boxed__",
        "____proxy__",
        "__class__",
        "__cmp__",
        "__del__",
        "__delattr__",
        "__dir__",
        "__doc__",
        "__getattr__",
        "__getattribute__",
        "__hash__",
        "__instancecheck__",
        "__init__",
        "__metaclass__",
        "__module__",
        "__new__",
        "__reduce__",
        "__reduce_ex__",
        "__repr__",
        "__setattr__",
        "__slots__",
        "__str__",
        "__weakref__",
        "__dict__",
        "__methods__",
        "__exit__",
        "__eq__",
        "__ne__",
        "__lt__",
        "__gt__",
        "__le__",
        "__ge__",
        "__array_struct__",
        "__array_interface__",
    ]
)
"""Names that a proxy answers itself, by means of its own, and that are never sent."""

Routines = tuple[tuple[str, str | None], ...]


class Inspector:
    """Remembers the routines of types, ready to be sent. One may serve any number of connections. Safe for threads."""

    def __init__(self) -> None:
        self._known: WeakKeyDictionary[type, Encoded] = WeakKeyDictionary()

    def routines(self, obj: Any) -> Encoded:
        """Return the name and documentation of every routine of an object's type; of a class, its own and its metaclass's."""
        cls = type(obj)
        if issubclass(cls, type):  # not isinstance(), which would ask a proxy's peer
            return _encoded(_of_mro((*_bases(cls), *_bases(obj))))
        found = self._known.get(cls)
        if found is None:
            found = _encoded(routines_of(cls))
            self._known[cls] = found  # no lock: of two threads that find out the same, one does it in vain
        return found


def routines_of(cls: type) -> Routines:
    """Return the name and documentation of every routine that instances of a class have."""
    return _of_mro(_bases(cls))


def _bases(cls: type) -> tuple[type, ...]:
    return tuple(reversed(cls.__mro__))


def _of_mro(order: tuple[type, ...]) -> Routines:
    attributes: dict[str, Any] = {}
    for base in order:
        attributes.update(type.__getattribute__(base, "__dict__"))
    return tuple(
        (str(name), _doc(value))
        for name, value in attributes.items()
        if name not in LOCAL_ATTRS and (inspect.isroutine(value) or isinstance(value, (staticmethod, classmethod)))
    )


def _doc(value: Any) -> str | None:
    try:
        found = inspect.getdoc(value)
    except Exception:  # noqa: BLE001 - whatever a descriptor's __doc__ does, the routine is there
        return None
    return found if type(found) is str else None


def _encoded(routines: Routines) -> Encoded:
    try:
        return Encoded(routines)
    except LocalProtocolError:  # text that has no UTF-8
        return Encoded(tuple((_clean(name), None if doc is None else _clean(doc)) for name, doc in routines))


def _clean(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
