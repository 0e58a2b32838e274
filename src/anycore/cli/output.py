"""Arguments as people type them, and results as they are printed."""

from __future__ import annotations

import base64
import datetime as dt
import json
import sys
from typing import Any, NoReturn


def argument(text: str) -> Any:
    """Read an argument: JSON (RFC 8259) if it is that, else the text itself.

    Args:
        text: As it was typed.
    """
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return text


def _no_constant(name: str) -> NoReturn:
    message = f"{name} is no JSON"  # Python's parser takes NaN and Infinity, which are words here
    raise ValueError(message)


def as_json(value: Any) -> str:
    """Write a result as JSON for people and programs: bytes in base64, dates as ISO 8601.

    Args:
        value: What a client can return.
    """
    ascii_only = (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"
    return json.dumps(value, indent=2, ensure_ascii=ascii_only, default=_default)


def _default(value: Any) -> Any:
    from anycore.objects.proxy import is_proxy

    if is_proxy(
        value
    ):  # an object that stays where it is; it passes for one of its class here, whose attributes it may not give
        return str(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(value).decode()
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    return str(value)
