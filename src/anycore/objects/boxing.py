"""Boxing: what of a value travels by value and what by reference (spec/rpyc.md section 5)."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any
from weakref import ref

from anycore.objects.builtin_names import builtin_classes
from anycore.objects.proxy import Proxy, is_proxy, make_class
from anycore.wire.brine import dumpable
from anycore.wire.rpyc_constants import INSPECT, LOCAL_REF, REMOTE_REF, TUPLE, VALUE

if TYPE_CHECKING:
    from anycore.objects.connection import Connection
    from anycore.objects.table import IdPack, ObjectTable

_BUILTINS = builtin_classes()
_get = object.__getattribute__


class _Lease(ref[Proxy]):
    """A proxy that lives, without keeping it alive, and how many references the peer counts for it.

    A weak reference's callback comes after the proxy is out of everybody's reach, where `__del__` would come before.
    """

    __slots__ = ("count", "pack")

    pack: IdPack
    count: int


class Boxer:
    """Boxes and unboxes for one connection.

    Args:
        connection: The connection; new types of the peer are asked about through it.
        table: Where objects are entered that the peer gets references to.
    """

    def __init__(self, connection: Connection, table: ObjectTable) -> None:
        self._connection = connection
        self._table = table
        self._lock = Lock()
        self._leases: dict[IdPack, _Lease] = {}
        self._classes: dict[tuple[str, int], type[Proxy]] = {}

    def box(self, obj: Any) -> tuple[int, Any]:
        """Return the boxed form of a value.

        Raises:
            TableFullError: When the peer holds too many objects already.
        """
        if dumpable(obj):
            return VALUE, obj
        if type(obj) is tuple:
            return TUPLE, tuple(self.box(item) for item in obj)
        if is_proxy(obj) and _get(obj, "____conn__") is self._connection:
            return LOCAL_REF, _get(obj, "____id_pack__")
        return REMOTE_REF, self._table.lend(obj)

    def unbox(self, boxed: Any) -> Any:
        """Return the value of a boxed form. May ask the peer about a type that is new.

        Raises:
            ValueError: When it is no boxed form.
            KeyError: When the peer speaks of an object that it does not hold.
        """
        try:
            label, value = boxed
        except (TypeError, ValueError):
            message = f"a boxed value is a pair of label and value, not {boxed!r:.100}"
            raise ValueError(message) from None
        if label == VALUE:
            return value
        if label == TUPLE and type(value) is tuple:
            return tuple([self.unbox(item) for item in value])
        if label == LOCAL_REF:
            return self._table.find(value)
        if label == REMOTE_REF:
            return self._proxy(_checked(value))
        message = f"a boxed value has label 1, 2, 3 or 4, not {label!r:.100}"
        raise ValueError(message)

    def _proxy(self, pack: IdPack) -> Proxy:
        known = self._known(pack)
        if known is not None:
            return known
        cls = self._class(pack)
        with self._lock:
            known = self._known(pack)  # another thread may have made it meanwhile
            if known is not None:
                return known
            proxy = cls(self._connection, pack)
            lease = self._leases[pack] = _Lease(proxy, self._ended)
            lease.pack, lease.count = pack, 1
            return proxy

    def _known(self, pack: IdPack) -> Proxy | None:
        """Return the proxy that lives for an id pack, with one more reference on its account."""
        lease = self._leases.get(pack)
        proxy = lease() if lease is not None else None
        if lease is not None and proxy is not None:
            lease.count += 1
        return proxy

    def _ended(self, lease: ref[Proxy]) -> None:
        """A proxy has gone. Runs wherever memory is allocated, so it takes no lock."""
        assert isinstance(lease, _Lease)
        if self._leases.get(lease.pack) is lease:
            self._leases.pop(lease.pack, None)
        self._connection.release(lease.pack, lease.count)

    def _class(self, pack: IdPack) -> type[Proxy]:
        """Return the class for a proxy; the peer is asked once for each of its types."""
        name, number, _ = pack
        found = _BUILTINS.get(name) if pack[2] else None
        if found is None:
            # A class and its instances have different routines: the metaclass's come on top.
            key = (name, number) if pack[2] else (name, -number)
            found = self._classes.get(key)
            if found is None:
                found = self._classes[key] = make_class(name, self._connection.sync_request(INSPECT, pack))
        return found

    def is_known_class(self, pack: Any) -> type[Proxy] | None:
        """Return the proxy class made for one of the peer's classes, if there is one."""
        return self._classes.get((pack[0], -pack[1]))

    def release(self, boxed: Any) -> None:
        """Give back the references in an answer that nobody will unbox."""
        label, value = boxed if type(boxed) is tuple and len(boxed) == 2 else (0, None)
        if label == TUPLE and type(value) is tuple:
            for item in value:
                self.release(item)
        elif label == REMOTE_REF:
            self._connection.release(value, 1)


def _checked(pack: Any) -> IdPack:
    if type(pack) is tuple and len(pack) == 3 and type(pack[1]) is int and type(pack[2]) is int:
        return (str(pack[0]), pack[1], pack[2])
    message = f"an id pack is a name and two numbers, not {pack!r:.100}"
    raise ValueError(message)
