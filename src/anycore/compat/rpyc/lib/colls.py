"""`rpyc.lib.colls`: collections that programs may have borrowed. Connections here keep their objects in `anycore.objects.table`."""

from __future__ import annotations

import threading
from typing import Any, TypeVar
from weakref import WeakValueDictionary

K = TypeVar("K")
V = TypeVar("V")


class WeakValueDict(WeakValueDictionary[K, V]):
    """A dictionary that forgets values that nobody else holds."""

    iterkeys = WeakValueDictionary.keys
    itervalues = WeakValueDictionary.values
    iteritems = WeakValueDictionary.items


class RefCountingColl:
    """Objects by key, each as often as it was added."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._dict: dict[Any, list[Any]] = {}

    def add(self, key: Any, obj: Any) -> None:
        """Add an object, or count it once more."""
        with self._lock:
            self._dict.setdefault(key, [obj, -1])[1] += 1

    def decref(self, key: Any, count: int = 1) -> None:
        """Count it so many times less; forget it when that is more often than it is there."""
        with self._lock:
            slot = self._dict[key]
            if slot[1] < count:
                del self._dict[key]
            else:
                slot[1] -= count

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._dict.clear()

    def __getitem__(self, key: Any) -> Any:
        with self._lock:
            return self._dict[key][0]

    def __contains__(self, key: Any) -> bool:
        return key in self._dict

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self._dict)}>"
