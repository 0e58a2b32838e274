"""The objects of ours that the peer holds, and the id packs under which it knows them (spec/rpyc.md sections 6 and 8).

Ids are counted, never taken from `id()`: a number that was given back is not given out again, so a late message about an object that
has gone finds nothing instead of a stranger.
"""

from __future__ import annotations

import sys
from functools import partial
from itertools import count
from threading import RLock
from types import MethodType, ModuleType
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from anycore.wire.brine import Encoded
from anycore.wire.errors import LocalProtocolError
from anycore.wire.rpyc_constants import REMOTE_REF
from anycore.wire.rpyc_flat import call_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from anycore.kernel.call import Mode

IdPack = tuple[str, int, int]


_class_numbers: Final = count(1)
_classes: Final[WeakKeyDictionary[type, tuple[str, int]]] = WeakKeyDictionary()
"""Names and numbers of classes, the same on all connections. Safe for threads: of two that enter the same, one does it in vain."""


class TableFullError(Exception):
    """The peer holds as many objects as it may."""


class Entry:
    """One object that the peer holds.

    Attributes:
        obj: The object.
        pack: The id pack under which the peer knows it.
        boxed: A reference to it, ready to be sent.
        extra: References beyond the first.
        says: Tells by a request's number where it runs; see `says_of`.
        key: By what calls of it are recognised; None before the first.
    """

    __slots__ = ("boxed", "extra", "key", "obj", "pack", "says")

    def __init__(self, obj: Any, pack: IdPack) -> None:
        self.obj = obj
        self.pack = pack
        self.boxed = Encoded.reference(REMOTE_REF, pack)
        self.extra = 0
        self.says = says_of(obj)
        self.key: bytes | None = None


def says_of(obj: Any) -> Callable[[int], Mode] | None:
    """Return what an object, or that of a bound method, says of where requests about it run: its type's `____mode__`, if it has one."""
    if type(obj) is MethodType:
        obj = obj.__self__
    cls: Any = type(obj)
    says = getattr(cls, "____mode__", None)
    if says is None or getattr(cls, "____proxy__", False) is True:
        return None
    return partial(says, obj)


class ObjectTable:
    """Objects by id pack, with the number of references that the peer was given. Safe for threads.

    The count is kept as the peer's own arithmetic has it: 0 after the first reference, one more for each further one. The lock can be
    taken again by its owner, because a finaliser may run at any allocation and may hand out references.

    Args:
        limit: How many objects the peer may hold at once.

    Attributes:
        called: Those that were called already, by how the peer writes a call of theirs; see `call_key`.
    """

    __slots__ = ("_by_identity", "_by_pack", "_closed", "_limit", "_lock", "_numbers", "called")

    def __init__(self, limit: int = 1_000_000) -> None:
        self._limit = limit
        self._closed = False
        self._lock = RLock()
        self._numbers = count(1)
        self._by_pack: dict[IdPack, Entry] = {}
        self._by_identity: dict[int, Entry] = {}
        self.called: dict[bytes, Entry] = {}

    def __len__(self) -> int:
        return len(self._by_pack)

    def lend(self, obj: Any) -> IdPack:
        """Enter an object, or one more reference to it, and return the id pack to send; see `enter`."""
        return self.enter(obj).pack

    def enter(self, obj: Any) -> Entry:
        """Enter an object, or one more reference to it.

        Args:
            obj: What the peer is to hold.

        Raises:
            TableFullError: When the peer holds too much already.
        """
        with self._lock:
            entry = self._by_identity.get(id(obj))
            if entry is not None:
                entry.extra += 1
                return entry
        new = self._entry(obj)  # outside the lock: it may run code of the object's class
        with self._lock:
            entry = self._by_identity.get(id(obj))
            if entry is not None:
                entry.extra += 1
                return entry
            if self._closed:
                message = "the connection has ended, and with it all references"
                raise TableFullError(message)
            if len(self._by_pack) >= self._limit:
                message = f"the peer holds {self._limit} objects already; let it drop some, or raise max_objects"
                raise TableFullError(message)
            self._by_identity[id(obj)] = self._by_pack[new.pack] = new
            return new

    def entry(self, pack: Any) -> Entry:
        """Return the entry of the object that an id pack stands for.

        Raises:
            KeyError: When there is none.
            TypeError: When it can be no id pack.
        """
        return self._by_pack[pack]

    def recognise(self, entry: Entry) -> None:
        """Enter an object into `called`, for as long as the peer holds it."""
        key = call_key(entry.boxed)
        with self._lock:
            if self._by_pack.get(entry.pack) is entry:
                self.called[key] = entry
                entry.key = key

    def find(self, pack: Any) -> Any:
        """Return the object that an id pack stands for.

        Raises:
            KeyError: When there is none.
        """
        try:
            return self._by_pack[pack].obj
        except TypeError:
            raise KeyError(pack) from None

    def drop(self, pack: Any, references: int = 1) -> None:
        """Take references back; the object is forgotten when none is left.

        Args:
            pack: The id pack.
            references: How many, at least 1.

        Raises:
            KeyError: When the peer does not hold the object.
            ValueError: When the number is none.
        """
        if type(references) is not int or references < 1:
            message = f"the number of references to drop is an integer of 1 or more, not {references!r:.40}"
            raise ValueError(message)
        with self._lock:
            try:
                entry = self._by_pack[pack]  # lives on in this variable: the object's finaliser runs outside the lock
            except TypeError:
                raise KeyError(pack) from None
            if entry.extra < references:
                del self._by_pack[pack], self._by_identity[id(entry.obj)]
                if entry.key is not None:
                    del self.called[entry.key]
            else:
                entry.extra -= references

    def close(self) -> None:
        """Forget everything, and take nothing more."""
        with self._lock:
            self._closed = True
            held = list(self._by_pack.values())
            self._by_pack.clear()
            self._by_identity.clear()
            self.called.clear()
        del held  # outside the lock: finalisers of the objects may come back to us

    def _entry(self, obj: Any) -> Entry:
        name, *numbers = self._pack(obj)
        try:
            return Entry(obj, (name, numbers[0], numbers[1]))
        except LocalProtocolError:  # a name that has no UTF-8
            return Entry(obj, (name.encode("utf-8", "backslashreplace").decode(), numbers[0], numbers[1]))

    def _pack(self, obj: Any) -> IdPack:
        cls = type(obj)
        if getattr(cls, "____proxy__", False):  # a proxy of another connection: its name, our numbers
            name, _, number = object.__getattribute__(obj, "____id_pack__")
            return (name, next(_class_numbers), next(self._numbers) if number else 0)
        if issubclass(cls, type):
            return (*_class_of(obj), 0)
        if cls is ModuleType:
            name = str(getattr(obj, "__name__", "?"))
            known = name if name in sys.modules else f"{cls.__module__}.{name}"
            return (known, _class_of(cls)[1], next(self._numbers))
        try:
            shown = obj.__class__
        except Exception:  # noqa: BLE001 - a property of the object's own, which failed
            shown = cls
        name, number = _class_of(shown if issubclass(type(shown), type) else cls)
        return (name, number, next(self._numbers))


def _class_of(cls: type) -> tuple[str, int]:
    found = _classes.get(cls)
    if found is None:
        module, name = (type.__getattribute__(cls, part) for part in ("__module__", "__name__"))
        found = _classes.setdefault(cls, (f"{module}.{name}", next(_class_numbers)))
    return found
