"""Every sample of the README and of the documentation does what the page says. How they are run is in conftest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
PAGES = [
    "README.md",
    *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md") if "_build" not in path.parts),
]


@pytest.mark.parametrize("page", PAGES)
def test_samples(page: str, try_samples: Callable[[Path], int]) -> None:
    try_samples(ROOT / page)
