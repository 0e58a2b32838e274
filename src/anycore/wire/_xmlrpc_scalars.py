"""The scalar types of XML-RPC and of its Apache extensions: from the text of an element to a Python value.

No structure, no XML: the text comes in with its references resolved.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, Final

XML_SPACE: Final = " \t\r\n"

_INTEGER: Final = re.compile(r"[+-]?[0-9]+").fullmatch
_DECIMAL: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?").fullmatch
_DATE_TIME: Final = re.compile(
    r"([0-9]{4})(-?)([0-9]{2})\2([0-9]{2})"
    r"(?:[T ]([0-9]{2})(:?)([0-9]{2})(?:\6([0-9]{2})(?:[.,]([0-9]{1,30}))?)?"
    r"(Z|([+-])([0-9]{2}):?([0-9]{2})?)?)?"
).fullmatch
_BOOLEANS: Final = {"1": True, "0": False, "true": True, "false": False}
_SHOWN: Final = 40


class Refusal(Exception):  # noqa: N818 - it becomes a RemoteProtocolError once its place is known
    """A value or a structure that is no XML-RPC; ``path`` is filled in on the way up, innermost part first."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
        self.path: list[str] = []


def shown(text: str) -> str:
    """Return the beginning of a peer's text, quoted, short enough for a message."""
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")


def _whole(text: str, low: int, high: int) -> int:
    digits = text.strip(XML_SPACE)
    if _INTEGER(digits) is None:
        raise Refusal(f"{shown(text)} is no integer; expected digits with an optional sign")
    size = digits.lstrip("+-0")  # int() takes only so many digits, zeros included
    value = int(size or 0) if len(size) < 20 else high + 2
    if digits[0] == "-":
        value = -value
    if not low <= value <= high:
        raise Refusal(f"{shown(text)} is out of range; this type holds {low} to {high}")
    return value


def _int(text: str) -> int:
    # An <int> has 32 bits by the specification; clients in the field (npm's xmlrpc) send the milliseconds of today in one.
    if len(text) < 10 and text.isdigit() and text.isascii():  # the common case, and surely below 2**31
        return int(text)
    return _whole(text, -(2**63), 2**63 - 1)


def _i4(text: str) -> int:
    return _whole(text, -(2**31), 2**31 - 1)


def _i8(text: str) -> int:
    return _whole(text, -(2**63), 2**63 - 1)


def _i1(text: str) -> int:
    return _whole(text, -128, 127)


def _i2(text: str) -> int:
    return _whole(text, -(2**15), 2**15 - 1)


def _biginteger(text: str) -> int:
    digits = text.strip(XML_SPACE)
    if _INTEGER(digits) is None or len(digits) > 4000:
        raise Refusal(f"{shown(text)} is no integer of at most 4000 digits")
    return int(digits)


def _boolean(text: str) -> bool:
    value = _BOOLEANS.get(text)
    if value is None:
        value = _BOOLEANS.get(text.strip(XML_SPACE))
        if value is None:
            raise Refusal(f"{shown(text)} is no boolean; expected 0 or 1")
    return value


def _double(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise Refusal(f"{shown(text)} is no double; expected digits and a point") from None
    if value - value != 0.0 or "_" in text or not text.isascii():  # infinities and NaN differ from themselves
        raise Refusal(f"{shown(text)} is no finite double; expected digits and a point")
    return value


def _bigdecimal(text: str) -> Decimal:
    digits = text.strip(XML_SPACE)
    if _DECIMAL(digits) is None or len(digits) > 4000:
        raise Refusal(f"{shown(text)} is no decimal number")
    return Decimal(digits)


def _date_time(text: str) -> datetime:
    match = _DATE_TIME(text.strip(XML_SPACE))
    if match is None:
        raise Refusal(f"{shown(text)} is no date and time; expected one like 19980717T14:08:55")
    year, _, month, day, hour, _, minute, second, fraction, zone, sign, zone_hours, zone_minutes = match.groups("")
    try:
        zoned = None
        if zone:
            offset = timedelta(hours=int(zone_hours or 0), minutes=int(zone_minutes or 0))
            zoned = timezone(-offset if sign == "-" else offset) if offset else UTC
        parts = int(hour or 0), int(minute or 0), int(second or 0), int((fraction + "000000")[:6])
        if parts == (24, 0, 0, 0):  # ISO 8601: the midnight that ends the day
            return datetime(int(year), int(month), int(day), tzinfo=zoned) + timedelta(days=1)
        return datetime(int(year), int(month), int(day), *parts, tzinfo=zoned)
    except (ValueError, OverflowError) as error:
        raise Refusal(f"{shown(text)} is no date and time: {error}") from None


_WITHOUT_SPACE: Final = {ord(character): None for character in XML_SPACE}


def _base64(text: str) -> bytes:
    try:
        return binascii.a2b_base64(text.translate(_WITHOUT_SPACE), strict_mode=True)
    except ValueError as error:
        raise Refusal(f"{shown(text)} is no base64: {error}") from None


def _nil(text: str) -> None:
    if text.strip(XML_SPACE):
        raise Refusal(f"<nil> holds {shown(text)}; expected nothing")


def _empty_struct(text: str) -> dict[str, Any]:
    if text.strip(XML_SPACE):
        raise Refusal(f"<struct> holds {shown(text)}; expected members")
    return {}


# None stands for "the text is the value": a call saved for the commonest type. The key None is a value without a type.
CONVERTERS: Final[dict[str | None, Callable[[str], Any] | None]] = {
    None: None,
    "string": None,
    "int": _int,
    "i4": _i4,
    "i8": _i8,
    "boolean": _boolean,
    "double": _double,
    "dateTime.iso8601": _date_time,
    "base64": _base64,
    "nil": _nil,
    "struct": _empty_struct,
    "i1": _i1,
    "i2": _i2,
    "float": _double,
    "biginteger": _biginteger,
    "bigdecimal": _bigdecimal,
    "dateTime": _date_time,
    "ex:nil": _nil,
    "ex:i1": _i1,
    "ex:i2": _i2,
    "ex:i8": _i8,
    "ex:float": _double,
    "ex:biginteger": _biginteger,
    "ex:bigdecimal": _bigdecimal,
    "ex:dateTime": _date_time,
}
