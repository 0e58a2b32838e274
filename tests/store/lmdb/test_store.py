"""The store in LMDB keeps the promises of stores, at every durability; and its URL."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from anycore.store import StoreError, open_store
from anycore.store.lmdb.store import DURABILITIES, LmdbStore
from anycore.testing import STORE_CHECKS, check_store

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("check", STORE_CHECKS)
def test_it_keeps_the_promise(check: str, tmp_path: Path) -> None:
    def make() -> LmdbStore:
        return LmdbStore(str(tmp_path / "store"), durability="process")

    check_store(make, again=lambda _: make(), only=[check])


@pytest.mark.parametrize("durability", DURABILITIES)
def test_it_keeps_what_it_is_given_at_every_durability(durability: str, path: str) -> None:
    check_store(lambda: LmdbStore(path, durability=durability), only=["keeps_what_it_is_given"])


def test_its_url_has_a_path_and_options(tmp_path: Path) -> None:
    with open_store(f"lmdb:{tmp_path}/with%3Fmark?durability=process&max_size=8MiB&max_value=1KiB") as store:
        assert store.max_value == 1024
        assert store.figures()["max_bytes"] == 8 << 20
        assert (tmp_path / "with?mark" / "data.mdb").exists()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("lmdb:", "expected the path of a directory"),
        ("/path", "expected one of lmdb:, memory:, as in lmdb:/path"),
        ("redis:/path", "expected one of lmdb:, memory:"),
        ("lmdb:/path?size=1", "no option 'size': expected durability, max_size or max_value"),
        ("lmdb:/path?durability=always", "durability='always': expected one of commit, integrity, process"),
        ("lmdb:/path?max_size=10GB", "max_size=10GB: expected bytes, or a number with KiB, MiB, GiB or TiB"),
        ("lmdb:/path?max_value=0", "max_value=0: expected bytes"),
    ],
)
def test_urls_that_are_wrong_are_refused(url: str, said: str) -> None:
    with pytest.raises(StoreError, match=said):
        open_store(url)


def test_a_watch_that_is_far_behind_compares(path: str) -> None:
    with LmdbStore(path, durability="process") as store:
        store.put(b"a", b"1")
        store.put(b"b", b"1")
        with store.watch() as watch:
            for number in range(2000):  # more than the log of the changes has room for
                store.put(b"c", b"%d" % number)
            store.delete(b"a")
            assert dict(watch.poll(0)) == {b"a": None, b"c": b"1999"}
            assert watch.poll(0) == []


def test_times_to_live_that_are_put_again_leave_no_trace(path: str) -> None:
    with LmdbStore(path, durability="process") as store:
        for _ in range(50):
            store.put(b"session", b"1", ttl=1e6)
        assert store.figures()["ending"] == 1
        store.delete(b"session")
        assert store.figures()["ending"] == 0
