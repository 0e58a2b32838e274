"""Brine, from bytes to values: forms that RPyC would not choose are accepted, what is broken or hostile is refused.

Hot paths do not look whether the data is long enough: an index past the end raises IndexError, a slice past the end leaves
the position past the end, and both become one refusal at the door (`refusal`, `load`). They have the tags as numbers; the
names are in `_brine_tags`.

A loader takes the data, the position behind its tag, how much deeper tuples may nest and how many digits an integer may
have; it returns the value and the position behind it.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from struct import error as StructError  # noqa: N812 - the name of an exception
from typing import Any, Final, TypeAlias

from anycore.wire import _brine_tags as tags
from anycore.wire.errors import RemoteProtocolError
from anycore.wire.faults import PARSE_ERROR
from anycore.wire.rpyc_constants import MAX_DEPTH, MAX_DIGITS, MAX_ITEMS

Loader: TypeAlias = Callable[[bytes, int, int, int], tuple[Any, int]]

# What the hot paths can fail with, all the peer's fault. Indexes: truncated. Values: UTF-8 and digits. Recursion: the
# caller's own stack was nearly full.
FAILURES: Final = (IndexError, ValueError, StructError, RecursionError)

_MANY: Final = 1000  # members; from here on it is looked whether they were chosen to collide
_DOUBLE: Final = Struct("!d").unpack_from
_DOUBLES: Final = Struct("!dd").unpack_from
_LONG: Final = Struct("!L").unpack_from


class _Missing:
    """Stands in `ONE_BYTE` for a tag that more bytes belong to."""


MISSING: Final = _Missing()
ONE_BYTE: Final[tuple[Any, ...]] = tuple(tags.WHOLE.get(tag, MISSING) for tag in range(256))


def load(data: bytes, *, max_depth: int = MAX_DEPTH, max_items: int = MAX_ITEMS, max_digits: int = MAX_DIGITS) -> Any:
    """Decode a value.

    Args:
        data: The encoding, whole, with nothing behind it.
        max_depth: How deep tuples, slices and frozensets may nest.
        max_items: How many values there may be, at all levels together.
        max_digits: How many characters an integer may have, the sign included.

    Returns:
        The value, of exactly the types that `dumpable` names.

    Raises:
        RemoteProtocolError: The data is truncated or too long, has an unassigned tag, text that is not UTF-8, an integer
            that is not decimal, or is over a limit. Its code is PARSE_ERROR.
    """
    size = len(data)
    try:
        if size > max_items:
            check_items(data, 0, max_items)
        value, position = LOADERS[data[0]](data, 1, max_depth, max_digits)
    except FAILURES as error:
        raise refusal(error, size) from error
    if position != size:
        raise wrong_end(position, size)
    return value


def check_items(data: bytes, position: int, max_items: int) -> None:
    """Count values without making them. Only needed when there are more bytes than values may be.

    Raises:
        RemoteProtocolError: There are too many.
    """
    size, count = len(data), 0
    while position < size:
        tag = data[position]
        position += _LENGTHS[tag]
        if tag in _COUNTED_1:
            position += data[position - 1]
        elif tag in _COUNTED_4:
            position += _LONG(data, position - 4)[0]
        count += 1
        if count > max_items:
            raise RemoteProtocolError(f"more than {max_items} values in one message", PARSE_ERROR)


def refusal(error: Exception, size: int) -> RemoteProtocolError:
    """Return what to raise for a failure of a loader in data of that size."""
    if isinstance(error, IndexError | StructError):
        return RemoteProtocolError(f"brine data of {size} bytes ends in the middle of a value", PARSE_ERROR)
    if isinstance(error, UnicodeDecodeError):
        return RemoteProtocolError(f"text in brine data is not UTF-8 ({error.reason})", PARSE_ERROR)
    if isinstance(error, RecursionError):
        return RemoteProtocolError("brine data is nested deeper than the stack at hand", PARSE_ERROR)
    return RemoteProtocolError(f"brine data has a value that cannot be: {str(error)[:200]}", PARSE_ERROR)


def wrong_end(position: int, size: int) -> RemoteProtocolError:
    """Return what to raise when a value ends elsewhere than the data."""
    if position > size:
        return RemoteProtocolError(f"brine data of {size} bytes ends in the middle of a value", PARSE_ERROR)
    return RemoteProtocolError(f"brine data goes on for {size - position} bytes behind the value", PARSE_ERROR)


def _too_deep() -> RemoteProtocolError:
    return RemoteProtocolError("brine data is nested deeper than the limit", PARSE_ERROR)


def _load_whole(data: bytes, position: int, _depth: int, _digits: int) -> tuple[Any, int]:
    return ONE_BYTE[data[position - 1]], position


def _load_unknown(data: bytes, position: int, _depth: int, _digits: int) -> tuple[Any, int]:
    raise RemoteProtocolError(f"brine has no tag 0x{data[position - 1]:02x} (at byte {position - 1})", PARSE_ERROR)


# Tuples of one to four items are unrolled: messages are made of them, and a list with a loop takes twice as long.


def _load_tuple_1(data: bytes, position: int, depth: int, digits: int) -> tuple[Any, int]:
    if not depth:
        raise _too_deep()
    tag = data[position]
    position += 1
    a = ONE_BYTE[tag]
    if a is MISSING:
        a, position = LOADERS[tag](data, position, depth - 1, digits)
    return (a,), position


def _load_tuple_2(data: bytes, position: int, depth: int, digits: int) -> tuple[Any, int]:
    if not depth:
        raise _too_deep()
    tag = data[position]
    position += 1
    a = ONE_BYTE[tag]
    if a is MISSING:
        a, position = LOADERS[tag](data, position, depth - 1, digits)
    tag = data[position]
    position += 1
    b = ONE_BYTE[tag]
    if b is MISSING:
        b, position = LOADERS[tag](data, position, depth - 1, digits)
    return (a, b), position


def load_tuple_3(data: bytes, position: int, depth: int, digits: int) -> tuple[Any, int]:
    """Load a tuple of three, an id pack mostly."""
    if not depth:
        raise _too_deep()
    depth -= 1
    tag = data[position]
    position += 1
    a = ONE_BYTE[tag]
    if a is MISSING:
        if tag == 0x08 and data[position] == 0x0E:
            position += 2
            end = position + data[position - 1]
            a = data[position:end].decode()
            position = end
        else:
            a, position = LOADERS[tag](data, position, depth, digits)
    tag = data[position]
    position += 1
    b = ONE_BYTE[tag]
    if b is MISSING:
        if tag == 0x16:
            position += 1
            end = position + data[position - 1]
            text = data[position:end]
            b = int(text) if text.isdigit() and len(text) <= digits else _unusual_int(text, digits)
            position = end
        else:
            b, position = LOADERS[tag](data, position, depth, digits)
    tag = data[position]
    position += 1
    c = ONE_BYTE[tag]
    if c is MISSING:
        if tag == 0x16:
            position += 1
            end = position + data[position - 1]
            text = data[position:end]
            c = int(text) if text.isdigit() and len(text) <= digits else _unusual_int(text, digits)
            position = end
        else:
            c, position = LOADERS[tag](data, position, depth, digits)
    return (a, b, c), position


def _load_tuple_4(data: bytes, position: int, depth: int, digits: int) -> tuple[Any, int]:
    if not depth:
        raise _too_deep()
    depth -= 1
    tag = data[position]
    position += 1
    a = ONE_BYTE[tag]
    if a is MISSING:
        a, position = LOADERS[tag](data, position, depth, digits)
    tag = data[position]
    position += 1
    b = ONE_BYTE[tag]
    if b is MISSING:
        b, position = LOADERS[tag](data, position, depth, digits)
    tag = data[position]
    position += 1
    c = ONE_BYTE[tag]
    if c is MISSING:
        c, position = LOADERS[tag](data, position, depth, digits)
    tag = data[position]
    position += 1
    d = ONE_BYTE[tag]
    if d is MISSING:
        d, position = LOADERS[tag](data, position, depth, digits)
    return (a, b, c, d), position


def _load_items(data: bytes, position: int, depth: int, digits: int, count: int) -> tuple[Any, int]:
    if not depth:
        raise _too_deep()
    depth -= 1
    if count > len(data) - position:  # an item has a byte at least
        raise IndexError
    items: list[Any] = []
    append = items.append
    for _ in range(count):
        tag = data[position]
        position += 1
        value = ONE_BYTE[tag]
        if value is not MISSING:
            append(value)
        elif tag == 0x16:
            position += 1
            end = position + data[position - 1]
            text = data[position:end]
            append(int(text) if text.isdigit() and end - position <= digits else _unusual_int(text, digits))
            position = end
        elif tag == 0x08 and data[position] == 0x0E:
            position += 2
            end = position + data[position - 1]
            append(data[position:end].decode())
            position = end
        else:
            value, position = LOADERS[tag](data, position, depth, digits)
            append(value)
    return tuple(items), position


def _load_tuple_l1(data: bytes, position: int, depth: int, digits: int) -> tuple[Any, int]:
    return _load_items(data, position + 1, depth, digits, data[position])


def _load_tuple_l4(data: bytes, position: int, depth: int, digits: int) -> tuple[Any, int]:
    return _load_items(data, position + 4, depth, digits, _LONG(data, position)[0])


def _load_int_l1(data: bytes, position: int, _depth: int, digits: int) -> tuple[Any, int]:
    position += 1
    end = position + data[position - 1]
    text = data[position:end]
    if text.isdigit() and end - position <= digits:
        return int(text), end
    return _unusual_int(text, digits), end


def _load_int_l4(data: bytes, position: int, _depth: int, digits: int) -> tuple[Any, int]:
    position += 4
    end = position + _LONG(data, position - 4)[0]
    return _unusual_int(data[position : min(end, position + digits + 1)], digits), end


def _unusual_int(text: bytes, digits: int) -> int:
    if len(text) > digits:
        raise RemoteProtocolError(f"an integer of more than {digits} digits", PARSE_ERROR)
    # int() alone would take spaces, underscores and a plus sign as well.
    if text.isdigit() or (text[:1] == b"-" and text[1:].isdigit()):
        return int(text)
    raise RemoteProtocolError(f"an integer written {text[:40]!r}; decimal digits were expected", PARSE_ERROR)


def _load_text(data: bytes, position: int, depth: int, digits: int) -> tuple[Any, int]:
    tag = data[position]
    if tag == 0x0E:
        position += 2
        end = position + data[position - 1]
        return data[position:end].decode(), end
    if 0x0A <= tag <= 0x0D:
        position += 1
        end = position + tag - 9
        return data[position:end].decode(), end
    if tag in (0x0F, 0x01):
        content, position = LOADERS[tag](data, position + 1, depth, digits)
        return content.decode(), position
    raise RemoteProtocolError(f"text with the tag 0x{tag:02x} behind it, where bytes were expected", PARSE_ERROR)


def _load_bytes_n(data: bytes, position: int, _depth: int, _digits: int) -> tuple[Any, int]:
    end = position + data[position - 1] - 9
    return data[position:end], end


def _load_bytes_l1(data: bytes, position: int, _depth: int, _digits: int) -> tuple[Any, int]:
    position += 1
    end = position + data[position - 1]
    return data[position:end], end


def _load_bytes_l4(data: bytes, position: int, _depth: int, _digits: int) -> tuple[Any, int]:
    position += 4
    end = position + _LONG(data, position - 4)[0]
    return data[position:end], end


def _load_float(data: bytes, position: int, _depth: int, _digits: int) -> tuple[Any, int]:
    return _DOUBLE(data, position)[0], position + 8


def _load_complex(data: bytes, position: int, _depth: int, _digits: int) -> tuple[Any, int]:
    return complex(*_DOUBLES(data, position)), position + 16


def _load_members(data: bytes, position: int, depth: int, digits: int) -> tuple[Any, int]:
    tag = data[position]
    if tag != 0x02 and not 0x10 <= tag <= 0x15:
        raise RemoteProtocolError(f"a slice or frozenset with the tag 0x{tag:02x} behind it, not a tuple", PARSE_ERROR)
    return LOADERS[tag](data, position + 1, depth, digits)


def _load_slice(data: bytes, position: int, depth: int, digits: int) -> tuple[Any, int]:
    parts, position = _load_members(data, position, depth, digits)
    if len(parts) != 3:
        raise RemoteProtocolError(f"a slice of {len(parts)} parts; start, stop and step were expected", PARSE_ERROR)
    return slice(*parts), position


def _load_frozenset(data: bytes, position: int, depth: int, digits: int) -> tuple[Any, int]:
    members, position = _load_members(data, position, depth, digits)
    # Hashes of numbers are known to all, and a set of members with equal hashes takes quadratic time.
    if len(members) > _MANY and len(set(map(hash, members))) < len(members) // 2:
        raise RemoteProtocolError(f"a frozenset of {len(members)} members whose hashes collide", PARSE_ERROR)
    try:
        return frozenset(members), position
    except TypeError as error:  # before Python 3.12 a slice has no hash
        raise RemoteProtocolError(f"a frozenset with a member that cannot be in one: {error}", PARSE_ERROR) from error


_UNROLLED: Final[tuple[Loader, ...]] = (_load_tuple_1, _load_tuple_2, load_tuple_3, _load_tuple_4)
_MORE: Final[dict[int, Loader]] = {
    tags.TEXT: _load_text,
    **dict.fromkeys(range(tags.BYTES_1, tags.BYTES_1 + 4), _load_bytes_n),
    tags.BYTES_L1: _load_bytes_l1,
    tags.BYTES_L4: _load_bytes_l4,
    **{tags.TUPLE_1 + index: loader for index, loader in enumerate(_UNROLLED)},
    tags.TUPLE_L1: _load_tuple_l1,
    tags.TUPLE_L4: _load_tuple_l4,
    tags.INT_L1: _load_int_l1,
    tags.INT_L4: _load_int_l4,
    tags.FLOAT: _load_float,
    tags.SLICE: _load_slice,
    tags.FROZENSET: _load_frozenset,
    tags.COMPLEX: _load_complex,
}
LOADERS: Final[tuple[Loader, ...]] = tuple(
    _MORE.get(tag, _load_whole if tag in tags.WHOLE else _load_unknown) for tag in range(256)
)

# For counting: the bytes of a tag and what always follows it, and where those end with the length of what else follows.
_COUNTED_1: Final = frozenset({tags.BYTES_L1, tags.INT_L1})
_COUNTED_4: Final = frozenset({tags.BYTES_L4, tags.INT_L4})
_FIXED: Final = {tags.BYTES_L1: 2, tags.INT_L1: 2, tags.TUPLE_L1: 2, tags.FLOAT: 9, tags.COMPLEX: 17} | dict.fromkeys(
    (tags.BYTES_L4, tags.INT_L4, tags.TUPLE_L4), 5
)
_LENGTHS: Final = tuple(
    tag - tags.BYTES_1 + 2 if tags.BYTES_1 <= tag < tags.BYTES_1 + 4 else _FIXED.get(tag, 1) for tag in range(256)
)
