"""Virtual organisations: what a tree of groups is, what its names and members may be. How it is kept lives in `store`.

A group has a dotted name, as in `physics.muons`, which is below `physics`. Who is a member of a group is a member of all below it.
Who administers a group may change it and all below it; to create and to delete a group is to change the one above it. The
administrators of the whole, who alone may change what is at the top, are the group `admins`, which the configuration fills.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from msgspec import Meta

from anycore.access.subjects import NAMES, read_subject, subjects_of

if TYPE_CHECKING:
    from anycore.kernel.call import Identity

ROOT: Final = "admins"
"""The group of those who administer the whole tree. It is not kept in the store, and cannot be changed but in the configuration."""
MAX_NAME: Final = 200
"""Letters of a group's whole name. Keys of a store have room for 400 bytes."""
MAX_SUBJECT: Final = 2000
"""Letters of a member's subject."""
_PART: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,62}\Z")
_KINDS: Final = ("user", "dn", *NAMES)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_SHOWN: Final = 80


class GroupError(Exception):
    """A change of the tree cannot be made, or a question not be answered; the message says what was expected."""


class NoGroupError(GroupError):
    """There is no such group."""


class ForbiddenError(GroupError):
    """Who asks does not administer the group."""


class TooManyError(GroupError):
    """A bound of the tree is reached."""


def check_name(name: str, max_depth: int) -> str:
    """Return the name of a group that may be in the tree.

    Args:
        name: The name.
        max_depth: Parts that it may have.

    Raises:
        GroupError: When it cannot be one.
    """
    parts = name.split(".") if len(name) <= MAX_NAME else []
    if not parts or not all(_PART.match(part) for part in parts):
        raise GroupError(
            f"{name[:_SHOWN]!r} cannot be the name of a group: expected letters, digits, underscores and hyphens, in parts of at most 63"
            f" joined by dots, {MAX_NAME} in all, as in physics.muons"
        )
    if parts[0] == ROOT:
        raise GroupError(
            f"{name[:_SHOWN]!r}: the group {ROOT} is made by the server; set `admins` in the table [groups] of its configuration"
        )
    if len(parts) > max_depth:
        raise GroupError(f"{name[:_SHOWN]!r} is {len(parts)} levels deep: expected at most {max_depth}")
    return name


def check_subject(text: str) -> str:
    """Return a member or administrator as it is compared.

    Args:
        text: A distinguished name or the beginning of one, or another subject of a single person or machine.

    Raises:
        GroupError: When it cannot be one.
    """
    if len(text) > MAX_SUBJECT or _CONTROL.search(text):
        raise GroupError(
            f"{text[:_SHOWN]!r} cannot be a member: expected at most {MAX_SUBJECT} letters, and no control characters"
        )
    try:
        found = read_subject(f"dn:{text}" if text.startswith("/") else text)
    except ValueError:
        found = ""
    if found.partition(":")[0] not in _KINDS or ":" not in found:
        raise GroupError(
            f"{text[:_SHOWN]!r} cannot be a member: expected a distinguished name or the beginning of one, as in /DC=org/CN=Alice, or a"
            f" name of one of the kinds {', '.join(_KINDS)}, as in user:bob"
        )
    return found


def parent_of(name: str) -> str:
    """Return the group above a group; an empty string for one at the top."""
    return name.rpartition(".")[0]


def lineage(name: str) -> list[str]:
    """Return a group and all above it, the top one first."""
    parts = name.split(".")
    return [".".join(parts[: count + 1]) for count in range(len(parts))]


def is_within(name: str, above: str) -> bool:
    """Tell whether a group is another one, or below it."""
    return name == above or name.startswith(f"{above}.")


def single(identity: Identity) -> list[str]:
    """Return the subjects that an identity is, of those that can be members; nothing for who has not shown who it is."""
    return sorted(
        subject for subject in subjects_of(identity, ()) if ":" in subject and subject.partition(":")[0] in _KINDS
    )


def label(identity: Identity) -> str:
    """Return an identity as the audit trail names it: its distinguished name, or else its name."""
    return identity.dn or (identity.kind if identity.kind == "anonymous" else f"user:{identity.name}")


class GroupSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table `[groups]`: the tree of groups that is kept in the store.

    Args:
        admins: Who administers the whole tree: distinguished names or beginnings of them, or subjects as in rules.
        groups: Groups in the tree.
        members: Members of a group, and administrators of it.
        depth: Levels of the tree.
        audit: Changes that are remembered; the oldest ones go.
    """

    admins: Annotated[tuple[str, ...], Meta(examples=["/DC=org/DC=example/CN=Alice"])] = ()
    groups: int = 10_000
    members: int = 100_000
    depth: int = 16
    audit: int = 100_000
