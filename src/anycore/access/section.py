"""One section of rules, compiled: the first rule that applies is found without looking at most of the others. No caches of answers here."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final

from anycore.access.model import Effect, Rule
from anycore.access.subjects import of_address
from anycore.kernel.patterns import compile_parts, is_plain, parts_of
from anycore.kernel.policy import Decision

if TYPE_CHECKING:
    import re
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_REMEMBERED: Final = 100_000
"""Positions of rules that are kept for names that were asked for, a few megabytes."""
_FEW: Final = 16


class Entry:
    """A rule in the form in which it is asked.

    Args:
        rule: The rule.
        groups: The groups that the configuration defines.
    """

    __slots__ = ("by_address", "conditions", "decision", "effect", "end", "rule", "start", "subjects")

    def __init__(self, rule: Rule, groups: Mapping[str, tuple[str, ...]]) -> None:
        self.rule = rule
        self.effect = rule.effect
        self.subjects = expand(rule.to, groups)
        self.conditions = tuple((expand((one.subject,), groups), one.negated) for one in rule.when)
        self.by_address = not rule.when and all(map(of_address, self.subjects))
        self.start = -inf if rule.start is None else rule.start.timestamp()
        self.end = inf if rule.end is None else rule.end.timestamp()
        self.decision = Decision(allowed=rule.effect is Effect.ALLOW, reason=str(rule))

    def concerns(self, caller: frozenset[str]) -> bool:
        """Tell whether a caller is one of the subjects and fulfils the conditions."""
        return not self.subjects.isdisjoint(caller) and all(
            wanted.isdisjoint(caller) is negated for wanted, negated in self.conditions
        )

    def in_force(self, now: float) -> bool:
        """Tell whether the rule applies at a time, in seconds since the epoch."""
        return self.start <= now < self.end


def expand(subjects: Iterable[str], groups: Mapping[str, tuple[str, ...]]) -> frozenset[str]:
    """Return subjects together with those that are members of groups among them.

    Args:
        subjects: The subjects.
        groups: The groups that the configuration defines, by name.
    """
    found: set[str] = set()
    waiting = list(subjects)
    while waiting:
        subject = waiting.pop()
        if subject not in found:
            found.add(subject)
            waiting += groups.get(subject[6:], ()) if subject.startswith("group:") else ()
    return frozenset(found)


class Section:
    """Rules of one kind, of which the first that applies decides. Safe for threads.

    Args:
        rules: The rules.
        groups: The groups that the configuration defines.
        separator: What is between the parts of a name.
    """

    def __init__(self, rules: Sequence[Rule], groups: Mapping[str, tuple[str, ...]], separator: str) -> None:
        self.entries = [Entry(rule, groups) for rule in rules]
        self._separator = separator
        self._everything: list[int] = []
        self._names: dict[str, list[int]] = {}  # a name, and all below it
        self._below: dict[str, list[int]] = {}  # only what is below it
        self._whole: dict[str, list[int]] = {}  # only itself
        self._globs: list[tuple[re.Pattern[str], list[int]]] = []
        globs: dict[tuple[tuple[str, ...], bool], list[int]] = {}
        for position, rule in enumerate(rules):
            for pattern in rule.patterns:
                self._file(pattern, position, globs, exact=rule.exact)
        for (parts, exact), positions in globs.items():
            self._globs.append((compile_parts(parts, separator, exact=exact), positions))
        by_subject: dict[str, list[int]] = {}
        for position, entry in enumerate(self.entries):
            for subject in entry.subjects:
                by_subject.setdefault(subject, []).append(position)
        self._by_subject = {subject: tuple(positions) for subject, positions in by_subject.items()}
        self._all = _pair(self._everything)
        self._known: dict[str, tuple[tuple[int, ...], frozenset[int]]] = {}
        self._kept = 0

    def _file(
        self, pattern: str, position: int, globs: dict[tuple[tuple[str, ...], bool], list[int]], *, exact: bool
    ) -> None:
        separator = self._separator
        parts = parts_of(pattern.removeprefix("/"), separator, exact=exact)
        plain = all(map(is_plain, parts))
        if not parts:
            self._everything.append(position)
        elif plain:
            (self._whole if exact else self._names).setdefault(separator.join(parts), []).append(position)
        elif not exact and len(parts) > 1 and parts[-1] == "*" and all(map(is_plain, parts[:-1])):
            self._below.setdefault(separator.join(parts[:-1]), []).append(position)
        else:
            globs.setdefault((parts, exact), []).append(position)

    def about(self, name: str) -> tuple[tuple[int, ...], frozenset[int]]:
        """Return the positions of the rules that have a pattern for a name.

        Args:
            name: A method's full name, or a normal path without its first slash.
        """
        known = self._known.get(name)
        if known is not None:
            return known
        found = list(self._everything)
        cut = len(name)
        while cut > 0:
            found += self._names.get(name[:cut], ())
            cut = name.rfind(self._separator, 0, cut)
            if cut >= 0:
                found += self._below.get(name[:cut], ())
        found += self._whole.get(name, ())
        for expression, positions in self._globs:
            if expression.match(name):
                found += positions
        pair = self._all if len(found) == len(self._everything) else _pair(found)
        cost = 1 if pair is self._all else 1 + len(pair[0])
        if self._kept + cost > _REMEMBERED:
            self._known, self._kept = {}, 0
        self._known[name] = pair
        self._kept += cost
        return pair

    def first(self, names: Sequence[str], caller: frozenset[str], now: float) -> Entry | None:
        """Return the first rule that applies, or None.

        Args:
            names: The names by which what is asked for goes.
            caller: The subjects that the caller is.
            now: The time, in seconds since the epoch.
        """
        entries = self.entries
        for position in self._candidates(names, caller):
            entry = entries[position]
            if entry.concerns(caller) and entry.start <= now < entry.end:
                return entry
        return None

    def _candidates(self, names: Sequence[str], caller: frozenset[str]) -> Sequence[int]:
        """Return the positions worth a look, in order: those about the names, or those about the caller, whichever are fewer."""
        positions, among = self._about_any(names)
        if len(positions) <= _FEW:
            return positions
        by_subject = self._by_subject
        lists = [by_subject[subject] for subject in caller if subject in by_subject]
        if sum(map(len, lists)) >= len(positions):
            return positions
        return sorted({position for one in lists for position in one if position in among})

    def _about_any(self, names: Sequence[str]) -> tuple[tuple[int, ...], frozenset[int]]:
        if len(names) == 1:
            return self.about(names[0])
        return _pair([position for name in names for position in self.about(name)[0]])

    def everything(self) -> frozenset[int]:
        """Return the positions of the rules about everything."""
        return self._all[1]

    def in_order(self, name: str, now: float) -> Iterator[Entry]:
        """Yield the rules about a name that are in force, in order."""
        for position in self.about(name)[0]:
            entry = self.entries[position]
            if entry.in_force(now):
                yield entry


def _pair(positions: Iterable[int]) -> tuple[tuple[int, ...], frozenset[int]]:
    among = frozenset(positions)
    return tuple(sorted(among)), among
