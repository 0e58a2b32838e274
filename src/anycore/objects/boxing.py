"""Boxing: what of a value travels by value and what by reference (spec/rpyc.md section 5)."""

from __future__ import annotations

from collections import deque
from threading import RLock
from typing import TYPE_CHECKING, Any, Final
from weakref import ref

from anycore.objects.builtin_names import builtin_classes
from anycore.objects.proxy import Proxy, make_class
from anycore.wire.brine import Encoded, dumpable
from anycore.wire.rpyc_constants import INSPECT, LOCAL_REF, REMOTE_REF, TUPLE, VALUE

if TYPE_CHECKING:
    from anycore.objects.connection import Connection
    from anycore.objects.table import Entry, IdPack, ObjectTable

_BUILTINS: Final = builtin_classes()
PLAIN: Final = frozenset({type(None), bool, int, float, complex, bytes, str})
"""Types whose values always travel by value, and refer to nothing."""
_SHORT: Final = 4
_MAX_CLASSES: Final = 10_000
HERE: Final = object()
"""The label of an object of ours that was looked up already. It is no number, so no peer can send it."""
_get = object.__getattribute__


class _Lease(ref[Proxy]):
    """A proxy that lives, without keeping it alive, and how many references the peer counts for it.

    A weak reference's callback comes after the proxy is out of everybody's reach, where `__del__` would come before.
    """

    __slots__ = ("count", "pack")

    pack: IdPack
    count: int


class Boxer:
    """Boxes and unboxes for one connection. Safe for threads; the lock can be taken again by its owner, as a finaliser may need to.

    Args:
        connection: The connection; new types of the peer are asked about through it.
        table: Where objects are entered that the peer gets references to.
    """

    __slots__ = ("_classes", "_connection", "_gone", "_leases", "_lock", "_table")

    def __init__(self, connection: Connection, table: ObjectTable) -> None:
        self._connection = connection
        self._table = table
        self._lock = RLock()
        self._leases: dict[IdPack, _Lease] = {}
        self._gone: deque[_Lease] | None = None
        self._classes: dict[tuple[str, int, bool], type[Proxy]] = {}

    def box(self, obj: Any, lent: list[Entry]) -> Any:
        """Return the boxed form of a value.

        Args:
            obj: The value.
            lent: Gets the entries of the objects to which the boxed form refers: if it is not sent, they are to be given to `unlend`.

        Raises:
            TableFullError: When the peer holds too many objects already.
        """
        kind = type(obj)
        if kind in PLAIN:
            return (VALUE, obj)
        if kind is tuple:
            return self.box_tuple(obj, lent)
        if getattr(kind, "____proxy__", False) is True and _get(obj, "____conn__") is self._connection:
            return _get(obj, "____boxed__")
        if dumpable(obj):
            return (VALUE, obj)
        entry = self._table.enter(obj)
        lent.append(entry)
        return entry.boxed

    def box_tuple(self, obj: tuple[Any, ...], lent: list[Entry]) -> Any:
        """Return the boxed form of a tuple, in which a value that is `Encoded` is taken for boxed already; see `box`."""
        # Arguments are such a tuple, short and with a proxy in front: to look through it twice would show.
        if len(obj) > _SHORT and dumpable(obj):
            return (VALUE, obj)
        items: list[Any] = []
        plain = True
        for item in obj:
            kind = type(item)
            if kind in PLAIN:
                items.append((VALUE, item))
            elif kind is Encoded:
                items.append(item)
                plain = False
            else:
                boxed = self.box(item, lent)
                items.append(boxed)
                if type(boxed) is not tuple or boxed[0] != VALUE:
                    plain = False
        return (VALUE, obj) if plain else (TUPLE, tuple(items))

    def unlend(self, lent: list[Entry]) -> None:
        """Take back references that were not sent after all."""
        for entry in lent:
            try:
                self._table.drop(entry.pack)
            except KeyError:  # the connection has ended, and with it all references
                return

    def receive(self, boxed: Any) -> Any:
        """Look up the references to objects of ours, now, before what follows on the connection takes them back.

        Args:
            boxed: As it was sent. What cannot be looked up stays as it is, so that `unbox` fails.
        """
        if type(boxed) is not tuple or len(boxed) != 2:
            return boxed
        label, value = boxed
        if label == TUPLE and type(value) is tuple:
            ready = []
            for item in value:
                if type(item) is tuple and len(item) == 2:
                    label, content = item
                    if label == VALUE:
                        ready.append(content)
                        continue
                    if label == LOCAL_REF:
                        try:
                            ready.append(self._table.find(content))
                            continue
                        except KeyError:
                            break
                break
            else:
                return (HERE, tuple(ready))
            return (TUPLE, tuple([self.receive(item) for item in value]))
        if label == LOCAL_REF:
            try:
                return (HERE, self._table.find(value))
            except KeyError:
                return boxed
        return boxed

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
        if label is HERE or label == VALUE:
            return value
        if label == TUPLE and type(value) is tuple:
            return self._items(value)
        if label == LOCAL_REF:
            return self._table.find(value)
        if label == REMOTE_REF:
            return self._proxy(_checked(value))
        message = f"a boxed value has label 1, 2, 3 or 4, not {label!r:.100}"
        raise ValueError(message)

    def _items(self, boxed: tuple[Any, ...]) -> tuple[Any, ...]:
        items: list[Any] = []
        try:
            for item in boxed:
                items.append(self.unbox(item))  # noqa: PERF401 - how far it came matters
        except BaseException:
            for item in boxed[len(items) + 1 :]:
                self.release(item)
            raise
        return tuple(items)

    def _proxy(self, pack: IdPack) -> Proxy:
        known = self._known(pack)
        if known is not None:
            return known
        try:
            proxy = self._class(pack)(self._connection, pack)
        except BaseException:
            self._connection.release(pack, 1)  # there will be no proxy to do it
            raise
        with self._lock:
            known = self._known(pack)  # another thread may have made it meanwhile
            if known is not None:
                return known
            gone_ones = self._gone
            if gone_ones is None:
                gone_ones = self._gone = deque()
            lease = _Lease(proxy, self._ended)
            lease.pack, lease.count = pack, 1
            self._leases[pack] = lease
            while gone_ones:
                gone = gone_ones.popleft()
                if self._leases.get(gone.pack) is gone:
                    del self._leases[gone.pack]
            return proxy

    def _known(self, pack: IdPack) -> Proxy | None:
        """Return the proxy that lives for an id pack, with one more reference on its account."""
        with self._lock:
            lease = self._leases.get(pack)
            proxy = lease() if lease is not None else None
            if lease is not None and proxy is not None:
                lease.count += 1
            return proxy

    def _ended(self, lease: ref[Proxy]) -> None:
        """A proxy has gone. Runs wherever memory is allocated, so it takes no lock and leaves the table of leases alone."""
        assert isinstance(lease, _Lease)
        if self._gone is not None:
            self._gone.append(lease)
        self._connection.release(lease.pack, lease.count)

    def _class(self, pack: IdPack) -> type[Proxy]:
        """Return the class for a proxy; the peer is asked once for each of its types."""
        name, number, instance = pack
        found = _BUILTINS.get(name) if instance else None
        if found is None:
            # A class and its instances have different routines: the metaclass's come on top.
            key = (name, number, bool(instance))
            found = self._classes.get(key)
            if found is None:
                made = make_class(name, self._connection.sync_request(INSPECT, pack))
                if len(self._classes) >= _MAX_CLASSES:
                    self._classes.clear()
                found = self._classes.setdefault(key, made)
        return found

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
        return (pack[0] if type(pack[0]) is str else str(pack[0]), pack[1], pack[2])
    message = f"an id pack is a name and two numbers, not {pack!r:.100}"
    raise ValueError(message)
