"""The tree of groups in the store: reading and changing it. Who may change what is asked here, in the transaction of the change."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Final

import msgspec

from anycore.access.groups.records import (
    GENERATION,
    PARTS,
    AuditRecord,
    Entry,
    GroupRecord,
    Part,
    audit_key,
    decode,
    entry_key,
    group_key,
    names,
    no_group,
    number_of,
    reverse_key,
)
from anycore.access.groups.tree import (
    ROOT,
    ForbiddenError,
    GroupError,
    GroupSettings,
    NoGroupError,
    TooManyError,
    check_name,
    check_subject,
    label,
    lineage,
    parent_of,
    single,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from anycore.kernel.call import Identity
    from anycore.store.base import Store, Transaction

_WORD: Final = {"member": "member", "admin": "administrator"}
_MAX_DESCRIPTION: Final = 1000


class Groups:
    """The tree of groups. May be used by several threads.

    Every change is one transaction, in which the right to make it is looked up as well.

    Args:
        store: Returns the namespace it is kept in, in this process.
        settings: Its bounds, and who administers the whole.

    Raises:
        GroupError: When an administrator of the settings cannot be one.
    """

    def __init__(self, store: Callable[[], Store], settings: GroupSettings | None = None) -> None:
        self.settings = settings if settings is not None else GroupSettings()
        self.roots = frozenset(map(check_subject, self.settings.admins))
        self._store = store

    def generation(self) -> int:
        """Return how many changes there were: nothing has changed while it stays the same."""
        return number_of(self._store().get(GENERATION))

    def create(self, name: str, description: str = "", *, actor: Identity | str) -> None:
        """Make a group, below one that exists or at the top.

        Args:
            name: Its name.
            description: What it is for, for people.
            actor: Who wants it: an identity, whose right is looked up, or the name of who may do everything.

        Raises:
            GroupError: When it cannot be made, or not by this actor.
        """
        check_name(name, self.settings.depth)
        above = parent_of(name)
        with self._change(actor, above, "create", name, _described(description)) as change:
            if above:
                change.record(above)
            if change.found(name) is not None:
                raise GroupError(f"there is a group {name} already; choose another name")
            count = sum(1 for _ in change.transaction.scan(b"group/", limit=self.settings.groups))
            if count >= self.settings.groups:
                raise TooManyError(f"there are {count} groups; raise `groups` in the table [groups], or delete some")
            change.write(name, GroupRecord(description, change.now, change.who))

    def delete(self, name: str, *, recursive: bool = False, actor: Identity | str) -> list[str]:
        """Delete a group; who administers the one above it may.

        Args:
            name: The group.
            recursive: Whether those below it go as well; otherwise one that has some stays.
            actor: Who wants it; see `create`.

        Returns:
            The names of what was deleted.

        Raises:
            GroupError: When it cannot be deleted, or not by this actor.
        """
        check_name(name, self.settings.depth)
        with self._change(actor, parent_of(name), "delete", name) as change:
            change.record(name)
            below = change.names(f"{name}.")
            if below and not recursive:
                raise GroupError(f"{name} has groups below it, such as {below[0]}; delete those first, or all with it")
            for gone in (name, *below):
                change.remove_all(gone)
            if below:
                change.detail = f"and {len(below)} below it"
            return [name, *below]

    def describe(self, name: str, description: str, *, actor: Identity | str) -> None:
        """Say what a group is for.

        Args:
            name: The group.
            description: What it is for.
            actor: Who wants it; see `create`.

        Raises:
            GroupError: When there is no such group, or not by this actor.
        """
        check_name(name, self.settings.depth)
        with self._change(actor, name, "describe", name, _described(description)) as change:
            change.write(name, msgspec.structs.replace(change.record(name), description=description))

    def add(self, part: Part, name: str, subject: str, *, actor: Identity | str) -> bool:
        """Make somebody a member or administrator of a group.

        Args:
            part: Which of the two.
            name: The group.
            subject: Who: a distinguished name or the beginning of one, or another subject, as in `user:bob`.
            actor: Who wants it; see `create`.

        Returns:
            Whether it was none before.

        Raises:
            GroupError: When it cannot be done, or not by this actor.
        """
        check_name(name, self.settings.depth)
        subject = check_subject(subject)
        with self._change(actor, name, f"add_{part}", name, subject) as change:
            record = change.record(name)
            key = entry_key(part, name, subject)
            if change.transaction.get(key) is not None:
                change.nothing = True
                return False
            count = getattr(record, part)
            if count >= self.settings.members:
                message = (
                    f"{name} has {count} {_WORD[part]}s; raise `members` in the table [groups], or make groups below it"
                )
                raise TooManyError(message)
            change.transaction.put(key, msgspec.msgpack.encode(Entry(subject, change.now, change.who)))
            change.transaction.put(reverse_key(part, name, subject), b"")
            change.write(name, msgspec.structs.replace(record, **{part: count + 1}))
            return True

    def remove(self, part: Part, name: str, subject: str, *, actor: Identity | str) -> bool:
        """Let somebody be no member or administrator of a group itself any more.

        Args:
            part: Which of the two.
            name: The group.
            subject: Who; exactly what was added.
            actor: Who wants it; see `create`.

        Returns:
            Whether it was one.

        Raises:
            GroupError: When it cannot be done, or not by this actor.
        """
        check_name(name, self.settings.depth)
        subject = check_subject(subject)
        with self._change(actor, name, f"remove_{part}", name, subject) as change:
            record = change.record(name)
            if not change.transaction.delete(entry_key(part, name, subject)):
                change.nothing = True
                return False
            change.transaction.delete(reverse_key(part, name, subject))
            change.write(name, msgspec.structs.replace(record, **{part: getattr(record, part) - 1}))
            return True

    def names(self, above: str = "") -> list[str]:
        """Return the names of all groups, or of one and those below it, in order."""
        with self._store().transaction(write=False) as transaction:
            own = [above] if above and transaction.get(group_key(above)) is not None else []
            return [*own, *names(transaction, f"{above}." if above else "")]

    def record(self, name: str) -> GroupRecord:
        """Return what is kept of a group.

        Raises:
            NoGroupError: When there is none.
        """
        found = self._store().get(group_key(name))
        if found is None:
            raise NoGroupError(no_group(name))
        return decode(GroupRecord, found)

    def entries(self, part: Part, name: str) -> list[Entry]:
        """Return the members or administrators that a group has itself, by subject.

        Raises:
            NoGroupError: When there is no such group.
        """
        if name == ROOT:
            return [Entry(subject, 0.0, "the configuration") for subject in sorted(self.roots)]
        with self._store().transaction(write=False) as transaction:
            if transaction.get(group_key(name)) is None:
                raise NoGroupError(no_group(name))
            found = [decode(Entry, value) for _, value in transaction.scan(f"{part}/{name}/".encode())]
        return sorted(found, key=lambda entry: entry.subject)

    def audit(self, above: str = "", *, limit: int = 100, before: int | None = None) -> list[AuditRecord]:
        """Return the latest changes, the last one first.

        Args:
            above: Only of this group and those below it; of all when left out.
            limit: How many at most.
            before: Only those with a lower number.
        """
        found: list[AuditRecord] = []
        with self._store().transaction(write=False) as transaction:
            number = number_of(transaction.get(GENERATION))
            if before is not None:
                number = min(number, before - 1)
            while number > 0 and len(found) < limit:
                value = transaction.get(audit_key(number))
                if value is None:
                    break
                record = decode(AuditRecord, value)
                if not above or record.group == above or record.group.startswith(f"{above}."):
                    found.append(record)
                number -= 1
        return found

    def reached(self, part: Part, identity: Identity) -> frozenset[str]:
        """Return the groups that an identity is in, or that it may change, with all below them.

        Args:
            part: `member` for those it is in, `admin` for those it may change.
            identity: The identity.
        """
        subjects = single(identity)
        root = not self.roots.isdisjoint(subjects)
        with self._store().transaction(write=False) as transaction:
            if part == "admin" and root:
                return frozenset(names(transaction))
            found: set[str] = set()
            for subject in subjects:
                prefix = reverse_key(part, "", subject)
                for key, _ in transaction.scan(prefix):
                    name = key[len(prefix) :].decode()
                    found.add(name)
                    found.update(names(transaction, f"{name}."))
        return frozenset(found | {ROOT}) if root else frozenset(found)

    def is_root(self, identity: Identity) -> bool:
        """Tell whether an identity administers the whole tree."""
        return not self.roots.isdisjoint(single(identity))

    @contextlib.contextmanager
    def _change(
        self, actor: Identity | str, where: str, action: str, group: str, detail: str = ""
    ) -> Iterator[_Change]:
        """Make one change and enter it into the trail, or do nothing.

        Args:
            actor: Who makes it.
            where: The group that the actor must administer; empty for the whole.
            action: What it is called.
            group: The group it concerns.
            detail: What more there is to say.
        """
        with self._store().transaction() as transaction:
            who = actor if isinstance(actor, str) else label(actor)
            change = _Change(transaction, who, detail)
            if not isinstance(actor, str) and not self._may(transaction, actor, where):
                what = f"the group {where}" if where else "the whole tree"
                raise ForbiddenError(
                    f"{who} may not {action.replace('_', ' ')} here: that is for who administers {what}"
                )
            yield change
            if not change.nothing:
                number = number_of(transaction.get(GENERATION)) + 1
                transaction.put(GENERATION, number.to_bytes(8))
                record = AuditRecord(number, change.now, who, action, group, change.detail)
                transaction.put(audit_key(number), msgspec.msgpack.encode(record))
                if number > self.settings.audit:
                    self._forget(transaction, number - self.settings.audit)

    def _may(self, transaction: Transaction, actor: Identity, where: str) -> bool:
        subjects = single(actor)
        if not self.roots.isdisjoint(subjects):
            return True
        groups = lineage(where) if where else []
        return any(transaction.get(entry_key("admin", name, one)) is not None for name in groups for one in subjects)

    @staticmethod
    def _forget(transaction: Transaction, last: int) -> None:
        """Remove records up to a number: one in the long run, more where fewer are to be kept than before."""
        for key, _ in list(transaction.scan(b"audit/", limit=1000)):
            if key > audit_key(last):
                return
            transaction.delete(key)


class _Change:
    """A change of the tree that is under way."""

    def __init__(self, transaction: Transaction, who: str, detail: str) -> None:
        self.transaction = transaction
        self.who = who
        self.detail = detail
        self.now = time.time()
        self.nothing = False

    def found(self, name: str) -> GroupRecord | None:
        found = self.transaction.get(group_key(name))
        return None if found is None else decode(GroupRecord, found)

    def record(self, name: str) -> GroupRecord:
        found = self.found(name)
        if found is None:
            raise NoGroupError(no_group(name))
        return found

    def names(self, prefix: str) -> list[str]:
        return names(self.transaction, prefix)

    def write(self, name: str, record: GroupRecord) -> None:
        self.transaction.put(group_key(name), msgspec.msgpack.encode(record))

    def remove_all(self, name: str) -> None:
        for part in PARTS:
            for key, value in list(self.transaction.scan(f"{part}/{name}/".encode())):
                self.transaction.delete(key)
                self.transaction.delete(reverse_key(part, name, decode(Entry, value).subject))
        self.transaction.delete(group_key(name))


def _described(text: str) -> str:
    if len(text) > _MAX_DESCRIPTION:
        raise GroupError(f"a description of {len(text)} letters: expected at most {_MAX_DESCRIPTION}")
    return text
