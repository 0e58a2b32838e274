"""`rpyc.core.netref`: objects of the other side, seen as such."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from anycore.objects.inspection import LOCAL_ATTRS
from anycore.objects.proxy import Proxy as BaseNetref
from anycore.objects.proxy import ProxyMeta as NetrefMetaclass
from anycore.objects.proxy import make_class

if TYPE_CHECKING:
    from collections.abc import Iterable

    from anycore.objects.connection import Connection
    from anycore.objects.result import AsyncResult

__all__ = ["DELETED_ATTRS", "LOCAL_ATTRS", "BaseNetref", "NetrefMetaclass", "asyncreq", "class_factory", "syncreq"]

DELETED_ATTRS: Final = frozenset({"__array_struct__", "__array_interface__"})


def syncreq(proxy: Any, handler: int, *args: Any) -> Any:
    """Make a request about an object of the other side and wait for the answer.

    Args:
        proxy: The object.
        handler: The request's number, of `consts`.
        *args: Its arguments after the object.
    """
    return _connection(proxy).sync_request(handler, proxy, *args)


def asyncreq(proxy: Any, handler: int, *args: Any) -> AsyncResult:
    """Make a request about an object of the other side and do not wait; see `syncreq`."""
    return _connection(proxy).async_request(handler, proxy, *args)


def class_factory(id_pack: tuple[str, int, int], methods: Iterable[tuple[str, str | None]]) -> type[BaseNetref]:
    """Make the class of proxies of a type of the other side.

    Args:
        id_pack: Of an object of the type: its first item names the type.
        methods: The names and documentation of its methods.
    """
    return make_class(id_pack[0], methods)


def _connection(proxy: Any) -> Connection:
    return cast("Connection", object.__getattribute__(proxy, "____conn__"))
