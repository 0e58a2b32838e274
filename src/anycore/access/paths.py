"""The one place where virtual paths are made fit to be judged and opened: no tricks with dots, slashes, NULs or symbolic links."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import Final

MAX_PATH: Final = 4096
"""Bytes of a path, as POSIX systems have it (PATH_MAX)."""


class PathRefusedError(ValueError):
    """A path that is not judged, because it could mean something else than it says; the message says why."""


def normalise(path: str) -> str:
    """Return a virtual path in its one form: from the root, without empty parts and without a slash at the end.

    Args:
        path: The path as a peer sent it.

    Raises:
        PathRefusedError: It does not begin at the root, has a part `..`, has a NUL, is no UTF-8, or is longer than 4096 bytes.
    """
    shown = f"the path {path[:100]!r}"
    try:
        length = len(path.encode())
    except UnicodeEncodeError:
        message = f"{shown} is refused: it is no UTF-8"
        raise PathRefusedError(message) from None
    if length > MAX_PATH:
        message = f"{shown}... is refused: it has {length} bytes, of {MAX_PATH} that are allowed"
        raise PathRefusedError(message)
    if "\0" in path:
        message = f"{shown} is refused: it has a NUL in it"
        raise PathRefusedError(message)
    if not path.startswith("/"):
        message = f"{shown} is refused: expected one that begins with a slash, from the root"
        raise PathRefusedError(message)
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        message = f"{shown} is refused: it goes up with '..'; write where it leads"
        raise PathRefusedError(message)
    return "/" + "/".join(parts)


def resolve(root: str | os.PathLike[str], path: str) -> tuple[Path, str]:
    """Find the file that a virtual path leads to, all symbolic links followed.

    A rule must allow the path that was asked for and the one that is returned: a link is no way around a rule.

    Args:
        root: The directory that is the virtual root.
        path: The path as a peer sent it; the file need not exist.

    Returns:
        The file, and its virtual path.

    Raises:
        PathRefusedError: It is refused by `normalise`, or it leads out of the root, or into a loop of links.
    """
    virtual = normalise(path)
    base = Path(root).resolve()
    try:
        real = Path(os.path.realpath(base / virtual[1:]))
        inside = real.relative_to(base)
    except ValueError:
        message = f"the path {path[:100]!r} is refused: a symbolic link in it leads out of the root"
        raise PathRefusedError(message) from None
    if real.is_symlink():
        message = f"the path {path[:100]!r} is refused: symbolic links in it lead in a circle"
        raise PathRefusedError(message)
    found = PurePosixPath(*inside.parts).as_posix()
    return real, normalise("/" if found == "." else f"/{found}")
