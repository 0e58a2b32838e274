"""What two ends of ours can do beyond the protocol: find out that they are, give up a request, call by value.

A peer of another maker never sees any of it, but for a ping of an odd text, which it returns like any other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from anycore.objects.connection import Connection

CANCEL: Final = 64
"""Request: the number of a request that nobody waits for any more."""
CALL_BY_VALUE: Final = 65
"""Request: as CALL, answered by a copy of the containers in the result."""
QUESTION: Final = "anycore 1?"
"""The data of a ping that asks whether the peer knows the requests above."""
ANSWER: Final = "anycore 1!"
_MAX_DEPTH: Final = 40

_KINDS: Final[dict[type, str]] = {tuple: "t", list: "l", set: "s", dict: "d", bytearray: "b"}


def flatten(value: Any, depth: int = 0) -> Any:
    """Return a value with its containers as tuples that say what they are; what is no container stays as it is.

    Args:
        value: Anything.
        depth: How deep it lies within others.

    Raises:
        ValueError: When containers nest deeper than 40 levels, or contain themselves.
    """
    kind = _KINDS.get(type(value))
    if kind is None:
        return value
    if depth >= _MAX_DEPTH:
        message = f"a result that nests deeper than {_MAX_DEPTH} levels, or contains itself, cannot be copied; return a reference"
        raise ValueError(message)
    if kind == "b":
        return (kind, bytes(value))
    if kind == "d":
        return (kind, tuple([(flatten(key, depth + 1), flatten(item, depth + 1)) for key, item in value.items()]))
    return (kind, tuple([flatten(item, depth + 1) for item in value]))


def restore(sent: Any) -> Any:
    """Return what was flattened.

    Raises:
        ValueError: When it is not of that form.
    """
    if type(sent) is not tuple:
        return sent
    try:
        kind, content = sent
        if kind == "b":
            return bytearray(content)
        if kind == "d":
            return {restore(key): restore(item) for key, item in content}
        return _MAKERS[kind](map(restore, content))
    except (TypeError, KeyError, ValueError) as error:
        message = f"a copied result in a form that is not understood: {sent!r:.100} ({error})"
        raise ValueError(message) from error


_MAKERS: Final[dict[str, Any]] = {"t": tuple, "l": list, "s": set}


def call_by_value(connection: Connection, obj: Any, args: Any, kwargs: Any = ()) -> Any:
    """Call an object, if the policy lets, and copy the result."""
    connection.policy.check("call", obj)
    return flatten(connection.finished(obj(*args, **dict(kwargs))))


def cancelled(_: Connection, seq: int) -> bool:
    """Say that the request was understood; it was acted upon when it came, for it takes no turn."""
    return type(seq) is int


EXTENSIONS: Final[dict[int, Any]] = {CANCEL: cancelled, CALL_BY_VALUE: call_by_value}
