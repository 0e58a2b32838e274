"""Where a value was given, so that messages can name the place and the cure in the words of that place."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from anycore.settings.keys import Key
from anycore.settings.values import toml


class Origin(msgspec.Struct, frozen=True):
    """Where a value was given.

    Args:
        kind: Which source.
        place: The place, for people: `anycore.toml: limits.idle_time`, `option --idle-time`.
    """

    kind: Literal["default", "file", "environment", "option"]
    place: str

    def assign(self, key: Key, value: Any) -> str:
        """Return what to write in that place to set a key.

        Args:
            key: The key.
            value: Its value.
        """
        if self.kind in ("default", "file"):
            return f"{key.name} = {toml(list(value) if isinstance(value, tuple) else value)}"
        text = (
            ",".join(value)
            if isinstance(value, tuple)
            else str(value).lower()
            if isinstance(value, bool)
            else str(value)
        )
        if self.kind == "environment":
            return f"{key.variable}={text}"
        if key.option == "PATHS":
            return text
        return key.option if isinstance(value, bool) else f"{key.option} {text}"


def default(path: str) -> Origin:
    """Return the origin of a default.

    Args:
        path: The setting's path.
    """
    return Origin("default", path)


class Given(msgspec.Struct, frozen=True):
    """A value that somebody gave.

    Args:
        value: The value, checked.
        origin: Where.
    """

    value: Any
    origin: Origin
