"""The version of what runs, read once: after the root directory was changed there is nothing to read it from."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version


@cache
def own_version() -> str:
    """Return the version of Anycore that runs."""
    return version("anycore")
