"""Files and directory trees, there and back over a classic connection."""

from __future__ import annotations

import inspect
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

CHUNK_SIZE: Final = 64000
"""Bytes that are read and written at once; RPyC on the other side sends larger ones slowly."""


def upload(
    conn: Any,
    localpath: str | os.PathLike[str],
    remotepath: str,
    filter: Callable[[str], object] | None = None,  # noqa: A002 - RPyC's name for it
    ignore_invalid: bool = False,
    chunk_size: int = CHUNK_SIZE,
) -> None:
    """Copy a file or a directory tree to the other side.

    Args:
        conn: A classic connection.
        localpath: What to copy.
        remotepath: Where to; directories are made where they are missing.
        filter: Takes the bare name of a file or directory in a tree and tells whether to copy it; all when left out.
        ignore_invalid: Whether to pass over what is neither file nor directory.
        chunk_size: Bytes to send at once.

    Raises:
        ValueError: When it is neither file nor directory.
        OSError: When it cannot be read here or written there.
    """
    source = Path(localpath)
    if source.is_dir():
        _upload_tree(conn, source, remotepath, filter, chunk_size)
    elif source.is_file():
        upload_file(conn, source, remotepath, chunk_size)
    elif not ignore_invalid:
        message = f"cannot upload {localpath!r}: there is no such file or directory here"
        raise ValueError(message)


def upload_file(conn: Any, localpath: str | os.PathLike[str], remotepath: str, chunk_size: int = CHUNK_SIZE) -> None:
    """Copy a file to the other side; see `upload`."""
    with Path(localpath).open("rb") as source, conn.builtins.open(remotepath, "wb") as target:
        write = target.write
        while data := source.read(chunk_size):
            write(data)


def _upload_tree(
    conn: Any, source: Path, remotepath: str, wanted: Callable[[str], object] | None, chunk_size: int
) -> None:
    there = conn.modules.os
    there.makedirs(remotepath, exist_ok=True)
    join = there.path.join
    for entry in sorted(source.iterdir()):
        if wanted is None or wanted(entry.name):
            upload(conn, entry, join(remotepath, entry.name), wanted, ignore_invalid=True, chunk_size=chunk_size)


def download(
    conn: Any,
    remotepath: str,
    localpath: str | os.PathLike[str],
    filter: Callable[[str], object] | None = None,  # noqa: A002 - RPyC's name for it
    ignore_invalid: bool = False,
    chunk_size: int = CHUNK_SIZE,
) -> None:
    """Copy a file or a directory tree from the other side; the mirror image of `upload`.

    Args:
        conn: A classic connection.
        remotepath: What to copy.
        localpath: Where to; directories are made where they are missing.
        filter: See `upload`.
        ignore_invalid: See `upload`.
        chunk_size: Bytes to fetch at once.

    Raises:
        ValueError: When it is neither file nor directory, or the other side names a file that would lie elsewhere.
        OSError: When it cannot be read there or written here.
    """
    path = conn.modules.os.path
    if path.isdir(remotepath):
        _download_tree(conn, remotepath, Path(localpath), filter, chunk_size)
    elif path.isfile(remotepath):
        download_file(conn, remotepath, localpath, chunk_size)
    elif not ignore_invalid:
        message = f"cannot download {remotepath!r}: there is no such file or directory at the other side"
        raise ValueError(message)


def download_file(conn: Any, remotepath: str, localpath: str | os.PathLike[str], chunk_size: int = CHUNK_SIZE) -> None:
    """Copy a file from the other side; see `download`."""
    with conn.builtins.open(remotepath, "rb") as source, Path(localpath).open("wb") as target:
        read = source.read
        while data := read(chunk_size):
            target.write(data)


def _download_tree(
    conn: Any, remotepath: str, target: Path, wanted: Callable[[str], object] | None, chunk_size: int
) -> None:
    target.mkdir(parents=True, exist_ok=True)
    there = conn.modules.os
    join = there.path.join
    for name in there.listdir(remotepath):
        if type(name) is not str or name in ("", os.curdir, os.pardir) or os.path.basename(name) != name:  # noqa: PTH119 - a name, no path
            message = f"the other side lists {name!r:.100} in {remotepath!r}, which is no name of a file; nothing more is copied"
            raise ValueError(message)
        if wanted is None or wanted(name):
            download(conn, join(remotepath, name), target / name, wanted, ignore_invalid=True, chunk_size=chunk_size)


def upload_package(conn: Any, module: ModuleType, remotepath: str | None = None, chunk_size: int = CHUNK_SIZE) -> None:
    """Copy a module or a package to the other side.

    Args:
        conn: A classic connection.
        module: The module, as imported here.
        remotepath: The directory that gets the module's file, or the contents of the package; where the other side's Python looks
            for installed modules when left out.
        chunk_size: Bytes to send at once.

    Raises:
        ValueError: When the module has no source.
    """
    try:
        source = Path(inspect.getsourcefile(module) or "").resolve()
    except TypeError:
        source = Path()
    if not source.is_file():
        message = f"cannot upload {module.__name__!r}: it has no source file"
        raise ValueError(message)
    package = source.name == "__init__.py"
    there = conn.modules.os
    if remotepath is None:
        parts = module.__name__.split(".")
        remotepath = there.path.join(conn.modules.sysconfig.get_path("purelib"), *(parts if package else parts[:-1]))
    if package:
        upload(conn, source.parent, remotepath, lambda name: name != "__pycache__", chunk_size=chunk_size)
    else:
        there.makedirs(remotepath, exist_ok=True)
        upload_file(conn, source, there.path.join(remotepath, source.name), chunk_size)


upload_module = upload_package
