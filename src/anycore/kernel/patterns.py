r"""Patterns of names that have parts, in rules and in scopes: methods and attributes (parts between dots) and paths (between slashes).

`*` stands for any characters of one part, `?` for one character of a part, and `**`, as a part of its own, for any number of parts, also
none. A pattern stands for the names that it fits and for **all below them**: `thermostat` is also `thermostat.set`, and `*` is everything.

Matching takes time in proportion to the name, whatever the pattern: each piece of text between stars is looked for where it comes first,
and that choice is never taken back (an atomic group), because a later place could not fit better.
"""

from __future__ import annotations

import re
from typing import Final

MAX_NAME: Final = 4096
"""Characters of a name that is judged; no rule fits a longer one, and it is denied."""

_NAME: Final = re.compile(r"[A-Za-z0-9_.*?]+\Z")
_ANY: Final = frozenset({"*", "**"})


def check_name(pattern: str) -> str:
    """Return what is wrong with a pattern of method or attribute names; an empty string when it is right.

    Args:
        pattern: The pattern.
    """
    if not _NAME.match(pattern):
        return "expected letters, digits and underscores with dots between, * and ?; write e.g. thermostat.* or *.get_*"
    return _check(pattern, ".", "system.*")


def check_path(pattern: str) -> str:
    """Return what is wrong with a pattern of virtual paths; an empty string when it is right.

    Args:
        pattern: The pattern.
    """
    if not pattern.startswith("/") or "\0" in pattern:
        return "expected a path that begins with a slash; write e.g. /pub or /home/*/inbox"
    if pattern == "/":
        return ""
    if {".", ".."} & set(pattern.split("/")):
        return "no path that is judged has . or .. in it; write the path without them"
    return _check(pattern[1:], "/", "/pub")


def _check(pattern: str, separator: str, example: str) -> str:
    parts = pattern.split(separator)
    if "" in parts:
        return f"it has an empty part; write e.g. {example}"
    wrong = [part for part in parts if "**" in part and part != "**"]
    return f"{wrong[0]}: ** is a part of its own; write e.g. **{separator}get_*, or one *" if wrong else ""


def parts_of(pattern: str, separator: str, *, exact: bool = False) -> tuple[str, ...]:
    """Return the parts of a pattern; none for one that stands for everything.

    Args:
        pattern: The pattern, without a slash in front.
        separator: What is between parts.
        exact: Whether it stands for whole names only; such a pattern has no `**`.
    """
    parts = tuple(pattern.split(separator)) if pattern else ()
    if exact:
        return parts
    while len(parts) > 1 and parts[-1] == "**":  # all below is meant anyway
        parts = parts[:-1]
    return () if len(parts) == 1 and parts[0] in _ANY else parts


def is_plain(part: str) -> bool:
    """Tell whether a part stands for itself alone."""
    return "*" not in part and "?" not in part


def compile_parts(parts: tuple[str, ...], separator: str, *, exact: bool = False) -> re.Pattern[str]:
    """Return an expression whose `match` tells whether a pattern stands for a name.

    Args:
        parts: The pattern's parts.
        separator: What is between parts.
        exact: Whether it stands for whole names only, and not for all below as well.
    """
    stop, other = re.escape(separator), f"[^{separator}]"
    end = r"\Z" if exact else rf"(?:{stop}|\Z)"
    runs: list[list[str]] = [[]]
    for part in parts:
        if part != "**":
            runs[-1].append(_part(part, other, stop))
        elif runs[-1] or len(runs) == 1:
            runs.append([])
    first, *rest = (stop.join(run) for run in runs)
    if not rest:
        return re.compile(first + end, re.DOTALL)
    text = first + stop if first else ""
    for index, run in enumerate(rest):
        found = rf"(?:{other}*{stop})*?{run}"
        text += found + end if index == len(rest) - 1 else rf"(?>{found}{stop})"
    return re.compile(text, re.DOTALL)


def _part(part: str, other: str, stop: str) -> str:
    """Return the expression for one part. Its last star is followed by the end of the part, so it may give back."""
    pieces = [re.escape(piece).replace(r"\?", other) for piece in re.split(r"\*", part)]
    if len(pieces) == 1:
        return pieces[0]
    first, *middle, last = pieces
    inner = "".join(f"(?>{other}*?{piece})" for piece in middle if piece)
    return rf"{first}{inner}{other}*{last}(?={stop}|\Z)"
