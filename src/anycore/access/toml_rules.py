"""Reads rules in the form for people: `[[access.rule]]` and `[access.groups]` of a TOML file. Any mistake refuses the whole file."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from anycore.access.model import AccessError, Effect, Kind, Rule, RuleSet
from anycore.access.subjects import EXAMPLES, read_subject
from anycore.kernel.patterns import check_name, check_path

_KINDS: Final = {"": Kind.CALL, "_read": Kind.READ, "_write": Kind.WRITE, "_attributes": Kind.ATTRIBUTE}
_WHAT: Final = {
    f"{effect.value}{ending}": (effect, kind)
    for effect in (Effect.ALLOW, Effect.DENY)
    for ending, kind in _KINDS.items()
}
_KEYS: Final = (*_WHAT, "to", "valid_from", "valid_until")
_HEADER: Final = re.compile(r"^[ \t]*\[\[[ \t]*access[ \t]*\.[ \t]*rule[ \t]*\]\]", re.MULTILINE)
_GROUP: Final = re.compile(r"[A-Za-z0-9_.-]+\Z")
OWN: Final = ("rule", "groups")
"""The keys of `[access]` that are read here; others are settings."""


def read_file(path: Path, *, settings: tuple[str, ...] = ()) -> RuleSet:
    """Read the rules of a file.

    Args:
        path: The file.
        settings: Other keys that its table `[access]` may have; with none, it may have no other table either.

    Raises:
        AccessError: With all that is wrong.
    """
    try:
        text = path.read_bytes().decode()
        document = tomllib.loads(text)
    except OSError as error:
        raise AccessError([f"{path}: cannot be read: {error.strerror}; check the path and its permissions"]) from error
    except UnicodeDecodeError as error:
        raise AccessError([f"{path}: byte {error.start} is not UTF-8, which TOML must be; save it as UTF-8"]) from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise AccessError([f"{path}: {error}; correct the TOML there"]) from error
    reader = _Reader(path, text)
    strange = [] if settings else [name for name in document if name != "access"]
    reader.problems += [f"{path}: {name}: only [[access.rule]] and [access.groups] belong here" for name in strange]
    table = document.get("access", {})
    if not isinstance(table, Mapping):
        reader.problems.append(f"{path}: access: expected a table; write [access] and its keys below")
        table = {}
    rules = reader.read(table, settings)
    if reader.problems:
        raise AccessError(reader.problems)
    return rules


class _Reader:
    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.problems: list[str] = []
        self._lines = [text.count("\n", 0, found.start()) + 1 for found in _HEADER.finditer(text)]

    def read(self, table: Mapping[str, Any], settings: tuple[str, ...]) -> RuleSet:
        known = (*OWN, *settings)
        for key in table:
            if key not in known:
                self._refuse(f"access.{key}", f"there is no such key here; {_meant(key, known)}")
        rules = table.get("rule", [])
        if not isinstance(rules, list) or not all(isinstance(rule, Mapping) for rule in rules):
            self._refuse(
                "access.rule", "expected tables; write [[access.rule]], in double brackets, and its keys below"
            )
            rules = []
        if len(self._lines) != len(rules):  # written inline, or there is text that looks like a header
            self._lines = []
        read = [one for index, rule in enumerate(rules) for one in self._rule(index, rule)]
        return RuleSet(name=str(self.path), sections=(tuple(read),), groups=self._groups(table.get("groups", {})))

    def _refuse(self, path: str, reason: str, place: str = "") -> None:
        self.problems.append(f"{place or self.path}: {path}: {reason}")

    def _rule(self, index: int, table: Mapping[str, Any]) -> list[Rule]:
        place = f"{self.path}:{self._lines[index]}" if self._lines else str(self.path)
        path = f"access.rule[{index}]"
        before = len(self.problems)
        for key in table:
            if key not in _KEYS:
                self._refuse(f"{path}.{key}", f"there is no such key; {_meant(key, _KEYS)}", place)
        chosen = [key for key in _WHAT if key in table]
        effects = {_WHAT[key][0] for key in chosen}
        if len(effects) != 1:
            cure = "write two rules, in the order that you want" if effects else 'write e.g. allow = ["thermostat.*"]'
            said = "it allows and denies" if effects else "it neither allows nor denies anything"
            self._refuse(path, f"{said}; {cure}", place)
        subjects = self._subjects(f"{path}.to", table.get("to"), place)
        start, end = (self._moment(path, table, key, place) for key in ("valid_from", "valid_until"))
        if start is not None and end is not None and start >= end:
            self._refuse(f"{path}.valid_until", "it is not after valid_from, so the rule never applies", place)
        made = [self._made(key, table[key], path, place, subjects, start, end) for key in chosen]
        return made if len(self.problems) == before else []

    def _made(
        self,
        key: str,
        given: Any,
        path: str,
        place: str,
        subjects: tuple[str, ...],
        start: datetime | None,
        end: datetime | None,
    ) -> Rule:
        effect, kind = _WHAT[key]
        patterns = self._strings(f"{path}.{key}", given, '["/pub"]' if "/" in str(given) else '["thermostat.*"]', place)
        for pattern in patterns:
            problem = (check_path if kind in (Kind.READ, Kind.WRITE) else check_name)(pattern)
            if not problem and key == "allow_attributes" and pattern.rpartition(".")[2].startswith("_"):
                problem = "names that begin with an underscore are never opened; remove it"
            if problem:
                self._refuse(f"{path}.{key}", f"{pattern!r}: {problem}", place)
        text = f"{key} {', '.join(patterns)} to {', '.join(subjects)}"
        for word, moment in (("from", start), ("until", end)):
            text += f" {word} {moment.isoformat()}" if moment is not None else ""
        return Rule(
            effect=effect, kind=kind, patterns=patterns, to=subjects, start=start, end=end, where=place, text=text
        )

    def _strings(self, path: str, given: Any, example: str, place: str) -> tuple[str, ...]:
        if isinstance(given, list) and given and all(isinstance(one, str) for one in given):
            return tuple(given)
        self._refuse(path, f"expected a list of strings, got {given!r:.60}; write e.g. {example}", place)
        return ()

    def _subjects(self, path: str, given: Any, place: str) -> tuple[str, ...]:
        if given is None:
            self._refuse(path, f"it does not say whom it concerns; write e.g. to = [{EXAMPLES.split(', ')[0]}]", place)
            return ()
        found = []
        for text in self._strings(path, given, '["group:ops"]', place):
            try:
                found.append(read_subject(text))
            except ValueError as error:
                self._refuse(path, f"{text!r}: {error}", place)
        return tuple(found)

    def _moment(self, path: str, table: Mapping[str, Any], key: str, place: str) -> datetime | None:
        given = table.get(key)
        if given is None:
            return None
        if isinstance(given, datetime) and given.tzinfo is not None:
            return given
        self._refuse(
            f"{path}.{key}", f"expected a time with its zone, got {given}; write e.g. 2027-01-31T18:00:00Z", place
        )
        return None

    def _groups(self, given: Any) -> dict[str, tuple[str, ...]]:
        if not isinstance(given, Mapping):
            self._refuse("access.groups", "expected a table; write [access.groups] and the groups below")
            return {}
        groups: dict[str, tuple[str, ...]] = {}
        for name, members in given.items():
            path = f"access.groups.{name}"
            if not _GROUP.match(name):
                self._refuse(path, "expected a name of letters, digits, dots, hyphens and underscores")
            groups[name] = self._subjects(path, members, "")
        for name in groups:
            circle = _circle(name, groups)
            if circle:
                self._refuse(f"access.groups.{name}", f"it is a member of itself, by {' > '.join(circle)}; remove one")
        return groups


def _circle(name: str, groups: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Return the way from a group to itself, if there is one."""
    waiting = [[name]]
    seen: set[str] = set()
    while waiting:
        way = waiting.pop()
        for subject in groups.get(way[-1], ()):
            member = subject[6:] if subject.startswith("group:") else ""
            if member == name:
                return [*way, name]
            if member and member not in seen:
                seen.add(member)
                waiting.append([*way, member])
    return []


def _meant(name: str, known: tuple[str, ...]) -> str:
    near = get_close_matches(name, known, n=1)
    return f"did you mean {near[0]}?" if near else f"known are: {', '.join(known)}"
