"""The store in LMDB keeps the promises of stores, at every durability; and its URL."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from anycore.store.lmdb.store import LmdbStore
from anycore.testing import STORE_CHECKS, check_store

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("check", STORE_CHECKS)
def test_it_keeps_the_promise(check: str, tmp_path: Path) -> None:
    def make() -> LmdbStore:
        return LmdbStore(str(tmp_path / "store"), durability="process")

    check_store(make, again=lambda _: make(), only=[check])
