"""The version of RPyC that this stands in for; that of Anycore is in its distribution."""

from __future__ import annotations

from typing import Final

from anycore.objects.exceptions import VERSION

__version__ = VERSION
version: Final = tuple(VERSION.split("."))
release_date: Final = "2025-04-18"
