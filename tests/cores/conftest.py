"""What the tests of cores share: cores by the names that tests go by."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _failures_are_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Keep what cores log about jobs that fail on purpose out of the way."""
    with caplog.at_level("CRITICAL", logger="anycore.core"):
        yield
