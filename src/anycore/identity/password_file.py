"""The password file: a line for each user, with a hash of the password and the user's groups. Who may sign in with it is `password`'s."""

from __future__ import annotations

import fcntl
import logging
import math
import os
import re
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from anycore.identity.basic import MAX_PASSWORD, MAX_USER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_log = logging.getLogger("anycore.identity")
_HASH: Final = re.compile(r"\$argon2id\$v=19\$m=\d+,t=\d+,p=\d+\$[A-Za-z0-9+/]+\$[A-Za-z0-9+/]+\Z")
_GROUP: Final = re.compile(r"[^\s:,]+\Z")
_HEAD: Final = (
    "# Users of an Anycore server: name, argon2id hash of the password, groups. Edit it with `anycore passwd`.\n"
)


class PasswordFileError(Exception):
    """A password file cannot be read or written; the message says where and why."""


class User(msgspec.Struct, frozen=True):
    """A line of the file.

    Args:
        name: The user's name.
        hash: The password's hash, in the form that argon2 itself writes (PHC string format).
        groups: The user's groups.
    """

    name: str
    hash: str
    groups: tuple[str, ...] = ()


def read_users(path: Path) -> dict[str, User]:
    """Return the users of a file, by name.

    Args:
        path: The file.

    Raises:
        PasswordFileError: It cannot be read, or a line of it makes no sense.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        message = f"the password file {path} cannot be read: {reason}; make one with `anycore passwd {path} USER`"
        raise PasswordFileError(message) from error
    users: dict[str, User] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            user = _user(line, f"{path}, line {number}")
            if user.name in users:
                raise PasswordFileError(f"{path}, line {number}: {user.name!r} is there already; remove one of them")
            users[user.name] = user
    return users


def _user(line: str, place: str) -> User:
    name, *rest = line.split(":")
    if len(rest) not in (1, 2):
        raise PasswordFileError(f"{place}: expected name:hash:group,group; write it with `anycore passwd`")
    if not _HASH.match(rest[0]):
        raise PasswordFileError(f"{place}: this is no argon2id hash; set the password again with `anycore passwd`")
    groups = tuple(filter(None, rest[1].split(","))) if len(rest) == 2 else ()
    return User(check_name(name, place), rest[0], groups)


def check_name(name: str, place: str = "user name") -> str:
    """Return a name that a user may have.

    Args:
        name: The name.
        place: Where it stands, for the message.

    Raises:
        PasswordFileError: It is none.
    """
    if not name or len(name) > MAX_USER or ":" in name or not name.isprintable() or name.startswith("#"):
        message = (
            f"{place}: {name[:100]!r} cannot be a user's name; it has 1 to {MAX_USER} printable characters, no colon, and does not"
            " begin with #"
        )
        raise PasswordFileError(message)
    return name


def check_password(password: str) -> str:
    """Return a password that a user may have.

    Raises:
        PasswordFileError: It is empty, too long, or has control characters, which HTTP does not carry.
    """
    if not password or len(password) > MAX_PASSWORD or any(letter < " " or letter == "\x7f" for letter in password):
        message = f"a password has 1 to {MAX_PASSWORD} characters, and no control characters"
        raise PasswordFileError(message)
    return password


def check_group(group: str) -> str:
    """Return a name that a group may have.

    Raises:
        PasswordFileError: It is none.
    """
    if not _GROUP.match(group):
        raise PasswordFileError(f"{group!r} cannot be a group's name; it has no spaces, colons or commas")
    return group


def write_users(path: Path, users: Mapping[str, User]) -> None:
    """Put users into a file in place of those that were there, in one step, and for its owner alone to read.

    Args:
        path: The file.
        users: The users, by name.

    Raises:
        PasswordFileError: It cannot be written.
    """
    lines = [f"{user.name}:{user.hash}:{','.join(user.groups)}\n" for _, user in sorted(users.items())]
    try:
        number, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        made = Path(name)
        try:
            with os.fdopen(number, "w", encoding="utf-8") as file:
                if path.exists():
                    _keep_access(path, number)
                file.write(_HEAD + "".join(lines))
                file.flush()
                os.fsync(number)
            made.replace(path)
        except BaseException:
            made.unlink(missing_ok=True)
            raise
    except OSError as error:
        message = f"the password file {path} cannot be written: {error.strerror}; its directory must exist and be yours"
        raise PasswordFileError(message) from error


def _keep_access(path: Path, number: int) -> None:
    """Give a file the owner and the permissions of the one in whose place it will come."""
    before = path.stat()
    os.fchmod(number, before.st_mode & 0o7777)
    if (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
        os.fchown(number, before.st_uid, before.st_gid)


@contextmanager
def editing(path: Path) -> Iterator[dict[str, User]]:
    """Give the users of a file to be changed, and write them back; whoever else edits it waits meanwhile.

    Args:
        path: The file; it is made if there is none.

    Raises:
        PasswordFileError: It cannot be read or written. It is left as it was then.
    """
    try:
        directory = os.open(path.parent, os.O_RDONLY)
    except OSError as error:
        message = f"the password file {path} cannot be written: {error.strerror}; its directory must exist and be yours"
        raise PasswordFileError(message) from error
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)  # the file itself is replaced, so it is no place for a lock
        users = read_users(path) if path.exists() else {}
        before = dict(users)
        yield users
        if users != before:
            write_users(path, users)
    finally:
        os.close(directory)


class PasswordFile:
    """A password file that is read again whenever it has changed. Safe for threads.

    What cannot be read leaves in force what was read before, and is logged.

    Args:
        path: The file.
        interval: Seconds between two looks at the file.

    Raises:
        PasswordFileError: It cannot be used.
    """

    def __init__(self, path: Path, interval: float = 0.1) -> None:
        self.path = path
        self._interval = interval
        self._looked: tuple[float, tuple[int, ...]] = (-math.inf, ())
        # What the file looked like, and what was in it: one attribute, so that threads see both or neither.
        stamp = self.look()
        self._read: tuple[tuple[int, ...], dict[str, User]] = (stamp, read_users(path))

    def look(self) -> tuple[int, ...]:
        """Return what changes whenever the file does; what was found out about a password holds for as long as this is the same."""
        now = time.monotonic()
        then, stamp = self._looked
        if now - then < self._interval:
            return stamp
        try:
            found = self.path.stat()
            stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
        except OSError:
            stamp = ()
        self._looked = (now, stamp)
        return stamp

    def users(self) -> Mapping[str, User]:
        """Return the users, as they are in the file now."""
        stamp = self.look()
        if self._read[0] != stamp:
            try:
                self._read = (stamp, read_users(self.path))
                _log.info("the password file %s was read again", self.path)
            except PasswordFileError as error:
                self._read = (stamp, self._read[1])
                _log.error("%s; what it said before stays in force", error)
        return self._read[1]
