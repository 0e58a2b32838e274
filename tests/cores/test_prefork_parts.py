"""The parts of the prefork core that need no process: messages, exceptions on their way, places and queries."""

from __future__ import annotations

import selectors
import socket
from typing import TYPE_CHECKING, Any

import pytest

from anycore.cores.base import Figures
from anycore.cores.prefork_errors import WorkerError, unwrap, wrap
from anycore.cores.prefork_members import YOUNG_SECONDS, Member, Place, Query
from anycore.cores.prefork_messages import Beat, Frames, Report, Sums, from_worker, pack, to_worker
from anycore.cores.topics import Answer
from anycore.kernel.registry import PluginRefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator


class OddError(Exception):
    """Made with something else than its message."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first} and {second}")


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_messages_arrive_in_any_pieces(size: int) -> None:
    beats = [Beat(Report(Figures(number, 2, 3, 4, 5), 6, {"a.b": 1}, b"tally")) for number in range(3)]
    data = b"".join(map(pack, beats))
    frames = Frames()
    found = [frame for start in range(0, len(data), size) for frame in frames.feed(data[start : start + size])]
    assert [from_worker(frame) for frame in found] == beats


def test_each_direction_has_its_messages() -> None:
    sums = Sums(1, Figures(1), b"totals")
    (frame,) = Frames().feed(pack(sums))
    assert to_worker(frame) == sums
    with pytest.raises(ValueError, match="Invalid value"):
        from_worker(frame)


def test_exceptions_come_back_as_what_they_were() -> None:
    found = unwrap(wrap(ValueError("on purpose", 3)))
    assert isinstance(found, ValueError)
    assert found.args == ("on purpose", 3)
    refused = unwrap(wrap(PluginRefusedError(["one reason", "another"])))
    assert isinstance(refused, PluginRefusedError)
    assert refused.reasons == ("one reason", "another")


@pytest.mark.parametrize("error", [OddError(1, 2), ValueError(object())])
def test_exceptions_that_cannot_come_back_are_told(error: Exception) -> None:
    found = unwrap(wrap(error))
    assert type(error).__name__ in str(found) or str(error) in str(found)


def test_exceptions_of_unknown_classes_are_told() -> None:
    message = wrap(ValueError("on purpose"))
    message.name = "Unheard.of"
    found = unwrap(message)
    assert isinstance(found, WorkerError)
    assert str(found) == "ValueError: on purpose"


def test_young_workers_are_replaced_later_and_later() -> None:
    place = Place(0)
    waits = [place.vacate(100.0, 0.0) for _ in range(14)]
    assert waits[:5] == [0.0, 0.0, 0.1, 0.2, 0.4]
    assert waits[-1] == 10.0
    assert place.due == 110.0
    assert place.vacate(200.0, YOUNG_SECONDS) == 0.0, "one that has lived is replaced at once"
    assert place.vacate(201.0, 0.0) == 0.0
    assert place.ended == 16


@pytest.fixture
def members() -> Iterator[list[Member]]:
    selector = selectors.DefaultSelector()
    others: list[Any] = []
    made = []
    for number in (1, 0):
        ours, theirs = socket.socketpair()
        others.append(theirs)
        made.append(Member(number, 10**9 + number, ours, selector))
    yield made
    for one in made:
        one.close()
    for other in others:
        other.close()
    selector.close()


def test_answers_come_in_the_order_of_the_workers(members: list[Member]) -> None:
    found: list[Answer] = []
    query = Query({member.pid: member for member in members}, 0.0, 5.0, found.extend)
    assert not query.take(members[0], [Answer(1, members[0].pid, "b")])
    assert not query.take(members[0], [Answer(1, members[0].pid, "again")]), "a worker answers once"
    assert query.give_up(members[1], "ended before it had answered")
    query.finish()
    assert [answer.value for answer in found] == [None, "b"]
    assert found[0].error == "worker 0 ended before it had answered"


def test_what_a_worker_does_not_take_waits(members: list[Member]) -> None:
    member = members[0]
    before = member.fate
    for _ in range(200):
        member.send(Sums(1, Figures(), b"x" * 100_000))
    assert before == ""
    assert member.fate.startswith("hung"), "but not for ever: 20 MB are more than it may leave"
