"""Iterating over objects of the peer: many items to a request where reading ahead changes nothing, else one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from anycore.objects.proxy import CONTAINERS
from anycore.rpyc.aio.proxy import Proxy, call_attr, request, settled
from anycore.wire.rpyc_constants import BUFFITER

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_get = object.__getattribute__
_AHEAD: Final = (32, 2048, 8)
_ONE_BY_ONE: Final = (1, 1, 1)
_ITERATORS: Final = frozenset(
    f"builtins.{name}"
    for name in (
        "list_iterator", "tuple_iterator", "set_iterator", "range_iterator", "dict_keyiterator", "dict_valueiterator",
        "dict_itemiterator", "bytes_iterator", "bytearray_iterator", "list_reverseiterator",
    )
)  # fmt: skip
VIEWS: Final = frozenset(
    f"builtins.{name}" for name in ("dict_keys", "dict_values", "dict_items", "range", "bytearray")
)
_HARMLESS: Final = CONTAINERS | VIEWS | _ITERATORS


def iterate(remote: Any) -> AsyncIterator[Any]:
    """Iterate over an object of the peer; what `async for` does.

    Of built-in containers and their iterators many items come with one answer. Of anything else, as a generator, which may wait or
    have effects, one item is asked for at a time; see `read_ahead`.

    Args:
        remote: A proxy, a path or call that comes to one, or anything that can be iterated over here.
    """
    return _iterate(remote, None)


def read_ahead(remote: Any, chunk: int = 10, max_chunk: int = 1000, factor: int = 2) -> AsyncIterator[Any]:
    """Iterate over an object of the peer, many items to a request: the peer runs ahead of what is used here.

    Args:
        remote: As in `iterate`.
        chunk: Items of the first request.
        max_chunk: Items of the largest.
        factor: By how much a request is larger than the one before.

    Raises:
        ValueError: When a number is below 1.
    """
    if min(chunk, max_chunk, factor) < 1:
        message = f"chunk, max_chunk and factor are 1 or more, not {chunk}, {max_chunk} and {factor}"
        raise ValueError(message)
    return _iterate(remote, (chunk, max_chunk, factor))


async def _iterate(remote: Any, sizes: tuple[int, int, int] | None) -> AsyncIterator[Any]:
    found = await settled(remote)
    name = ""
    if type(found) is Proxy:
        name = _get(found, "____id_pack__")[0]
        if name not in _ITERATORS and name != "builtins.generator":
            found = await call_attr(found, "__iter__")
    if type(found) is not Proxy:
        for item in found:
            yield item
        return
    size, most, factor = sizes or (_AHEAD if name in _HARMLESS else _ONE_BY_ONE)
    while True:
        items = await request(found, BUFFITER, size)
        for item in items:
            yield item
        if len(items) < size:
            return
        size = min(size * factor, most)
