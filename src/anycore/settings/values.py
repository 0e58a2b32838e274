"""Values of settings: checked against their key, read from text, written as TOML. Where they come from lives in `sources`."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Mapping
from typing import Any, Final

from msgspec.inspect import BoolType, FloatType, IntType

from anycore.settings.keys import Key
from anycore.settings.problems import suggest

_TRUE: Final = frozenset({"true", "yes", "on", "1"})
_FALSE: Final = frozenset({"false", "no", "off", "0"})
_LONG: Final = 60


class UnfitError(ValueError):
    """A value does not fit its key; the message says what was expected and what was given."""


def expected(key: Key) -> str:
    """Return what a key takes, for people."""
    if key.repeated:
        return "a list of strings"
    if key.choices:
        return f"one of {', '.join(key.choices)}"
    if isinstance(key.type, BoolType):
        return "true or false"
    if isinstance(key.type, (IntType, FloatType)):
        least, most = key.bounds
        unit = "a number of seconds" if isinstance(key.type, FloatType) else "a whole number"
        return f"{unit} from {least:g} to {most:.10g}"
    return "a string"


def fit(key: Key, value: Any) -> Any:
    """Check a value of a TOML file, or one that `read` has made from text.

    Args:
        key: Its key.
        value: The value.

    Returns:
        The value, in the type of the key.

    Raises:
        UnfitError: When it is of another type or out of bounds.
    """
    fitted = _typed(key, value)
    if fitted is None:
        message = f"expected {expected(key)}, got {shown(value)}"
        near = suggest(value, key.choices) if isinstance(value, str) else ""
        message += f" (did you mean {near}?)" if near else ""
        raise UnfitError(message)
    return fitted


def _typed(key: Key, value: Any) -> Any:
    """Return the value in the type of its key, or None when it is of another."""
    if isinstance(key.type, BoolType):
        return value if isinstance(value, bool) else None
    if isinstance(key.type, (IntType, FloatType)):
        number = float if isinstance(key.type, FloatType) else int
        least, most = key.bounds
        fits = isinstance(value, number | int) and not isinstance(value, bool)
        return number(value) if fits and least <= value <= most else None  # a NaN compares false
    if key.repeated:
        fits = isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)
        return tuple(value) if fits else None
    return value if isinstance(value, str) and (not key.choices or value in key.choices) else None


def read(key: Key, text: str) -> Any:
    """Read the text of an option or an environment variable. A list is separated by commas.

    Args:
        key: Its key.
        text: The text.

    Raises:
        UnfitError: When it is no value of the key.
    """
    word = text.strip()
    if key.repeated:
        return fit(key, [item.strip() for item in word.split(",") if item.strip()])
    if isinstance(key.type, BoolType):
        return fit(key, True if word.lower() in _TRUE else False if word.lower() in _FALSE else text)
    if isinstance(key.type, (IntType, FloatType)):
        return fit(key, _number(int if isinstance(key.type, IntType) else float, word))
    return fit(key, text if not key.choices else word)


def _number(kind: type[int | float], word: str) -> int | float | str:
    try:
        return kind(word)
    except ValueError:
        return word


def shown(value: Any) -> str:
    """Return a value as messages show it, with its type in TOML."""
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    if isinstance(value, str):
        return f"the string {_short(json.dumps(value, ensure_ascii=False))}"
    if isinstance(value, int | float):
        return f"the number {_short(toml(value))}"
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list | tuple):
        return f"the list {_short(toml(value))}"
    return f"the {'time' if isinstance(value, dt.time) else 'date'} {value}"


def _short(text: str) -> str:
    return text if len(text) <= _LONG else f"{text[: _LONG - 3]}..."


def toml(value: Any) -> str:
    """Write a value as TOML 1.0, tables inline.

    Args:
        value: What `tomllib` can return.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else str(value)
    if isinstance(value, int):
        # Python refuses to write out thousands of digits, which only hexadecimal numbers can have here; those have no sign.
        return str(value) if value < 2**63 else hex(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{bare(key)} = {toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(toml, value)) + "]"
    return str(value.isoformat())


def bare(key: str) -> str:
    """Write a key as TOML 1.0: as it is where that is allowed, else quoted."""
    plain = key.isascii() and key.replace("_", "").replace("-", "").isalnum()
    return key if plain else toml(key)
