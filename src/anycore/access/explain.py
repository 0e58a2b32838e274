"""Why a question is answered as it is: every rule that was looked at, and why it applies or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from anycore.access.model import Effect, Kind
from anycore.kernel.policy import NO_OPINION, Decision

if TYPE_CHECKING:
    from anycore.access.matcher import Matcher
    from anycore.access.questions import Question
    from anycore.access.section import Entry, Section


class Step(msgspec.Struct, frozen=True):
    """One look at a rule.

    Args:
        rule: The rule, with the place where it is written.
        outcome: What came of it.
        applies: Whether it applies.
    """

    rule: str
    outcome: str
    applies: bool = False


class Explanation(msgspec.Struct, frozen=True):
    """The way to an answer.

    Args:
        sets: For each set of rules: its name, the steps, and how many of its rules are about something else.
        decision: The answer.
        early: Whether the address alone decides, before it is known who asks.
        subjects: The subjects that the caller is.
    """

    sets: list[tuple[str, list[Step], int]]
    decision: Decision
    early: bool
    subjects: list[str]


def explain(matcher: Matcher, question: Question, now: float) -> Explanation:
    """Return why a question is answered as it is.

    Args:
        matcher: The rules, with a clock that shows `now`.
        question: The question.
        now: The time, in seconds since the epoch.
    """
    caller = matcher.subjects(question.identity, question.peer)
    sets = [
        (rules.name, *_steps(sections, question, caller, now))
        for rules, sections in zip(matcher.sets, matcher.compiled[question.kind], strict=True)
    ]
    decision = question.ask(matcher)
    if decision is NO_OPINION:
        decision = Decision(
            allowed=False, reason="no rule says anything: RPyC's own rules hold, by which only what is exposed is open"
        )
    early = False
    if question.kind is Kind.CALL and matcher.by_address:
        settled = matcher.admit(question.peer, question.name)
        early = settled is not None and settled is not NO_OPINION and not settled.allowed
    return Explanation(sets, decision, early, sorted(caller))


def _steps(sections: list[Section], question: Question, caller: frozenset[str], now: float) -> tuple[list[Step], int]:
    steps: list[Step] = []
    others = 0
    for section in sections:
        about = {position for name in question.names for position in section.about(name)[1]}
        for position, entry in enumerate(section.entries):
            if position not in about:
                others += 1
                continue
            steps.append(_step(entry, caller, now))
            if steps[-1].applies:
                if entry.effect is not Effect.DEFER:
                    return steps, others
                break
    return steps, others


def _step(entry: Entry, caller: frozenset[str], now: float) -> Step:
    rule = str(entry.rule)
    if now < entry.start:
        return Step(rule, "not yet in force")
    if now >= entry.end:
        return Step(rule, "no longer in force")
    if entry.subjects.isdisjoint(caller):
        return Step(rule, "not for this caller")
    if not entry.concerns(caller):
        return Step(rule, "its conditions do not hold of this caller")
    said = {
        Effect.ALLOW: "applies: allowed",
        Effect.DENY: "applies: denied",
        Effect.DEFER: "applies: the next rules decide",
    }
    return Step(rule, said[entry.effect], applies=True)
