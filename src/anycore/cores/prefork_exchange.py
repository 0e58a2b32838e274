"""What the workers of the prefork core say to each other, on its way through the supervisor. Nothing that is said here blocks."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, Final

import msgspec

from anycore.cores.base import Figures, Process
from anycore.cores.prefork_members import Member, Place, Query, State
from anycore.cores.prefork_messages import Answered, Answers, Asked, Heard, Question, Report, Sums
from anycore.cores.prefork_worker import COUNT, report_of
from anycore.cores.topics import SUPERVISOR, Answer, encode
from anycore.kernel.tally import Totals

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from anycore.cores.prefork import PreforkCore

COUNT_SECONDS: Final = 1.0
"""How long workers may take to report; for those that take longer, what they reported last counts."""


class Exchange:
    """Passes on publications, requests and their answers, and adds up what workers count.

    Args:
        core: The core: its topics, and its tally.
        members: All workers, by process.
        places: Their places.
    """

    def __init__(self, core: PreforkCore, members: Mapping[int, Member], places: Sequence[Place]) -> None:
        self._core = core
        self._members = members
        self._places = places
        self._queries: dict[int, Query] = {}
        self._numbers = itertools.count(1)
        self._gone = Figures()

    def spread(self, topic: str, payload: bytes, said_by: Member | None = None) -> None:
        """Pass on a publication to all but whoever has said it."""
        for member in self._members.values():
            if member is not said_by:
                member.send(Heard(topic, payload))
        self._core.topics.hear(topic, payload)

    def pass_on(self, asker: Member, asked: Asked) -> None:
        """Pass on a request of a worker, and in time the answers to it."""

        def done(answers: list[Answer]) -> None:
            if asker.pid in self._members:
                asker.send(Answers(asked.number, answers))

        self.ask(asked.topic, asked.payload, asked.worker, asked.timeout, done, asker)

    def ask(
        self,
        topic: str,
        payload: bytes,
        worker: int | None,
        timeout: float,
        done: Callable[[list[Answer]], None],
        asker: Member | None = None,
    ) -> None:
        """Ask workers; see `Core.ask`.

        Args:
            topic: The topic.
            payload: What is asked, encoded.
            worker: The number of the one to ask; `SUPERVISOR`, or None for all.
            timeout: How long to wait, in seconds.
            done: Takes the answers.
            asker: Who is not to be asked.
        """
        if worker == SUPERVISOR:
            done(self._core.topics.answer(topic, payload, SUPERVISOR))
        elif worker is None:
            asked = [member for member in self._members.values() if member is not asker]
            self._question(topic, payload, asked, timeout, done)
        else:
            member = self._places[worker].member if 0 <= worker < len(self._places) else None
            if member is None:
                done([Answer(worker, 0, None, f"there is no worker {worker} now")])
            else:
                self._question(topic, payload, [member], timeout, done)

    def _question(
        self, topic: str, payload: bytes, asked: list[Member], timeout: float, done: Callable[[list[Answer]], None]
    ) -> None:
        number = next(self._numbers)
        awaiting = {member.pid: member for member in asked}
        self._queries[number] = Query(awaiting, time.monotonic() + timeout, timeout, done)
        for member in asked:
            member.send(Question(number, topic, payload))
        if not asked:
            self._finish(number)

    def answer(self, member: Member, answered: Answered) -> None:
        """Take the answers of a worker."""
        query = self._queries.get(answered.number)
        if query is not None and query.take(member, answered.answers):
            self._finish(answered.number)

    def lose(self, member: Member) -> None:
        """Do without what a worker that has ended would have answered, and keep what it has counted."""
        for number, query in list(self._queries.items()):
            if member.pid in query.awaiting and query.give_up(member, "ended before it had answered"):
                self._finish(number)
        gone, last = self._gone, member.report.figures
        self._gone = Figures(
            0, 0, gone.accepted + last.accepted, gone.refused + last.refused, gone.timed_out + last.timed_out
        )

    def _finish(self, number: int) -> None:
        query = self._queries.pop(number, None)
        if query is not None:
            query.finish()

    def look(self, now: float) -> None:
        """Do without answers that take too long."""
        for number, query in list(self._queries.items()):
            if now >= query.deadline:
                for member in list(query.awaiting.values()):
                    query.give_up(member, f"did not answer within {query.timeout:g} s")
                self._finish(number)

    def next_look(self) -> float:
        """Return when to look next; infinity when there is nothing to wait for."""
        return min((query.deadline for query in self._queries.values()), default=float("inf"))

    # Figures.

    def count(self, member: Member, report: Report) -> None:
        """Take what a worker has counted."""
        member.report = report
        if report.tally and self._core.tally is not None:
            self._core.tally.add(report.tally)

    def sum_up(self, done: Callable[[], None]) -> None:
        """Have all workers report; after that, `figures`, `totals` and `processes` are up to date."""

        def add(answers: list[Answer]) -> None:
            for answer in answers:
                report, member = report_of(answer), self._members.get(answer.process)
                if report is not None and member is not None:
                    self.count(member, report)
            done()

        serving = [member for member in self._members.values() if member.state is not State.STARTING]
        self._question(COUNT, encode(None), serving, COUNT_SECONDS, add)

    def send_sums(self, asker: Member, number: int) -> None:
        """Answer a worker that has asked for the sums."""

        def done() -> None:
            if asker.pid in self._members:
                asker.send(Sums(number, self.figures(), msgspec.msgpack.encode(self.totals())))

        self.sum_up(done)

    def figures(self) -> Figures:
        """Return what all workers have counted, as they reported it last."""
        found = [self._gone, *(member.report.figures for member in self._members.values())]
        return Figures(*(sum(getattr(one, name) for one in found) for name in Figures.__struct_fields__))

    def totals(self) -> Totals:
        """Return what all workers have counted of methods and incidents, as they reported it last."""
        totals = self._core.tally.totals() if self._core.tally is not None else Totals()
        for member in self._members.values():
            for name, count in member.report.running.items():
                totals.running[name] = totals.running.get(name, 0) + count
        return totals

    def processes(self) -> list[Process]:
        """Return who serves."""
        now = time.monotonic()
        return [
            Process(
                member.number,
                member.pid,
                member.state.value,
                now - member.made,
                member.report.calls,
                self._places[member.number].ended,
                member.report.figures,
            )
            for member in sorted(self._members.values(), key=lambda member: (member.number, member.made))
        ]
