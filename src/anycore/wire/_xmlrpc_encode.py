"""From Python values to <value> elements. The documents around them are in `xmlrpc`; decoding is not here.

A writer is chosen by the exact type of a value, then by its base classes, then the caller's ``default`` is asked. Writers
know neither where in the result they are nor whether the characters they pass on are legal: legality is checked once for
the whole text, and the place is searched for only when something was refused.
"""

from __future__ import annotations

import re
from binascii import b2a_base64
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final

from anycore.wire.errors import LocalProtocolError

Default = Callable[[Any], Any] | None
_Writer = Callable[[Any, int, Default], str]

_ILLEGAL: Final = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_LEGAL: Final = b"\t\n" + bytes(range(0x20, 0x100))  # as bytes of UTF-8; U+FFFE and U+FFFF are looked for separately


class _UnencodableError(Exception):
    """A value cannot be written; where it stands is found out later."""


def checked(value: Any, path: str, default: Default, max_depth: int) -> str:
    """Return the <value> element of a value, all of whose characters are legal in XML 1.0.

    Args:
        value: The value.
        path: What it is called in error messages.
        default: Converts values of other types, or None.
        max_depth: How deep arrays and structs may nest.

    Raises:
        LocalProtocolError: Something in it cannot be written; its path says where.
    """
    try:
        return _legal(_WRITERS[type(value)](value, max_depth, default))
    except (_UnencodableError, RecursionError):
        pass
    raise _located(value, path, default, max_depth)


def checked_params(params: Sequence[Any], default: Default, max_depth: int) -> str:
    """Return the <param> elements of the values, as `checked` does for one; they are called ``params[0]`` and so on.

    Args:
        params: The values.
        default: As for `checked`.
        max_depth: As for `checked`.

    Raises:
        LocalProtocolError: As for `checked`.
    """
    writers = _WRITERS
    try:
        return _legal("".join([f"<param>{writers[type(v)](v, max_depth, default)}</param>" for v in params]))
    except (_UnencodableError, RecursionError):
        pass
    values = [checked(value, f"params[{index}]", default, max_depth) for index, value in enumerate(params)]
    return "".join([f"<param>{value}</param>" for value in values])


def element(name: str, content: str) -> str:
    """Return a <value> element of a type."""
    return f"<value><{name}>{content}</{name}></value>"


def printable(text: str) -> str:
    """Return the text with each character that XML 1.0 cannot carry replaced by U+FFFD."""
    return _ILLEGAL.sub("\ufffd", text)


def _legal(text: str) -> str:
    # Only contents can hold an odd character, so the whole can be searched as one.
    try:
        odd = text.encode().translate(None, _LEGAL)
    except UnicodeEncodeError as error:
        raise _UnencodableError(_illegal(text[error.start])) from None
    if odd:
        if odd.strip(b"\r"):
            raise _UnencodableError(_illegal(chr(odd.strip(b"\r")[0])))
        text = text.replace("\r", "&#13;")  # a bare one would arrive as a line feed, XML 1.0 section 2.11
    if not text.isascii() and ("\ufffe" in text or "\uffff" in text):
        raise _UnencodableError(_illegal("\ufffe" if "\ufffe" in text else "\uffff"))
    return text


def _illegal(character: str) -> str:
    return f"character U+{ord(character):04X} cannot be carried by XML; send bytes, which go as base64"


def _string(value: str, _depth: int, _default: Default) -> str:
    if "&" in value or "<" in value or ">" in value:
        value = value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return f"<value><string>{value}</string></value>"


def _int(value: int, _depth: int, _default: Default) -> str:
    if -0x80000000 <= value <= 0x7FFFFFFF:
        return f"<value><int>{value}</int></value>"
    if -(2**63) <= value < 2**63:
        return f"<value><i8>{value}</i8></value>"
    raise _UnencodableError(f"an integer of {value.bit_length()} bits does not fit i8's 64; send it as a string")


def _bool(value: bool, _depth: int, _default: Default) -> str:
    return "<value><boolean>1</boolean></value>" if value else "<value><boolean>0</boolean></value>"


def _float(value: float, _depth: int, _default: Default) -> str:
    text = repr(value)
    if "e" in text or "n" in text:
        if "n" in text:
            raise _UnencodableError(f"{text} cannot be carried by a double; send None or a string")
        # The specification has no exponents, and some decoders follow it.
        text = format(Decimal(text), "f")
        if "." not in text:
            text += ".0"
    return f"<value><double>{text}</double></value>"


def _none(_value: None, _depth: int, _default: Default) -> str:
    return "<value><nil/></value>"


def _bytes(value: bytes | bytearray, _depth: int, _default: Default) -> str:
    return element("base64", b2a_base64(value, newline=False).decode("ascii"))


def _memoryview(value: memoryview, _depth: int, _default: Default) -> str:
    return element("base64", b2a_base64(value.tobytes(), newline=False).decode("ascii"))


def _date_time(value: datetime, _depth: int, _default: Default) -> str:
    if value.tzinfo is not None:
        try:
            value = value.astimezone(UTC)
        except OverflowError:
            raise _UnencodableError(f"{value} is out of range in UTC; send it as a string") from None
    text = datetime.isoformat(value)
    return f"<value><dateTime.iso8601>{text[:4]}{text[5:7]}{text[8:19]}</dateTime.iso8601></value>"


def _date(value: date, _depth: int, _default: Default) -> str:
    text = date.isoformat(value)
    return f"<value><dateTime.iso8601>{text[:4]}{text[5:7]}{text[8:10]}T00:00:00</dateTime.iso8601></value>"


def _array(value: list[Any] | tuple[Any, ...], depth: int, default: Default) -> str:
    if depth <= 0:
        raise _UnencodableError(_TOO_DEEP)
    depth -= 1
    writers = _WRITERS
    items = "".join([writers[type(item)](item, depth, default) for item in value])
    return f"<value><array><data>{items}</data></array></value>"


def _struct(value: dict[str, Any], depth: int, default: Default) -> str:
    if depth <= 0:
        raise _UnencodableError(_TOO_DEEP)
    depth -= 1
    writers = _WRITERS
    members = "".join(
        [
            f"<member><name>{name if type(name) is str and name.isidentifier() else _name(name)}</name>"
            f"{writers[type(item)](item, depth, default)}</member>"
            for name, item in value.items()
        ]
    )
    return f"<value><struct>{members}</struct></value>"


_TOO_DEEP: Final = "nested too deep; flatten it, or raise max_depth on both sides"


def _name(name: Any) -> str:
    if not isinstance(name, str):
        raise _UnencodableError(f"the key {name!r} is of type {type(name).__name__}; names of members are strings")
    return str.__str__(name).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _other(value: Any, depth: int, default: Default) -> str:
    replaced = _replaced(value, default)
    if depth <= 0:
        raise _UnencodableError(_TOO_DEEP)
    return _WRITERS[type(replaced)](replaced, depth - 1, default)


def _replaced(value: Any, default: Default) -> Any:
    name = type(value).__qualname__
    if default is None:
        raise _UnencodableError(f"XML-RPC has no type for {name}; send a str, number, bytes, datetime, list or dict")
    try:
        return default(value)
    except TypeError as error:
        raise _UnencodableError(f"XML-RPC has no type for {name}: {error}") from None


class _Writers(dict[type, _Writer]):
    """Writers by exact type; one of another type is found by its base classes, each time anew."""

    def __missing__(self, kind: type) -> _Writer:
        for base in kind.__mro__[1:]:
            if base in _BASES:
                return _BASES[base]
        return _other


_WRITERS: Final = _Writers(
    {
        str: _string,
        int: _int,
        bool: _bool,
        float: _float,
        type(None): _none,
        list: _array,
        tuple: _array,
        dict: _struct,
        bytes: _bytes,
        bytearray: _bytes,
        memoryview: _memoryview,
        datetime: _date_time,
        date: _date,
    }
)

# A subclass may format itself differently (an enum does), so its plain value is taken first.
_BASES: Final[dict[type, _Writer]] = {
    str: lambda value, depth, default: _string(str.__str__(value), depth, default),
    int: lambda value, depth, default: _int(int.__int__(value), depth, default),
    float: lambda value, depth, default: _float(float.__float__(value), depth, default),
    list: _array,
    tuple: _array,
    dict: _struct,
    bytes: _bytes,
    bytearray: _bytes,
    datetime: _date_time,
    date: _date,
}


def _located(value: Any, path: str, default: Default, depth: int) -> LocalProtocolError:
    """Return the error of the innermost part that cannot be written, by writing the parts one by one."""
    around: dict[int, Any] = {}
    while id(value) not in around:
        around[id(value)] = value
        found = _refused_part(value, path, default, depth - 1) if depth > 0 else None
        if found is None:
            return LocalProtocolError(_reason(value, default, depth), path)
        path, value = found
        depth -= 1
    return LocalProtocolError("the value contains itself; send a copy without the cycle", path)


def _refused_part(value: Any, path: str, default: Default, depth: int) -> tuple[str, Any] | None:
    for part_path, part in _parts(value, path, default):
        try:
            _legal(_WRITERS[type(part)](part, depth, default))
        except (_UnencodableError, RecursionError):
            return part_path, part
    return None


def _reason(value: Any, default: Default, depth: int) -> str:
    try:
        _legal(_WRITERS[type(value)](value, depth, default))
    except _UnencodableError as error:
        return str(error)
    except RecursionError:
        return _TOO_DEEP
    return "the value changed while it was written, or its conversion is not repeatable"


def _parts(value: Any, path: str, default: Default) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, part in value.items():
            plain = isinstance(name, str) and name.isidentifier()
            yield (f"{path}.{name}" if plain else f"{path}[{repr(name)[:60]}]"), part
    elif isinstance(value, list | tuple):
        for index, part in enumerate(value):
            yield f"{path}[{index}]", part
    elif _WRITERS[type(value)] is _other and default is not None:
        try:
            yield path, default(value)
        except TypeError:
            return  # the value itself is at fault
