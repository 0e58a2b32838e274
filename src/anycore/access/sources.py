"""Where rules come from: the files that the settings name, read together. If one of them is wrong, none takes effect."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from anycore.access import clarens, clarens_light
from anycore.access.bcfg2 import FILES, read_bcfg2
from anycore.access.model import AccessError, RuleSet
from anycore.access.toml_rules import read_file

if TYPE_CHECKING:
    from collections.abc import Callable

Stamps = dict[str, tuple[int, int, int] | None]
"""Inode, modification time in nanoseconds and size of files, None where there is none."""


class Sources(msgspec.Struct, frozen=True, kw_only=True):
    """The files that rules are read from.

    Args:
        main: The configuration file, or an empty string.
        settings: The keys of its table `[access]` that are settings and no rules.
        file: A file with rules only, or an empty string; its rules follow those of the configuration file.
        clarens: Directories of Clarens services, access files of services, or configurations of ClarensLight.
        bcfg2: The directory of Bcfg2's plugin ACL, or an empty string.
    """

    main: str = ""
    settings: tuple[str, ...] = ()
    file: str = ""
    clarens: tuple[str, ...] = ()
    bcfg2: str = ""

    def read(self) -> list[RuleSet]:
        """Read all files.

        Raises:
            AccessError: With all that is wrong in any of them.
        """
        problems: list[str] = []
        own: list[RuleSet] = []
        others: list[RuleSet] = []
        if self.main:
            _take(own, problems, lambda: [read_file(Path(self.main), settings=self.settings)])
        if self.file:
            _take(own, problems, lambda: [read_file(Path(self.file))])
        for name in self.clarens:
            _take(others, problems, partial(_clarens, Path(name)))
        if self.bcfg2:
            _take(others, problems, lambda: [read_bcfg2(Path(self.bcfg2))])
        joined = _joined(own, problems)
        if problems:
            raise AccessError(problems)
        return [*joined, *others]

    def stamps(self) -> Stamps:
        """Return what shows whether a file has changed, come or gone since the last time."""
        files = [Path(name) for name in (self.main, self.file) if name]
        for name in self.clarens:
            path = Path(name)
            files += [path, *_access_files(path)]
        files += [Path(self.bcfg2) / name for name in FILES] if self.bcfg2 else []
        return {str(path): _stamp(path) for path in files}

    def folders(self) -> set[Path]:
        """Return the directories that the files are in, to be watched."""
        return {Path(name) if Path(name).is_dir() else Path(name).parent for name in self.stamps()}


def _take(sets: list[RuleSet], problems: list[str], read: Callable[[], list[RuleSet]]) -> None:
    try:
        sets += read()
    except AccessError as error:
        problems += error.problems


def _joined(own: list[RuleSet], problems: list[str]) -> list[RuleSet]:
    """Put the rules of the configuration file and of the file for rules one after the other: in TOML the order is the author's."""
    rules = tuple(rule for one in own for section in one.sections for rule in section)
    if not rules:
        return []
    groups: dict[str, tuple[str, ...]] = {}
    for one in own:
        twice = sorted(set(groups) & set(one.groups))
        problems += [
            f"{one.name}: access.groups.{name}: {own[0].name} has it too; remove one of them" for name in twice
        ]
        groups.update(one.groups)
    return [RuleSet(name=" and ".join(one.name for one in own), sections=(rules,), groups=groups)]


def _clarens(path: Path) -> list[RuleSet]:
    if not path.exists():
        raise AccessError([f"access.clarens: {path}: there is no such file or directory; name one, or leave it out"])
    if path.is_dir():
        found = _access_files(path)
        if not found:
            raise AccessError([f"{path}: there is no {clarens.FILE} in it or in a directory below; name another"])
        return _all([partial(clarens.read_clarens, file, file.absolute().parent.name) for file in found])
    if path.name == clarens.FILE:
        return [clarens.read_clarens(path, path.absolute().parent.name)]
    declared = clarens_light.services(path)
    if declared:
        return _all([partial(clarens_light.read_light, file, name) for name, file in declared])
    return [clarens_light.read_light(path, path.stem)]


def _all(readers: list[partial[RuleSet]]) -> list[RuleSet]:
    sets: list[RuleSet] = []
    problems: list[str] = []
    for read in readers:
        try:
            sets.append(read())
        except AccessError as error:
            problems += error.problems
    if problems:
        raise AccessError(problems)
    return sets


def _access_files(path: Path) -> list[Path]:
    """Return the access files of the services in a directory, and of the directory itself where it is a service."""
    if not path.is_dir():
        with suppress(AccessError):
            return [] if path.name == clarens.FILE else [file for _, file in clarens_light.services(path)]
        return []
    return sorted(file for file in (path / clarens.FILE, *path.glob(f"*/{clarens.FILE}")) if file.is_file())


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
