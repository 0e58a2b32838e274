"""What every core promises, kept by others' servers as far as they let us; what they do not is in `UNKEPT`, with the reason."""

from __future__ import annotations

import pytest

from anycore.cores import load_core
from anycore.cores.foreign.base import FOREIGN
from anycore.cores.foreign.unkept import UNKEPT
from anycore.testing import CORE_CHECKS, check_core
from anycore.testing.core import HTTP_CANNOT

pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning"
)  # what uvloop, gunicorn and cheroot leave to the collector
SLOW = {
    ("granian", "ends_idle_connections"),
    ("granian", "sends_away_peers_that_do_not_read"),
    ("gunicorn", "ends_idle_connections"),
    ("gunicorn", "lets_work_take_its_time"),
}
"""Kept, after seconds that are the server's own."""
KEPT = [
    (core, check)
    for core in FOREIGN
    for check in CORE_CHECKS
    if check not in UNKEPT[core] and check not in HTTP_CANNOT and (core, check) not in SLOW
]


@pytest.mark.parametrize(("core", "check"), KEPT)
def test_it_keeps_the_promises_of_cores(core: str, check: str) -> None:
    check_core(load_core(core), only=[check], http=True)


@pytest.mark.parametrize("check", ["keeps_the_order_of_modes", "refuses_jobs_over_the_limit", "keeps_figures"])
def test_our_own_core_keeps_them_in_http_too(check: str) -> None:
    check_core(load_core("asyncio"), only=[check], http=True)


def test_what_is_not_kept_exists() -> None:
    assert set(UNKEPT) == set(FOREIGN)
    assert all(check in CORE_CHECKS and reason for table in UNKEPT.values() for check, reason in table.items())
