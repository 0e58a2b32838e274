"""How long a client looks for an answer has bounds, told before anything is connected."""

from __future__ import annotations

import pytest

from anycore.clients import connect


@pytest.mark.parametrize("seconds", [-1.0, 0.02, 150.0, float("nan")])
def test_a_time_beyond_the_bounds_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match=r"busy_poll_time must be a number of seconds from 0 to 0\.01, not"):
        connect("http://127.0.0.1:1", busy_poll_time=seconds)
