"""What is kept of a group, a member and a change, and under which keys. What is done with it is in `store`.

Keys of the namespace, with H for a hash of a subject, as subjects may be longer than keys:

    group/NAME            a `GroupRecord`
    member/NAME/H         an `Entry`, for each member of a group       in/H/NAME     the same the other way round, empty
    admin/NAME/H          an `Entry`, for each administrator           over/H/NAME   the same the other way round, empty
    audit/N               an `AuditRecord`, for the Nth change         generation    how many changes there were
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

import msgspec

if TYPE_CHECKING:
    from anycore.store.base import Transaction

Part = Literal["member", "admin"]
PARTS: Final[tuple[Part, Part]] = ("member", "admin")
GENERATION: Final = b"generation"
_REVERSE: Final = {"member": "in", "admin": "over"}
T = TypeVar("T")


class GroupRecord(msgspec.Struct, frozen=True):
    """What is kept of a group, besides its members and administrators.

    Args:
        description: What it is for, for people.
        created: When it was made, in seconds since 1970.
        by: Who made it.
        member: How many members it has itself.
        admin: How many administrators it has itself.
    """

    description: str
    created: float
    by: str
    member: int = 0
    admin: int = 0


class Entry(msgspec.Struct, frozen=True):
    """A member or administrator of a group.

    Args:
        subject: Who it is.
        since: Since when, in seconds since 1970.
        by: Who made it one.
    """

    subject: str
    since: float
    by: str


class AuditRecord(msgspec.Struct, frozen=True):
    """One change of the tree.

    Args:
        number: Which change it was, counted from 1.
        time: When, in seconds since 1970.
        who: Who made it.
        action: What it was, as in `add_member`.
        group: The group that was changed.
        detail: The subject that was added or removed, or a description.
    """

    number: int
    time: float
    who: str
    action: str
    group: str
    detail: str = ""


def names(transaction: Transaction, prefix: str = "") -> list[str]:
    """Return the names of the groups that begin so, in order."""
    return [key[6:].decode() for key, _ in transaction.scan(f"group/{prefix}".encode())]


def group_key(name: str) -> bytes:
    """Return the key of a group."""
    return f"group/{name}".encode()


def entry_key(part: Part, name: str, subject: str) -> bytes:
    """Return the key of a member or administrator."""
    return f"{part}/{name}/".encode() + _hash(subject)


def reverse_key(part: Part, name: str, subject: str) -> bytes:
    """Return the key that says the same the other way round; with an empty name, what all of a subject begin with."""
    return f"{_REVERSE[part]}/".encode() + _hash(subject) + f"/{name}".encode()


def _hash(subject: str) -> bytes:
    return hashlib.sha256(subject.encode()).digest()


def audit_key(number: int) -> bytes:
    """Return the key of a change."""
    return b"audit/" + number.to_bytes(8)


def number_of(found: bytes | None) -> int:
    """Return how many changes there were, of the value that says so."""
    return 0 if found is None else int.from_bytes(found)


def decode(kind: type[T], found: bytes) -> T:
    """Return a record."""
    decoded: Any = msgspec.msgpack.decode(found, type=kind)
    return decoded  # type: ignore[no-any-return]


def no_group(name: str) -> str:
    """Return what there is to say of a group that there is not."""
    return f"there is no group {name[:100]!r}; group.list names those you may see"
