"""Python values that no wire has a type for, turned into ones that every wire has."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import date, datetime
from typing import Any, Final

import msgspec

_KNOWN: Final = (bytes, bytearray, memoryview, datetime, date)
"""Types inside of others that are left as they are, because every codec has a form of its own for them."""


def plain(value: Any) -> Any:
    """Return a value made of built-in types for one that is not.

    Dataclasses, `msgspec.Struct`, named tuples, enums, `Decimal`, `UUID`, `time` and `timedelta` follow msgspec's rules for built-in
    types; sets and mappings become lists and dicts.

    Args:
        value: A value of a type that a codec does not know.

    Raises:
        TypeError: When there is no such value.
    """
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, AbstractSet):
        return list(value)
    try:
        return msgspec.to_builtins(value, builtin_types=_KNOWN)
    except TypeError:
        kind = type(value)
        message = (
            f"no wire can carry a value of type {kind.__module__}.{kind.__qualname__}; return built-in types, dataclasses or"
            " msgspec.Struct"
        )
        raise TypeError(message) from None
