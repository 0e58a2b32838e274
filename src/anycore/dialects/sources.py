"""Where plugins come from: what the operator named, resolved to units that can be imported. Nothing is loaded here."""

from __future__ import annotations

import importlib.util
from contextlib import suppress
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from anycore.kernel.registry import PluginRefusedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

GROUP: Final = "anycore.plugins"


class Unit(msgspec.Struct, frozen=True):
    """What is imported and reloaded as one.

    Args:
        kind: `file`, `package` (a directory with `__init__.py`), `module` (a dotted name) or `entry_point`.
        name: The path, dotted name, or entry point's value.
        origin: What people see.
    """

    kind: str
    name: str
    origin: str

    @property
    def path(self) -> Path | None:
        """The file or directory, or None for what Python's import system finds."""
        return Path(self.name) if self.kind in ("file", "package") else None

    def files(self) -> tuple[Path, ...]:
        """Return the source files of the unit, as far as it has a path."""
        path = self.path
        if path is None:
            return ()
        return tuple(sorted(path.rglob("*.py"))) if self.kind == "package" else (path,)


def find_units(sources: Iterable[str]) -> list[Unit]:
    """Resolve what the operator named.

    A source is a Python file, a package's directory, a directory of files and packages (names that start with an underscore, a dot or
    `test_` are passed over, and so is `conftest.py`), the name of an entry point of the group `anycore.plugins`, or a dotted module name, which may end in
    `:Class`.

    Args:
        sources: What the operator named.

    Returns:
        The units, each once, in the order of the sources; by name within a directory.

    Raises:
        PluginRefusedError: With one sentence for each source that is nothing of the kind.
    """
    found: dict[str, Unit] = {}
    reasons: list[str] = []
    points = {point.name: point for point in entry_points(group=GROUP)}
    for source in sources:
        try:
            units = _resolve(source, points)
        except LookupError as error:
            reasons.append(str(error.args[0]))
            continue
        except OSError as error:
            reasons.append(
                f"plugin source {source!r} cannot be read: {error.strerror}: {error.filename}; see that it is there and readable for the user that serves"
            )
            continue
        found.update({unit.name: unit for unit in units if unit.name not in found})
    if reasons:
        raise PluginRefusedError(reasons)
    return list(found.values())


def directories(sources: Iterable[str]) -> list[Path]:
    """Return the directories among the sources whose files are plugins, which may gain and lose files."""
    paths = (Path(source) for source in sources)
    return [path for path in paths if path.is_dir() and not (path / "__init__.py").exists()]


def barren(sources: Iterable[str]) -> list[str]:
    """Return the directories among the sources in which there is no plugin, as the operator named them."""
    found = []
    for source in dict.fromkeys(sources):
        with suppress(OSError):  # a server that has given up its rights may not look any more
            if directories([source]) and not _inside(Path(source)):
                found.append(source)
    return found


def _resolve(source: str, points: dict[str, EntryPoint]) -> Sequence[Unit]:
    path = Path(source)
    if path.is_dir():
        return [_package(path)] if (path / "__init__.py").exists() else _inside(path)
    if path.is_file():
        if path.suffix != ".py":
            message = f"plugin source {source!r} is a file, but not a Python one; name a file that ends in .py"
            raise LookupError(message)
        return [_file(path)]
    if source in points:
        value = points[source].value
        return [Unit("entry_point", value, f"entry point {source} ({value})")]
    if "/" not in source and not source.endswith(".py") and _importable(source.partition(":")[0]):
        return [Unit("module", source, source)]
    message = (
        f"plugin source {source!r} is neither a file or directory here, nor an installed module, nor an entry point of the"
        f" group {GROUP}; check the spelling and the current directory ({Path.cwd()})"
    )
    raise LookupError(message)


def _inside(directory: Path) -> list[Unit]:
    units = []
    for path in sorted(directory.iterdir()):
        if path.name.startswith(("_", ".", "test_")) or path.name == "conftest.py":
            continue
        if path.suffix == ".py" and path.is_file():
            units.append(_file(path))
        elif (path / "__init__.py").is_file():
            units.append(_package(path))
    return units


def _file(path: Path) -> Unit:
    return Unit("file", str(path.resolve()), str(path))


def _package(path: Path) -> Unit:
    return Unit("package", str(path.resolve()), str(path))


def _importable(name: str) -> bool:
    try:
        return all(part.isidentifier() for part in name.split(".")) and importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False
    except Exception:  # noqa: BLE001 - a package around it raised: there is something, and loading it will tell what is wrong
        return True
