"""What can be wrong with the settings, as people read it. What is checked lives with the settings."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class ConfigurationError(Exception):
    """The settings are wrong.

    Args:
        problems: All that is wrong, one sentence each: place, value, what was expected, cure.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


def suggest(name: str, known: Iterable[str]) -> str:
    """Return the known name that is most like a wrong one, or an empty string."""
    return next(iter(difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)), "")


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """Return the end of a sentence about an unknown name: the one that was probably meant, or all there are."""
    found = suggest(name, known)
    return f"did you mean {found}?" if found else f"known are: {', '.join(known) or 'none'}"
