"""Stores in LMDB, and other processes that use them."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from anycore.store.lmdb.store import LmdbStore

InChild = Callable[[Callable[[], object]], int]


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "store")


@pytest.fixture
def store(path: str) -> Iterator[LmdbStore]:
    with LmdbStore(path, durability="process") as opened:
        yield opened


def in_child(work: Callable[[], object]) -> None:
    """Run a function in a forked process, and fail when it does."""
    process = os.fork()
    if not process:
        code = 1
        try:
            work()
            code = 0
        except BaseException:  # noqa: BLE001 - it must not go on as a second pytest
            traceback.print_exc()
        finally:
            os._exit(code)
    _, status = os.waitpid(process, 0)
    assert os.waitstatus_to_exitcode(status) == 0, "see above what went wrong in the child"


@pytest.fixture(name="in_child")
def _in_child() -> Callable[[Callable[[], object]], None]:
    return in_child
