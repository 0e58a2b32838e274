"""The plugin that other people's clients call: every type of value both ways, every way to fail, every kind of method."""

from __future__ import annotations

import asyncio
import pprint
import threading
from datetime import UTC, datetime
from typing import Any

from anycore import Fault, Plugin, exposed

SCALARS: dict[str, Any] = {
    "zero": 0,
    "negative": -5,
    "int32 min": -(2**31),
    "int32 max": 2**31 - 1,
    "true": True,
    "false": False,
    "double": 2.5,
    "negative double": -0.125,
    "small double": 1e-7,
    "large double": 1.5e20,
    "text": "plain",
    "empty text": "",
    "markup": "<a href=\"x\">&amp;</a> ]]> 'q'",
    "spaces": "  two  \n lines\t",
    "carriage return": "a\r\nb\rc",
    "unicode": "Zürich Ελλάδα 漢字",
    "astral": "😀𝄞",
    "bytes": bytes(range(256)),
    "empty bytes": b"",
    "moment": datetime(1998, 7, 17, 14, 8, 55),  # noqa: DTZ001 - XML-RPC's dates have no zone
}
COMPOUNDS: dict[str, Any] = {
    "empty array": [],
    "empty struct": {},
    "array": [1, "two", [3.5, []], [True]],
    "struct": {"name": "Ada", "born": {"year": 1815, "months": [12]}, "tags": [], "more": {}, "ключ & <key>": "ü"},
}
EXTENSIONS: dict[str, Any] = {
    "nil": None,
    "nil within": [None, {"a": None}],
    "int64 min": -(2**63),
    "int64 max": 2**63 - 1,
}
VALUES: dict[str, Any] = {**SCALARS, **COMPOUNDS, **EXTENSIONS}


class Interop(Plugin):
    """Methods for clients of other makers."""

    def __init__(self) -> None:
        self._notes: list[str] = []
        self._noted = threading.Condition()

    @exposed(quick=True)
    def echo(self, value: Any) -> Any:
        """Return the value."""
        return value

    @exposed(quick=True)
    def give(self, name: str) -> Any:
        """Return the value of that name."""
        return VALUES[name]

    @exposed
    def describe(self, value: Any) -> str:
        """Return how Python writes the value that arrived."""
        return pprint.pformat(value, width=1_000_000, sort_dicts=True)

    @exposed(quick=True)
    def add(self, a: int, b: int) -> int:
        """Return the sum.

        Größen: ganze Zahlen.
        """
        return a + b

    @exposed
    async def add_async(self, a: int, b: int) -> int:
        """Return the sum, on the event loop."""
        await asyncio.sleep(0)
        return a + b

    @exposed
    def greet(self, name: str, *, greeting: str = "Hello", marks: int = 1) -> str:
        """Greet somebody; the greeting can be given by name only."""
        return f"{greeting}, {name}{'!' * marks}"

    @exposed
    def shift(self, moment: datetime, blob: bytes, factors: list[float], options: dict[str, bool]) -> list[Any]:
        """Take one of each typed kind and return it changed."""
        return [
            moment.replace(year=moment.year + 1),
            blob[::-1],
            [2 * f for f in factors],
            {k: not v for k, v in options.items()},
        ]

    @exposed
    def fail(self, code: int, message: str) -> None:
        """Fail with a fault of the caller's choice."""
        raise Fault(code, message, {"hint": "on purpose"})

    @exposed
    def crash(self) -> None:
        """Fail by accident."""
        raise ValueError("the café is closed")

    @exposed(quick=True)
    def unsendable(self) -> Any:
        """Return what no wire can carry."""
        return {"rooms": [1.0, float("nan")]}

    @exposed
    def text(self, size: int) -> str:
        """Return a text of so many characters."""
        return "0123456789abcdef" * (size // 16)

    @exposed
    def zoned(self) -> datetime:
        """Return a moment with a zone."""
        return datetime(2020, 2, 29, 23, 59, 58, tzinfo=UTC)

    @exposed
    def note(self, text: str) -> None:
        """Remember a text."""
        with self._noted:
            self._notes.append(text)
            self._noted.notify_all()

    @exposed
    def noted(self, text: str) -> bool:
        """Tell whether a text was noted, waiting for up to five seconds."""
        with self._noted:
            return self._noted.wait_for(lambda: text in self._notes, timeout=5)
