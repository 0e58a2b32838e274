"""Brine, from values to bytes. Which values travel by reference instead is not decided here.

An encoding is put together as text in which each character stands for the byte of its number (Latin-1), and becomes bytes
at the very end: formatted strings are twice as fast as any way to put bytes together, and ASCII text needs no conversion.
Hot paths have the tags as characters; the names are in `_brine_tags`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from struct import Struct
from typing import Any, Final

from anycore.wire import _brine_tags as tags
from anycore.wire.errors import LocalProtocolError

_CHARS: Final = tuple(map(chr, range(256)))
_TUPLES: Final = (
    chr(tags.EMPTY_TUPLE),
    *map(chr, range(tags.TUPLE_1, tags.TUPLE_1 + 4)),
    *(chr(tags.TUPLE_L1) + chr(count) for count in range(5, 256)),
)
# Bytes or characters from which on content is not copied from text to text, once for each level that it is nested in.
_LARGE: Final = 32 * 1024
_MAX_COUNT: Final = 0xFFFFFFFF
_DOUBLE: Final = Struct("!d").pack
_DOUBLES: Final = Struct("!dd").pack


_FAILURES: Final = (KeyError, ValueError, RecursionError)


class LargeContent(Exception):  # noqa: N818 - no error
    """Somewhere in a value is content too large for the text way."""


UNENCODABLE: Final = (*_FAILURES, LargeContent)
"""What an encoder raises of a value that is not for it."""


class Encoded:
    """A value together with its encoding, to stand for it in other values: dumped often, encoded once.

    Args:
        value: What is to be sent.

    Raises:
        LocalProtocolError: It cannot be.
    """

    __slots__ = ("text", "value")

    def __init__(self, value: Any) -> None:
        self.value = value
        self.text = dump(value).decode("latin-1")

    @classmethod
    def reference(cls, label: int, pack: tuple[str, int, int]) -> Encoded:
        """Return a label with an id pack, which could be had the usual way, too; raises as that does."""
        name, a, b = pack
        made = cls.__new__(cls)
        made.value = (label, pack)
        try:
            made.text = f"\x11{INTEGERS[label]}\x12{_encode_text(name)}{INTEGERS[a]}{INTEGERS[b]}"
        except UNENCODABLE:
            return cls((label, pack))
        return made

    def __repr__(self) -> str:
        return f"Encoded({self.value!r})"


def dump(value: Any) -> bytes:
    """Encode a value.

    Args:
        value: Of exactly one of the types that `dumpable` knows. A subclass is refused: it would arrive as its base.

    Returns:
        The encoding that RPyC itself would choose.

    Raises:
        LocalProtocolError: A type that brine does not have, text with lone surrogates, an integer of more digits than
            Python converts, nesting deeper than the stack.
    """
    try:
        return dump_text(value).encode("latin-1")
    except LargeContent:
        return b"".join(dump_parts(value))


def dump_text(value: Any) -> str:
    """Encode a value to text whose characters are the numbers of the bytes; for the message codec.

    Raises:
        LargeContent: Use `dump_parts`.
        LocalProtocolError: As `dump` does.
    """
    try:
        return ENCODERS[type(value)](value)
    except _FAILURES as error:
        raise _failure(value, error) from error


def dump_parts(value: Any) -> list[bytes]:
    """Encode a value with large content to parts of its encoding; for the message codec.

    Raises:
        LocalProtocolError: As `dump` does.
    """
    parts: list[bytes] = []
    pending = [value]
    try:
        while pending:
            item = pending.pop()
            kind = type(item)
            if kind is tuple:
                parts.append(_tuple_head(len(item)).encode("latin-1"))
                pending += reversed(item)
            elif kind is frozenset:
                parts.append(b"\x1a")
                pending.append(tuple(item))
            elif kind is slice:
                parts.append(b"\x19")
                pending.append((item.start, item.stop, item.step))
            elif kind in (bytes, str) and len(item) >= _LARGE:
                content = item if kind is bytes else item.encode()
                head = f"{'' if kind is bytes else chr(tags.TEXT)}\x0f{_long(len(content))}"
                parts += (head.encode("latin-1"), content)
            else:
                parts.append(ENCODERS[kind](item).encode("latin-1"))
    except _FAILURES as error:
        raise _failure(value, error) from error
    return parts


def dumpable(value: Any) -> bool:
    """Tell whether a value travels by value, by its types alone.

    The types are None, bool, int, float, complex, bytes, str, NotImplemented, Ellipsis and, when all members are of such
    types in turn, tuple, frozenset and slice; no subclasses. `Encoded` counts as what it holds.
    """
    kind = type(value)
    if kind in _SCALARS:
        return True
    if kind is tuple or kind is frozenset:
        pending = [value]
    elif kind is slice:
        pending = [(value.start, value.stop, value.step)]
    else:
        return False
    while pending:
        for item in pending.pop():
            kind = type(item)
            if kind in _SCALARS:
                continue
            if kind is tuple or kind is frozenset:
                pending.append(item)
            elif kind is slice:
                pending.append((item.start, item.stop, item.step))
            else:
                return False
    return True


class _Integers(dict[int, str]):
    """Encodings of the small integers; `[]` makes those of the others and does not keep them."""

    __slots__ = ()

    def __missing__(self, value: int) -> str:
        digits = f"{value}"
        size = len(digits)
        if size < 256:
            return f"\x16{_CHARS[size]}{digits}"
        return f"\x17{_long(size)}{digits}"


def _long(number: int) -> str:
    if number > _MAX_COUNT:
        raise LocalProtocolError(f"a value of {number} bytes or items is longer than brine can say: {_MAX_COUNT}")
    return number.to_bytes(4, "big").decode("latin-1")


def _encode_text(value: str) -> str:
    if len(value) >= _LARGE:
        raise LargeContent
    if not value.isascii():
        value = value.encode().decode("latin-1")
    size = len(value)
    if size > 4:
        return f"\x08\x0e{_CHARS[size]}{value}" if size < 256 else f"\x08\x0f{_long(size)}{value}"
    return f"\x08{_CHARS[size + 9]}{value}" if size else "\x08\x01"


def _encode_bytes(value: bytes) -> str:
    size = len(value)
    if size >= _LARGE:
        raise LargeContent
    text = value.decode("latin-1")
    if size > 4:
        return f"\x0e{_CHARS[size]}{text}" if size < 256 else f"\x0f{_long(size)}{text}"
    return f"{_CHARS[size + 9]}{text}" if size else "\x01"


def _encode_float(value: float) -> str:
    return f"\x18{_DOUBLE(value).decode('latin-1')}"


def _encode_complex(value: complex) -> str:
    return f"\x1b{_DOUBLES(value.real, value.imag).decode('latin-1')}"


def _encode_bool(value: bool) -> str:
    return "\x03" if value else "\x04"


def _encode_slice(value: slice) -> str:
    return f"\x19{encode_tuple((value.start, value.stop, value.step))}"


def _encode_frozenset(value: frozenset[Any]) -> str:
    return f"\x1a{encode_tuple(tuple(value))}"


def encode_tuple(value: tuple[Any, ...]) -> str:
    """Encode a tuple to text; as `dump_text`, but what it raises is one of `UNENCODABLE`."""
    # Pairs and triples are what messages are made of. Their first item is a number nearly always.
    encoders = ENCODERS
    size = len(value)
    if size == 2:
        a, b = value
        kind = type(a)
        return f"\x11{INTEGERS[a] if kind is int else encoders[kind](a)}{encoders[type(b)](b)}"
    if size == 3:
        a, b, c = value
        return f"\x12{encoders[type(a)](a)}{encoders[type(b)](b)}{encoders[type(c)](c)}"
    if size == 4:
        a, b, c, d = value
        return f"\x13{encoders[type(a)](a)}{encoders[type(b)](b)}{encoders[type(c)](c)}{encoders[type(d)](d)}"
    if not size:
        return "\x02"
    items = "".join([encoders[type(item)](item) for item in value])
    return f"{_tuple_head(size)}{items}"


def _tuple_head(size: int) -> str:
    return _TUPLES[size] if size < 256 else f"\x15{_long(size)}"


INTEGERS: Final = _Integers({number: chr(tags.SMALL_INT + number) for number in tags.SMALL_INTS})

ENCODERS: Final[dict[type, Callable[[Any], str]]] = {
    type(None): {None: chr(tags.NONE)}.__getitem__,
    bool: _encode_bool,
    int: INTEGERS.__getitem__,
    float: _encode_float,
    complex: _encode_complex,
    bytes: _encode_bytes,
    str: _encode_text,
    tuple: encode_tuple,
    frozenset: _encode_frozenset,
    slice: _encode_slice,
    type(NotImplemented): {NotImplemented: chr(tags.NOT_IMPLEMENTED)}.__getitem__,
    type(...): {...: chr(tags.ELLIPSIS)}.__getitem__,
    Encoded: operator.attrgetter("text"),
}
_SCALARS: Final = frozenset(ENCODERS) - {tuple, frozenset, slice}


def _failure(value: Any, error: Exception) -> LocalProtocolError:
    if isinstance(error, KeyError):
        return _unknown(value)
    if isinstance(error, UnicodeEncodeError):
        surrogate = error.object[error.start]
        return LocalProtocolError(f"text with the lone surrogate {surrogate!r} has no UTF-8; send bytes instead")
    if isinstance(error, ValueError):
        return LocalProtocolError(f"an integer is too long for RPyC, which sends its digits: {error}")
    return LocalProtocolError("tuples are nested deeper than the stack; send a flatter value")


def _unknown(value: Any) -> LocalProtocolError:
    """Say which part of a value cannot be encoded, and where it is."""
    pending = [("value", value)]
    while pending:
        path, part = pending.pop()
        kind = type(part)
        parts: list[tuple[str, Any]] = []
        if kind is slice:
            parts = [(f"{path}.{name}", getattr(part, name)) for name in ("start", "stop", "step")]
        elif kind is frozenset:
            parts = [(f"{path}{{}}", item) for item in part if type(item) not in _SCALARS]
        elif kind is tuple:
            parts = [(f"{path}[{index}]", item) for index, item in enumerate(part) if type(item) not in _SCALARS]
        elif kind not in _SCALARS:
            message = f"{kind.__module__}.{kind.__qualname__} does not travel by value; send a reference to it instead"
            return LocalProtocolError(message, path)
        pending += reversed(parts)
    raise AssertionError("a value whose encoding failed for a type has such a type")
