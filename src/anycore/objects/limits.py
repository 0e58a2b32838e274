"""How long requests may wait for their answers: limits that hold within a `with` block, for one thread or task."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_NONE: Final[Mapping[Any, float | None]] = MappingProxyType({})
_limits: ContextVar[Mapping[Any, float | None]] = ContextVar("anycore_request_limits", default=_NONE)


@contextmanager
def limited(connection: Any, seconds: float | None) -> Iterator[None]:
    """Limit the time of each request that the block makes on a connection; tasks that it starts inherit the limit.

    Args:
        connection: The connection.
        seconds: Seconds for each request, more than 0; None for no limit.

    Raises:
        ValueError: When the number makes no sense.
    """
    if seconds is not None and not seconds > 0:
        message = f"a time limit is a number of seconds above 0, or None, not {seconds!r}"
        raise ValueError(message)
    token = _limits.set(MappingProxyType({**_limits.get(), connection: seconds}))
    try:
        yield
    finally:
        _limits.reset(token)


def limit_of(connection: Any, otherwise: float | None) -> float | None:
    """Return the limit that holds here for requests on a connection.

    Args:
        connection: The connection.
        otherwise: The limit where no block sets one.

    Returns:
        Seconds, or None for no limit.
    """
    limits = _limits.get()
    return otherwise if limits is _NONE else limits.get(connection, otherwise)
