"""The store in memory keeps the promises of stores."""

from __future__ import annotations

import pytest

from anycore.store import StoreError, open_store
from anycore.store.memory import MemoryStore
from anycore.testing import STORE_CHECKS, check_store


@pytest.mark.parametrize("check", STORE_CHECKS)
def test_it_keeps_the_promise(check: str) -> None:
    check_store(MemoryStore, only=[check])


def test_its_url_has_nothing_after_the_colon() -> None:
    open_store("memory:").close()
    with pytest.raises(StoreError, match="no path and no options; write memory:"):
        open_store("memory:/path")
