"""Plugins that come with Anycore. They are plugins like any other."""

from __future__ import annotations

from typing import Final

NAMES: Final = frozenset({"debug", "enrolment", "group", "system"})
"""What they are called; `enrolment` is there where machines are enrolled."""
