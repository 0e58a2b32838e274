"""Text from elsewhere, made safe to print."""

from __future__ import annotations

import re
from typing import Final

_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def printable(text: str) -> str:
    """Replace control characters other than tab and line feed: what a server sends must not steer the terminal.

    Args:
        text: The text.
    """
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)
