"""How processes share connections fairly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from anycore.cores.sharing import SLACK, Shares

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def shares() -> Iterator[Shares]:
    made = Shares(3)
    yield made
    made.close()


def test_one_that_has_more_lets_others_go_first(shares: Shares) -> None:
    first, second = shares.of(0), shares.of(1)
    second.tell(10)
    assert not first.ahead(10 + SLACK)
    assert first.ahead(10 + SLACK + 5)
    second.tell(15)
    assert not first.ahead(10 + SLACK + 5)


def test_a_part_more_of_many_is_no_matter(shares: Shares) -> None:
    shares.of(1).tell(1000)
    assert not shares.of(0).ahead(1100)
    assert shares.of(0).ahead(1200)


def test_one_alone_waits_for_nobody(shares: Shares) -> None:
    assert not shares.of(0).ahead(10_000)


def test_those_that_accept_no_more_are_not_waited_for(shares: Shares) -> None:
    first, second = shares.of(0), shares.of(1)
    second.tell(0)
    assert first.ahead(100)
    second.leave()
    second.tell(0)
    assert not first.ahead(100)
    shares.of(2).tell(0)
    assert first.ahead(100)
    shares.leave(2)
    assert not first.ahead(100)
