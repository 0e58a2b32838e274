"""JSON text to Python values and back, strictly, with errors that name the place. No RPC envelope lives here.

`msgspec` does the work at the speed of C; this module adds what it leaves to its caller: the two exceptions of this
floor, a bound on the number of values, and refusals for what JSON cannot carry but `msgspec` writes anyway (RFC 8259
section 6: no NaN, no infinity). Places are looked for only after something failed.
"""

from __future__ import annotations

import dataclasses
import re
from functools import partial
from math import isfinite
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from anycore.wire.errors import LocalProtocolError, RemoteProtocolError
from anycore.wire.faults import PARSE_ERROR

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Default = Callable[[Any], Any]

MAX_VALUES: Final = 1_000_000
_MAX_DEPTH: Final = 1000  # no encoder reaches it: Python's own stack ends earlier
_BOM: Final = b"\xef\xbb\xbf"
_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)  # also an unfinished one: never scanned twice
_LEAVES: Final = frozenset((str, int, bool, bytes, type(None)))

_decode = msgspec.json.Decoder().decode


def decode(body: bytes, *, max_values: int = MAX_VALUES) -> Any:
    """Decode one JSON text (RFC 8259).

    Integers are exact whatever their size (up to 4300 digits); a byte order mark before the text is ignored, as
    section 8.1 allows; of members with the same name the last one counts.

    Args:
        body: UTF-8.
        max_values: The most values, counting those within arrays and objects.

    Returns:
        None, bool, int, float, str, list or dict.

    Raises:
        RemoteProtocolError: It is no JSON, not UTF-8, has a number out of range, or is nested or long beyond a limit.
    """
    check_values(body, max_values)
    try:
        return _decode(body[3:] if body.startswith(_BOM) else body)
    except RecursionError as error:
        message = "the JSON text is nested too deeply; send a flatter value"
        raise RemoteProtocolError(message, PARSE_ERROR) from error
    except UnicodeDecodeError as error:
        raise RemoteProtocolError(f"the body is not UTF-8: {error}", PARSE_ERROR) from error
    except ValueError as error:
        raise RemoteProtocolError(f"the body is not JSON that can be read: {error}", PARSE_ERROR) from error


def check_values(body: bytes, max_values: int) -> None:
    """Refuse a JSON text of more than `max_values` values before memory is spent on them.

    Every value but the first of an array, of an object, or of the text has a comma before it, so brackets and commas
    count the values. Those within strings are taken out only when the first, quick count is too high.

    Raises:
        RemoteProtocolError: There are more.
    """
    if len(body) > max_values and _count(body) > max_values and _count(_STRING.sub(b"", body)) > max_values:
        message = f"the JSON text has more than {max_values} values; send it in several calls"
        raise RemoteProtocolError(message, PARSE_ERROR)


def _count(body: bytes) -> int:
    return body.count(b",") + body.count(b"[") + body.count(b"{") + 1


def encode(value: Any, *, path: str = "result", default: Default | None = None) -> bytes:
    """Encode a Python value as one JSON text.

    Besides the JSON types: tuples, sets, dataclasses, attrs and msgspec structs; enums by value; date, time, datetime
    and timedelta as ISO 8601; Decimal and UUID as text; bytes as base64 (RFC 4648 section 4); keys of objects may also
    be numbers, which become text, because JSON has no others.

    Args:
        value: What to encode.
        path: How errors call the whole value.
        default: Called with a value of any other type; returns one of those above or raises TypeError.

    Raises:
        LocalProtocolError: JSON cannot carry part of it: NaN, an infinity, an unpaired surrogate, a cycle, a type that
            nobody converts. Its path names the part.
    """
    try:
        try:
            text = _encode(value)
        except TypeError:  # a second try is cheaper than a hook made for every value
            if default is None:
                raise
            text = msgspec.json.encode(value, enc_hook=partial(_stand_in, default=default))
        # msgspec writes NaN and infinities as null, so only a text with a null in it can hide one.
        if len(text) > 3 and text.find(b"null") >= 0 and value is not None:  # find() takes half the time of `in`
            _check_finite(value, default)
    except Exception as error:  # `default` may raise anything; this floor may not
        raise _explain(value, path, default, error) from error
    return text


def _stand_in(value: Any, default: Default | None = None) -> Any:
    """What to encode instead: msgspec refuses subclasses of the plain types, as numeric libraries like to make."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, bytes):
        return bytes(memoryview(value))
    if default is not None:
        return default(value)
    kind = type(value)
    raise TypeError(f"a value of type {kind.__module__}.{kind.__qualname__} cannot be sent as JSON; convert it first")


_encode = msgspec.json.Encoder(enc_hook=_stand_in).encode


def _check_finite(value: Any, default: Default | None) -> None:
    rest = [value]
    while rest:
        item = rest.pop()
        kind = type(item)
        if kind is float:
            if not isfinite(item):
                raise ValueError(f"JSON has no number for {item!r}; send None or text instead")
        elif kind is list or kind is tuple:
            rest.extend(item)
        elif kind is dict:
            rest.extend(item.values())
        elif kind not in _LEAVES:
            plain = msgspec.to_builtins(item, str_keys=True, enc_hook=partial(_stand_in, default=default))
            if type(plain) in (list, tuple, dict, float):
                rest.append(plain)


class _Node(NamedTuple):
    """A value and how the search came to it."""

    value: Any
    label: str
    parent: _Node | None
    depth: int


def _explain(value: Any, path: str, default: Default | None, error: Exception) -> LocalProtocolError:
    """Find the first part of `value` that JSON cannot carry; slow, for failures only."""
    rest = [_Node(value, path, None, 0)]
    while rest:
        node = rest.pop()
        try:
            _check(node)
            children = _children(node.value, default)
        except RecursionError:
            continue
        except Exception as reason:  # noqa: BLE001 - as in encode()
            return LocalProtocolError(str(reason) or type(reason).__name__, _path(node))
        found = [_Node(child, label, node, node.depth + 1) for label, child in children]
        rest.extend(reversed(found))
    if isinstance(error, RecursionError):
        return LocalProtocolError("the value is nested too deeply for JSON; make it flatter", path)
    return LocalProtocolError(str(error), path)


def _check(node: _Node) -> None:
    value = node.value
    if isinstance(value, float):
        _check_finite(float.__float__(value), None)
    if isinstance(value, str):
        try:
            str.encode(value)
        except UnicodeEncodeError as error:
            raise ValueError(f"text with an unpaired surrogate cannot be UTF-8 ({error}); send it as bytes") from error
    if node.depth > _MAX_DEPTH:
        raise ValueError(f"the value is nested more than {_MAX_DEPTH} deep; make it flatter")
    above = node.parent
    while above is not None:
        if above.value is value and not isinstance(value, (str, int, float, bytes, tuple, frozenset, type(None))):
            raise ValueError("the value contains itself; JSON has no references, send a copy without the cycle")
        above = above.parent


def _children(value: Any, default: Default | None) -> Iterator[tuple[str, Any]] | list[tuple[str, Any]]:
    """The parts of a container, what stands in for an unknown type, or nothing for a leaf that can be encoded."""
    if isinstance(value, dict):
        return [_member(key, child) for key, child in value.items()]
    if isinstance(value, (list, tuple, set, frozenset)):
        return [(f"[{index}]", child) for index, child in enumerate(value)]
    names = _field_names(value)
    if names is not None:
        fields = [(f".{name}", getattr(value, name, msgspec.UNSET)) for name in names]
        return [field for field in fields if field[1] is not msgspec.UNSET]
    try:
        msgspec.json.encode(value)
    except TypeError:
        return [("", _stand_in(value, default))]
    return []


def _member(key: Any, child: Any) -> tuple[str, Any]:
    try:
        msgspec.json.encode({key: 0}, enc_hook=_stand_in)
    except (TypeError, ValueError) as error:
        message = f"the key {key!r} cannot name a member of a JSON object ({error}); use text"
        raise ValueError(message) from error
    return (f".{key}" if isinstance(key, str) and key.isidentifier() else f"[{key!r}]"), child


def _field_names(value: Any) -> list[str] | None:
    if isinstance(value, msgspec.Struct):
        return list(value.__struct_fields__)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [field.name for field in dataclasses.fields(value)]
    attributes = getattr(type(value), "__attrs_attrs__", None)
    return None if attributes is None else [attribute.name for attribute in attributes]


def _path(node: _Node) -> str:
    labels: list[str] = []
    step: _Node | None = node
    while step is not None:
        labels.append(step.label)
        step = step.parent
    labels.reverse()
    if len(labels) > 20:
        labels[10:-5] = ["..."]
    return "".join(labels)
