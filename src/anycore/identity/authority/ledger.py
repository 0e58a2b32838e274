"""What an authority has issued: readable JSON in one file, replaced whole, changed by one process at a time."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from anycore.identity.authority.errors import AuthorityError

if TYPE_CHECKING:
    from collections.abc import Iterator

VALID: Final = "valid"
PUBLIC: Final = 0o644
PRIVATE: Final = 0o600


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One certificate.

    Args:
        serial: Its number, in hexadecimal digits.
        name: The common name.
        subject: The distinguished name, with slashes.
        usages: What it may be used for: `server`, `client` or both.
        names: Host names and addresses, as in `dns:server.example.org`.
        begin: The first moment at which it is valid.
        until: The last.
        made_by: The command, or `enrolment`.
        revoked: When it was revoked, or None.
        reason: Why.
        successor: The serial number of the one that `renew` made in its place; empty for none.
    """

    serial: str
    name: str
    subject: str
    usages: tuple[str, ...]
    names: tuple[str, ...]
    begin: datetime
    until: datetime
    made_by: str
    revoked: datetime | None = None
    reason: str = ""
    successor: str = ""

    def state(self, now: datetime) -> str:
        """Return `valid`, `revoked` or `expired`.

        Args:
            now: The present.
        """
        if self.revoked is not None:
            return "revoked"
        return VALID if now <= self.until else "expired"


class Ledger(msgspec.Struct, kw_only=True):
    """All that is remembered.

    Args:
        version: Of the form of the file.
        crl_number: The number of the last revocation list.
        certificates: What was issued, the oldest first.
    """

    version: int = 1
    crl_number: int = 0
    certificates: list[Entry] = msgspec.field(default_factory=list)

    def find(self, which: str) -> list[Entry]:
        """Return the entries of a serial number, whole or its first eight digits or more, or of a name."""
        digits = which.replace(":", "").lower()
        numbered = [one for one in self.certificates if len(digits) >= 8 and one.serial.startswith(digits)]
        return numbered or [one for one in self.certificates if one.name == which]

    def replace(self, old: Entry, new: Entry) -> None:
        """Put an entry in the place of another."""
        self.certificates[self.certificates.index(old)] = new


def load(path: Path) -> Ledger:
    """Read a ledger.

    Raises:
        AuthorityError: It cannot be read.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Ledger)
    except (OSError, msgspec.MsgspecError) as error:
        message = (
            f"{path}: the ledger cannot be read ({error}); restore it from a backup: without it, nothing can be revoked"
        )
        raise AuthorityError(message) from error


def save(path: Path, ledger: Ledger) -> None:
    """Write a ledger in place of the old one."""
    write(path, msgspec.json.format(msgspec.json.encode(ledger), indent=2) + b"\n", PRIVATE)


def write(path: Path, data: bytes, mode: int) -> None:
    """Write a file whole, or leave the old one: a reader sees the one or the other, also after a crash.

    Args:
        path: The file.
        data: What is to be in it.
        mode: Its permissions, from the first moment.

    Raises:
        AuthorityError: The system does not let.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        draft.unlink(missing_ok=True)  # of a process that ended in the middle and had our number
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fchmod(file.fileno(), mode)  # the umask may have taken more away than is wanted
                os.fsync(file.fileno())
            draft.replace(path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror}; see that there is room and that you may write there"
        raise AuthorityError(message) from error


@contextmanager
def alone(directory: Path) -> Iterator[None]:
    """Keep other processes and threads out of a directory for as long as the block lasts.

    Raises:
        AuthorityError: The directory cannot be written to.
    """
    path = directory / ".lock"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE)
    except OSError as error:
        raise AuthorityError(
            f"{path} cannot be opened: {error.strerror}; run this as the owner of the authority"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # the system takes it back when the process ends, however it does
        yield
    finally:
        os.close(descriptor)
