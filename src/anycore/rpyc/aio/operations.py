"""What Python would do to an object at once, and a program that waits for a peer must await: length, text, attributes, comparisons."""

from __future__ import annotations

from typing import Any, Final

from anycore.rpyc.aio.proxy import call_attr, request
from anycore.wire.rpyc_constants import CMP, DELATTR, DIR, GETATTR, HASH, REPR, SETATTR, STR

_OPERATORS: Final = {"==": "__eq__", "!=": "__ne__", "<": "__lt__", "<=": "__le__", ">": "__gt__", ">=": "__ge__"}


async def get_attr(remote: Any, name: str) -> Any:
    """Return an attribute, also one whose name `remote.name` does not take.

    Args:
        remote: A proxy, or a path or call that comes to one; so for all functions here.
        name: The attribute.
    """
    return await request(remote, GETATTR, name)


async def set_attr(remote: Any, name: str, value: Any) -> None:
    """Set an attribute."""
    await request(remote, SETATTR, name, value)


async def del_attr(remote: Any, name: str) -> None:
    """Delete an attribute."""
    await request(remote, DELATTR, name)


async def length(remote: Any) -> int:
    """Return len()."""
    return int(await call_attr(remote, "__len__"))


async def text(remote: Any) -> str:
    """Return str()."""
    return str(await request(remote, STR))


async def represent(remote: Any) -> str:
    """Return repr()."""
    return str(await request(remote, REPR))


async def hash_of(remote: Any) -> int:
    """Return hash(), as the peer computes it."""
    return int(await request(remote, HASH))


async def dir_of(remote: Any) -> list[str]:
    """Return dir()."""
    return list(await request(remote, DIR))


async def contains(remote: Any, item: Any) -> bool:
    """Tell whether an item is in a container."""
    return bool(await call_attr(remote, "__contains__", (item,)))


async def set_item(remote: Any, key: Any, value: Any) -> None:
    """Set an item of a container; `await remote[key]` reads one."""
    await call_attr(remote, "__setitem__", (key, value))


async def del_item(remote: Any, key: Any) -> None:
    """Delete an item of a container."""
    await call_attr(remote, "__delitem__", (key,))


async def compare(remote: Any, operator: str, other: Any) -> Any:
    """Compare, as the peer does. `==` between proxies only tells whether they are the same proxy.

    Args:
        remote: A proxy, or a path or call that comes to one.
        operator: ``==``, ``!=``, ``<``, ``<=``, ``>`` or ``>=``.
        other: With what: a proxy or a value.

    Raises:
        ValueError: When there is no such operator.
    """
    if operator not in _OPERATORS:
        message = f"there is no operator {operator!r:.20}; there are {' '.join(_OPERATORS)}"
        raise ValueError(message)
    return await request(remote, CMP, other, _OPERATORS[operator])
