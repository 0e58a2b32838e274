"""The `group` plugin: virtual organisations, seen and changed by callers. What a tree of groups is, is in `access.groups`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

import msgspec

from anycore.access.groups.tree import ROOT, ForbiddenError, GroupError, TooManyError
from anycore.kernel.call import Call
from anycore.kernel.plugin import Plugin, exposed
from anycore.wire.faults import ACCESS_DENIED, INVALID_PARAMS, OVERLOADED, Fault

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from anycore.access.groups.store import Groups
    from anycore.kernel.call import Identity

    T = TypeVar("T")

_MOST: Final = 1000
Part = Literal["member", "admin"]


class Group(Plugin):
    """Virtual organisations: a tree of groups, their members, and who administers them.

    Args:
        groups: The tree.
        changed: Called after each change.
    """

    name: ClassVar[str] = "group"

    def __init__(self, groups: Groups, changed: Callable[[], None] = lambda: None) -> None:
        self._groups = groups
        self._changed = changed

    @exposed
    def create(self, name: str, call: Call, description: str = "") -> bool:
        """Make a group, for who administers the one above it, or the whole tree; return true."""
        self._change(lambda: self._groups.create(name, description, actor=call.identity))
        return True

    @exposed
    def delete(self, name: str, call: Call, recursive: bool = False) -> list[str]:
        """Delete a group, and with `recursive` all below it, for who administers the one above it; return the names of what has gone."""
        return self._change(lambda: self._groups.delete(name, recursive=recursive, actor=call.identity))

    @exposed
    def describe(self, name: str, description: str, call: Call) -> bool:
        """Say what a group is for, for who administers it; return true."""
        self._change(lambda: self._groups.describe(name, description, actor=call.identity))
        return True

    @exposed
    def add_member(self, name: str, subject: str, call: Call) -> bool:
        """Make somebody a member of a group and of all below it, for who administers it; return whether it was none of its own before.

        A subject is a distinguished name or the beginning of one, as in `/DC=org/CN=Alice`, or a name as in `user:bob`.
        """
        return self._change(lambda: self._groups.add("member", name, subject, actor=call.identity))

    @exposed
    def remove_member(self, name: str, subject: str, call: Call) -> bool:
        """Take a member from a group, for who administers it; return whether it was one of its own."""
        return self._change(lambda: self._groups.remove("member", name, subject, actor=call.identity))

    @exposed
    def add_admin(self, name: str, subject: str, call: Call) -> bool:
        """Let somebody administer a group and all below it, for who does so itself; return whether it did not before."""
        return self._change(lambda: self._groups.add("admin", name, subject, actor=call.identity))

    @exposed
    def remove_admin(self, name: str, subject: str, call: Call) -> bool:
        """Let somebody administer a group no longer, for who does so itself; return whether it did."""
        return self._change(lambda: self._groups.remove("admin", name, subject, actor=call.identity))

    @exposed(name="list")
    def list_groups(self, call: Call, above: str = "") -> list[str]:
        """Return the groups that the caller is in or administers, with all below them; only those below one if it is given."""
        found = self._seen(call.identity)
        return sorted(name for name in found if not above or name == above or name.startswith(f"{above}."))

    @exposed
    def mine(self, call: Call) -> list[str]:
        """Return the groups that the caller is in, with all below them."""
        return sorted(self._groups.reached("member", call.identity))

    @exposed
    def is_member(self, name: str, call: Call) -> bool:
        """Tell whether the caller is in a group, be it as a member of one above it."""
        return name in self._groups.reached("member", call.identity)

    @exposed
    def members(self, name: str, call: Call) -> list[str]:
        """Return the subjects that a group has as members of its own, for who is in it or administers it."""
        return self._entries("member", name, call)

    @exposed
    def admins(self, name: str, call: Call) -> list[str]:
        """Return the subjects that administer a group itself, for who is in it or administers it."""
        return self._entries("admin", name, call)

    @exposed
    def info(self, name: str, call: Call) -> dict[str, Any]:
        """Return what there is to know of a group, for who is in it or administers it."""
        self._see(name, call)
        if name == ROOT:
            count = len(self._groups.roots)
            return {"name": name, "description": "who administers the whole tree", "members": count, "admins": 0}
        record = self._ask(lambda: self._groups.record(name))
        return {
            "name": name,
            "description": record.description,
            "members": record.member,
            "admins": record.admin,
            "below": self._groups.names(name)[1:],
            "created": datetime.fromtimestamp(record.created, UTC),
            "by": record.by,
        }

    @exposed
    def audit(self, call: Call, name: str = "", limit: int = 100, before: int = 0) -> list[dict[str, Any]]:
        """Return the latest changes of a group and of those below it, the last one first, for who administers it.

        Without a name it is those of the whole tree, for who administers that. At most 1000 at a time; give the lowest number of them as
        `before` to have those that came before.
        """
        identity = call.identity
        allowed = name in self._groups.reached("admin", identity) if name else self._groups.is_root(identity)
        if not (allowed or self._groups.is_root(identity)):
            message = f"group.audit: that is for who administers {name[:100] or 'the whole tree'}"
            raise Fault(ACCESS_DENIED, message)
        if not 0 < limit <= _MOST:
            raise Fault(INVALID_PARAMS, f"group.audit: parameter 'limit': expected 1 to {_MOST}; it was given {limit}")
        records = self._groups.audit(name, limit=limit, before=before or None)
        return [{**msgspec.structs.asdict(one), "time": datetime.fromtimestamp(one.time, UTC)} for one in records]

    def _entries(self, part: Part, name: str, call: Call) -> list[str]:
        self._see(name, call)
        if name == ROOT and part == "admin":
            return []
        return [entry.subject for entry in self._ask(lambda: self._groups.entries(part, name))]

    def _seen(self, identity: Identity) -> frozenset[str]:
        return self._groups.reached("member", identity) | self._groups.reached("admin", identity)

    def _see(self, name: str, call: Call) -> None:
        """Refuse whom a group does not concern, in the words of a group that there is not."""
        if name not in self._seen(call.identity):
            message = f"{call.name}: there is no group {name[:100]!r} that you are in or administer; group.list names those there are"
            raise Fault(INVALID_PARAMS, message)

    def _change(self, change: Callable[[], T]) -> T:
        done = self._ask(change)
        self._changed()
        return done

    @staticmethod
    def _ask(question: Callable[[], T]) -> T:
        try:
            return question()
        except ForbiddenError as error:
            raise Fault(ACCESS_DENIED, str(error)) from error
        except TooManyError as error:
            raise Fault(OVERLOADED, str(error)) from error
        except GroupError as error:
            raise Fault(INVALID_PARAMS, str(error)) from error
