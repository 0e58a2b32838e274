"""While a server runs, the collector leaves alone what was there at its start."""

from __future__ import annotations

import gc

from anycore.server.settled import Settled


def test_what_is_there_is_out_of_sight_until_the_end() -> None:
    before = gc.get_freeze_count()
    settled = Settled()
    settled.start()
    try:
        assert gc.get_freeze_count() > before + 1000
    finally:
        settled.stop()
    assert gc.get_freeze_count() == 0
