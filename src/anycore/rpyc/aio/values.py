"""Copies by value of the peer's built-in containers, in as few round trips as it takes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from anycore.objects.extensions import CALL_BY_VALUE, restore
from anycore.objects.proxy import CONTAINERS
from anycore.rpyc.aio.iteration import VIEWS, iterate
from anycore.rpyc.aio.proxy import Proxy, call_attr, request, settled
from anycore.wire.rpyc_constants import BUFFITER

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

_get = object.__getattribute__
_MAX_DEPTH: Final = 64
_AT_ONCE: Final = 1000
_MAKE: Final[dict[str, Callable[[list[Any]], Any]]] = {
    "builtins.tuple": tuple,
    "builtins.set": set,
    "builtins.frozenset": frozenset,
    "builtins.bytearray": bytearray,
}
_COPIED: Final = CONTAINERS | VIEWS


async def value(remote: Any) -> Any:
    """Return a copy by value of a list, tuple, dict, set, frozenset, bytearray, dict view or range of the peer, and of those within it.

    Anything else comes back as it is: values are values already, and other objects stay where they are.

    Args:
        remote: A proxy, a path or call that comes to one, or a value.

    Raises:
        ValueError: When containers nest deeper than 64 levels, or contain themselves.
    """
    return await _copy(await settled(remote), 0)


def by_value(remote: Any) -> Callable[..., Coroutine[Any, Any, Any]]:
    """Make the results of a remote function come as copies, as deep as they go: ``by_value(conn.root.f)`` is called like it.

    A peer of ours sends all of it in its answer; of another maker's, what it returned is fetched as by `value`.

    Args:
        remote: The function: a proxy, or a path that comes to one.

    Returns:
        A function to call in its place.
    """

    async def call(*args: Any, **kwargs: Any) -> Any:
        function = await settled(remote)
        if type(function) is Proxy and await _get(function, "____conn__").ask_extended():
            return restore(await request(function, CALL_BY_VALUE, args, tuple(kwargs.items())))
        return await value(function(*args, **kwargs))

    return call


async def _copy(found: Any, depth: int) -> Any:
    if type(found) is tuple:
        return tuple(await _copies(list(found), depth))
    if type(found) is not Proxy:
        return found
    name = _get(found, "____id_pack__")[0]
    if name not in _COPIED:
        return found
    if depth > _MAX_DEPTH:
        message = f"the object nests deeper than {_MAX_DEPTH} levels, or contains itself"
        raise ValueError(message)
    items = await _items(found)
    if name == "builtins.dict":
        values = await _in_batches([call_attr(found, "__getitem__", (key,)) for key in items])
        return dict(zip(await _copies(items, depth + 1), await _copies(values, depth + 1), strict=True))
    return _MAKE.get(name, list)(await _copies(items, depth + 1))


async def _items(container: Proxy) -> list[Any]:
    # Asked about the container itself, the peer starts a new iterator each time: good for one answer, and if that is all, it is all.
    first: tuple[Any, ...] = await request(container, BUFFITER, _AT_ONCE)
    return list(first) if len(first) < _AT_ONCE else [item async for item in iterate(container)]


async def _copies(items: list[Any], depth: int) -> list[Any]:
    remote = [index for index, item in enumerate(items) if type(item) is Proxy or type(item) is tuple]
    if remote:
        copies = await _in_batches([_copy(items[index], depth) for index in remote])
        for index, copy in zip(remote, copies, strict=True):
            items[index] = copy
    return items


async def _in_batches(coroutines: list[Any]) -> list[Any]:
    """Run coroutines at the same time, not too many of them; the first failure ends all."""
    done: list[Any] = []
    try:
        while len(done) < len(coroutines):
            batch = [asyncio.ensure_future(one) for one in coroutines[len(done) : len(done) + _AT_ONCE]]
            try:
                done += await asyncio.gather(*batch)
            except BaseException:
                for task in batch:
                    task.cancel()
                await asyncio.gather(*batch, return_exceptions=True)
                raise
    finally:
        for one in coroutines[len(done) :]:
            one.close()
    return done
