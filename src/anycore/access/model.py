"""What rules are, whatever file they came from. How they are read lives in the readers, how they are answered in `matcher`."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from datetime import datetime

import msgspec


class AccessError(Exception):
    """Rules cannot be read. None of them takes effect.

    Args:
        problems: All that is wrong, one sentence each: place, value, what was expected, cure.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class Kind(enum.Enum):
    """What a rule is about."""

    CALL = "call"
    """Methods, by their full names."""
    READ = "read"
    """Files, by their virtual paths, for reading."""
    WRITE = "write"
    """The same for writing; neither implies the other."""
    ATTRIBUTE = "attribute"
    """Attributes of objects that RPyC hands out by reference, by plugin, class and name."""


class Effect(enum.Enum):
    """What a rule does to those whom it concerns."""

    ALLOW = "allow"
    DENY = "deny"
    DEFER = "defer"
    """Leave it to the next section."""


class Condition(msgspec.Struct, frozen=True):
    """Something that must hold of a caller.

    Args:
        subject: A subject, as in `group:ops`.
        negated: Whether it must not hold.
    """

    subject: str
    negated: bool = False


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One rule. It applies where one of its patterns, one of its subjects, all conditions and the time fit.

    Args:
        effect: What it does.
        kind: What it is about.
        patterns: Which methods, paths or attributes; see `patterns`.
        to: Whom it concerns; see `subjects`.
        when: What else must hold of the caller.
        start: Since when it applies; None for always.
        end: The moment from which it no longer applies; None for never.
        exact: Whether the patterns stand for whole names only, and not for all below as well.
        where: Where it is written, for people: `anycore.toml:14`.
        text: What it says, for people.
    """

    effect: Effect
    kind: Kind = Kind.CALL
    patterns: tuple[str, ...]
    to: tuple[str, ...]
    when: tuple[Condition, ...] = ()
    start: datetime | None = None
    end: datetime | None = None
    exact: bool = False
    where: str = ""
    text: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.text}" if self.where else self.text


class RuleSet(msgspec.Struct, frozen=True, kw_only=True):
    """Rules that are answered together: section by section, and in each of them the first rule that applies decides.

    A set that has no rule for a question has no opinion. Of several sets, one denial denies.

    Args:
        name: Where they are from, for people.
        sections: The rules, in their order.
        groups: Groups that the configuration defines, as subjects; `group:NAME` in a rule stands for any of them as well.
    """

    name: str
    sections: tuple[tuple[Rule, ...], ...]
    groups: dict[str, tuple[str, ...]] = {}
