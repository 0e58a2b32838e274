"""The objects of ours that the peer holds, and the id packs under which it knows them (spec/rpyc.md sections 6 and 8).

Ids are counted, never taken from `id()`: a number that was given back is not given out again, so a late message about an object that
has gone finds nothing instead of a stranger.
"""

from __future__ import annotations

import sys
from itertools import count
from threading import Lock
from types import ModuleType
from typing import Any

IdPack = tuple[str, int, int]


class TableFullError(Exception):
    """The peer holds as many objects as it may."""


class _Entry:
    __slots__ = ("extra", "obj", "pack")

    def __init__(self, obj: Any, pack: IdPack) -> None:
        self.obj = obj
        self.pack = pack
        self.extra = 0


class ObjectTable:
    """Objects by id pack, with the number of references that the peer was given. Safe for threads.

    The count is kept as the peer's own arithmetic has it: 0 after the first reference, one more for each further one.

    Args:
        limit: How many objects the peer may hold at once.
    """

    def __init__(self, limit: int = 1_000_000) -> None:
        self._limit = limit
        self._lock = Lock()
        self._numbers = count(1)
        self._by_pack: dict[IdPack, _Entry] = {}
        self._by_identity: dict[int, _Entry] = {}
        self._classes: dict[type, tuple[str, int]] = {}

    def __len__(self) -> int:
        return len(self._by_pack)

    def lend(self, obj: Any) -> IdPack:
        """Enter an object, or one more reference to it.

        Args:
            obj: What the peer is to hold.

        Returns:
            The id pack to send.

        Raises:
            TableFullError: When the peer holds too much already.
        """
        with self._lock:
            entry = self._by_identity.get(id(obj))
            if entry is not None:
                entry.extra += 1
                return entry.pack
            if len(self._by_pack) >= self._limit:
                message = f"the peer holds {self._limit} objects already; let it drop some, or raise max_objects"
                raise TableFullError(message)
            pack = self._pack(obj)
            self._by_identity[id(obj)] = self._by_pack[pack] = _Entry(obj, pack)
            return pack

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
            references: How many.

        Raises:
            KeyError: When the peer does not hold the object.
        """
        with self._lock:
            try:
                entry = self._by_pack[pack]
            except TypeError:
                raise KeyError(pack) from None
            if entry.extra < references:
                del self._by_pack[pack], self._by_identity[id(entry.obj)]
            else:
                entry.extra -= references

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            held = list(self._by_pack.values())
            self._by_pack.clear()
            self._by_identity.clear()
            self._classes.clear()
        del held  # outside the lock: finalisers of the objects may come back to us

    def _pack(self, obj: Any) -> IdPack:
        cls = type(obj)
        foreign = getattr(cls, "____proxy__", False)
        if foreign:  # a proxy of another connection: its name, our numbers
            name, _, number = object.__getattribute__(obj, "____id_pack__")
            return (name, next(self._numbers), next(self._numbers) if number else 0)
        if issubclass(cls, type):
            return (*self._class(obj), 0)
        if cls is ModuleType:
            name = obj.__name__
            known = name if name in sys.modules else f"{cls.__module__}.{name}"
            return (known, self._class(cls)[1], next(self._numbers))
        shown = obj.__class__
        name, number = self._class(shown if isinstance(shown, type) else cls)
        return (name, number, next(self._numbers))

    def _class(self, cls: type) -> tuple[str, int]:
        found = self._classes.get(cls)
        if found is None:
            found = self._classes[cls] = (f"{cls.__module__}.{cls.__name__}", next(self._numbers))
        return found
