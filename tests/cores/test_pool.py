"""The pool core."""

from __future__ import annotations

import pytest

from anycore.cores.pool import PoolCore
from anycore.testing import CORE_CHECKS, check_core


@pytest.mark.parametrize("check", CORE_CHECKS)
def test_it_keeps_the_promises_of_cores(check: str) -> None:
    check_core(PoolCore, only=[check])
