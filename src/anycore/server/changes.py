"""Noticing which source files of plugins changed, and forgetting what Python remembers of them. Nothing is loaded or swapped here."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from anycore.dialects.sources import Unit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from collections.abc import Set as AbstractSet

Stamps = dict[Path, tuple[int, int]]
"""Modification time, in nanoseconds, and size, in bytes, of files."""


def look(units: Iterable[Unit]) -> Stamps:
    """Return the stamps of the files of units, and of the helpers beside them: files and folders that start with an underscore."""
    stamps: Stamps = {}
    for file in {file for unit in units for file in (*unit.files(), *_helpers(unit))}:
        with suppress(OSError):  # it went away between the two looks; the next one settles it
            found = file.stat()
            stamps[file] = (found.st_mtime_ns, found.st_size)
    return stamps


def touched(before: Stamps, after: Stamps) -> set[Path]:
    """Return the files that were changed, added or removed."""
    return {file for file in {*before, *after} if before.get(file) != after.get(file)}


def concerns(unit: Unit, files: AbstractSet[Path]) -> bool:
    """Tell whether there are files of a unit, or helpers beside it, among some files."""
    return any(_owns(unit, file) or _helps(unit, file) for file in files)


def forget(files: AbstractSet[Path], known: Iterable[Path], units: Iterable[Unit]) -> None:
    """Make Python import changed files anew.

    When a helper has changed, all helpers are forgotten, since one may have imported the other. As long as none has, they stay: they may
    hold what several plugins share.

    Args:
        files: The files that changed.
        known: All files that were looked at.
        units: The units that they belong to.
    """
    units = list(units)
    for file in files:
        # Python takes two edits within one second for one when they leave the size as it was.
        with suppress(OSError, NotImplementedError):
            Path(importlib.util.cache_from_source(str(file))).unlink()
    if any(not _owns(unit, file) for file in files for unit in units if _helps(unit, file)):
        paths = {str(file) for file in {*known, *files}}
        for name, module in list(sys.modules.items()):
            if not name.startswith("anycore_plugin_") and getattr(module, "__dict__", {}).get("__file__") in paths:
                del sys.modules[name]
    importlib.invalidate_caches()


def _owns(unit: Unit, file: Path) -> bool:
    path = unit.path
    return path is not None and (file == path or path in file.parents)


def _helps(unit: Unit, file: Path) -> bool:
    path = unit.path
    if path is None or path.parent not in file.parents:
        return False
    return file.relative_to(path.parent).parts[0].startswith("_")


def _helpers(unit: Unit) -> Iterator[Path]:
    if unit.path is not None:
        yield from unit.path.parent.glob("_*.py")
        yield from unit.path.parent.glob("_*/**/*.py")
