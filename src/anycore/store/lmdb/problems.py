"""What LMDB's errors, and those of the system, mean to who uses the store."""

from __future__ import annotations

import errno
import os
import resource
from pathlib import Path
from typing import Final

import lmdb

from anycore.store.errors import StoreError, StoreFullError

_NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_DAMAGED: Final = (lmdb.InvalidError, lmdb.CorruptedError, lmdb.PageNotFoundError, lmdb.VersionMismatchError)
_SHORT: Final = 1 << 20


def explain(error: Exception, path: str, max_size: int) -> StoreError:
    """Return what to raise instead of an error.

    Args:
        error: The error, of LMDB or of the system.
        path: The directory of the store.
        max_size: Bytes that the store may have.
    """
    if isinstance(error, StoreError):
        return error
    name = f"lmdb:{path}"
    code = getattr(error, "errno", None) or getattr(error, "code", 0)
    if code == errno.EIO and no_room(Path(path)):
        code = errno.ENOSPC
    if code in _NO_SPACE:
        return StoreFullError(
            f"{name}: {os.strerror(code)}: nothing of this transaction has been stored, and nothing else is lost; "
            "make room on the disk, or remove keys"
        )
    if isinstance(error, lmdb.MapFullError):
        return StoreFullError(
            f"{name}: it has reached its max_size of {max_size:,} bytes: nothing of this transaction has been "
            "stored, and nothing else is lost; remove keys, or set a higher max_size"
        )
    if isinstance(error, lmdb.ReadersFullError):
        return StoreError(f"{name}: too many transactions read it at the same time: end some")
    if code in (errno.EACCES, errno.EPERM, errno.EROFS):
        return StoreError(f"{name}: {os.strerror(code)}: this user must be able to write there, or name another place")
    if isinstance(error, _DAMAGED):
        return StoreError(f"{name}: it is damaged, or no store: {error}; load a dump into a new one")
    return StoreError(f"{name}: {error}")


def no_room(directory: Path) -> bool:
    """Tell whether a write that LMDB says was cut short, without a reason, was so because there is no room.

    Args:
        directory: Of the store.
    """
    space, data = os.statvfs(directory), directory / "data.mdb"
    free = (space.f_bavail if os.geteuid() else space.f_bfree) * space.f_frsize
    most = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    return free < _SHORT or (most != resource.RLIM_INFINITY and data.stat().st_size > most - _SHORT)
