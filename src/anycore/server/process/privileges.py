"""Becoming another user once everything that needs root is open: accounts, changed root directories, and no way back."""

from __future__ import annotations

import grp
import importlib
import logging
import os
import pkgutil
import pwd
from contextlib import suppress
from typing import Final

import msgspec

import anycore
from anycore.kernel.version import own_version
from anycore.server.errors import StartupError

_log = logging.getLogger("anycore.server")

_NO_NEW_PRIVS: Final = 38  # PR_SET_NO_NEW_PRIVS of prctl(2)
_NOT_SERVED: Final = ("anycore.cli", "anycore.testing", "anycore.compat", "anycore.__main__")
_LATE: Final = (
    "encodings.idna",
    "concurrent.futures.thread",
    "concurrent.futures.process",
    "traceback",
    "linecache",
    "zlib",
)
"""What the standard library imports late, and what serving may come to."""


class Account(msgspec.Struct, frozen=True):
    """Whom a process runs as.

    Args:
        name: The user's name; empty for a number without an entry.
        uid: The user's number.
        gid: The group's number.
        home: The user's directory.
    """

    name: str
    uid: int
    gid: int
    home: str


def find_account(user: str, group: str) -> Account | None:
    """Return whom the settings `user` and `group` mean; None when both are empty.

    Args:
        user: A name or a number, or an empty string for the process's own.
        group: A name or a number, or an empty string for the user's own.

    Raises:
        StartupError: When there is none of that name, or a process that is not root should become another.
    """
    if not user and not group:
        return None
    entry = _user(user) if user else None
    uid = entry.pw_uid if entry else int(user) if user else os.geteuid()
    gid = _group(group) if group else entry.pw_gid if entry else os.getegid() if uid == os.geteuid() else uid
    if os.geteuid() != 0 and (uid, gid) != (os.geteuid(), os.getegid()):
        message = f"only root can become user {user or uid}, group {group or gid}; start as root, or leave --user and --group out"
        raise StartupError(message)
    return Account(entry.pw_name if entry else "", uid, gid, entry.pw_dir if entry else "/")


def _user(user: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwuid(int(user)) if user.isdigit() else pwd.getpwnam(user)
    except KeyError:
        if user.isdigit():
            return None
        message = f"there is no user {user!r}; make one with `useradd --system {user}`, or correct --user"
        raise StartupError(message) from None


def _group(group: str) -> int:
    if group.isdigit():
        return int(group)
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        message = f"there is no group {group!r}; make one with `groupadd --system {group}`, or correct --group"
        raise StartupError(message) from None


def drop(account: Account | None, root: str = "") -> None:
    """Change the root directory and become another user, for good.

    All that the server may come to import is imported first: afterwards Python's own files may be out of reach.

    Args:
        account: Whom to become; None to stay.
        root: The new root directory; empty for none.

    Raises:
        StartupError: When the system refuses.
    """
    leaves = account is not None and os.geteuid() == 0 and account.uid != 0
    if not root and not leaves:
        return
    import_all()
    try:
        if root:
            os.chroot(root)
            os.chdir("/")
        if account is not None and os.geteuid() == 0:
            _become(account)
    except OSError as error:
        doing = (
            f"make {root} the root directory"
            if root
            else f"become user {account.name or account.uid}"
            if account
            else ""
        )
        message = f"cannot {doing}: {error.strerror}; start as root, or leave --chroot, --user and --group out"
        raise StartupError(message) from error


def _become(account: Account) -> None:
    if account.name:
        os.initgroups(account.name, account.gid)
    else:
        os.setgroups([])
    os.setresgid(account.gid, account.gid, account.gid)
    os.setresuid(account.uid, account.uid, account.uid)
    os.environ.update(
        HOME=account.home, USER=account.name or str(account.uid), LOGNAME=account.name or str(account.uid)
    )
    if account.uid != 0:
        _close_the_way_back()
        _log.info("running as user %s, group %d", account.name or account.uid, account.gid)


def _close_the_way_back() -> None:
    """See that root is gone, and that no program that is started can bring it back (prctl(2), PR_SET_NO_NEW_PRIVS)."""
    with suppress(PermissionError):
        os.setuid(0)
        message = "the system let the process become root again; start it without --user, under a supervisor that changes the user"
        raise StartupError(message)
    import ctypes  # imported before, by `import_all`

    with suppress(AttributeError):  # not on this system
        ctypes.CDLL(None).prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)


def import_all() -> None:
    """Import every module that serving may come to; those of extras that are not installed aside."""
    names = [module.name for module in pkgutil.walk_packages(anycore.__path__, "anycore.", onerror=lambda _: None)]
    for name in ("ctypes", *_LATE, *names):
        if not name.startswith(_NOT_SERVED):
            with suppress(ImportError):
                importlib.import_module(name)
    own_version()
    with suppress(LookupError):
        "localhost".encode("idna")  # as name look-ups do
