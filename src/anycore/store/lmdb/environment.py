"""LMDB's environment: the map of the file, how it is opened, grown and forked with. Knows no record's meaning."""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import lmdb

from anycore.store.errors import StoreError
from anycore.store.lmdb.gate import Gate
from anycore.store.lmdb.problems import explain

if TYPE_CHECKING:
    from collections.abc import Callable

FORMAT: Final = b"1"
_FIRST_SIZE: Final = 1 << 30  # of address space; the file takes what is in it
_UNCHECKED: Final = 50
_CLOSING: Final = 5.0
_MAX_READERS: Final = 1024
GUARD: Final = "guard"
"""The file whose lock all who use the store share, and `compact` has alone."""


class Options(NamedTuple):
    """How a store is opened.

    Args:
        durability: What a commit that has returned survives: `commit`, `integrity` or `process`; see the reference.
        max_size: Bytes that the file may have.
        first_size: Bytes of address space to begin with.
    """

    durability: str = "commit"
    max_size: int = 1 << 40
    first_size: int = _FIRST_SIZE

    @property
    def reserve(self) -> int:
        """Bytes that the file may have beyond, so that keys can be removed from a store that is full."""
        return max(1 << 20, self.max_size >> 6)


class Environment(Gate):
    """The map of one store's file in this process, closed until `open` is called.

    Args:
        path: The directory.
        options: How to open it.

    Attributes:
        records: The values by key.
        ends: Which key ends when.
        changes: What the last transactions have changed.
        changed: Notified when this process has changed something, and somebody waits for that.
        waiting: How many do.
    """

    def __init__(self, path: str, options: Options) -> None:
        super().__init__(f"lmdb:{path}", self._refuse)
        self.path = path
        self.options = options
        self.changed = threading.Condition()
        self.waiting = 0
        self._unchecked = 0
        self._lost = ""
        self._quiet_at_fork = True
        self._environment: lmdb.Environment | None = None
        self._guard = -1
        self.ends: Any = None
        self.changes: Any = None
        self._about: Any = None

    def open(self) -> None:
        """Open the file.

        Raises:
            StoreError: When that is not possible.
        """
        try:
            directory = Path(self.path)
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._guard = os.open(directory / GUARD, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._guard, fcntl.LOCK_SH)
            self._environment = self._map(directory / "data.mdb")
            self._prepare(self._environment)
        except (OSError, lmdb.Error) as error:
            self._shut()
            raise self.explain(error) from error
        except BaseException:
            self._shut()
            raise
        self.begin = self._environment.begin

    def _map(self, data: Path) -> lmdb.Environment:
        durability = self.options.durability
        there = data.stat().st_size if data.exists() else 0
        size = min(max(self.options.first_size, 2 * there), self.limit)
        return lmdb.open(
            self.path,
            map_size=size,
            max_dbs=8,
            max_readers=_MAX_READERS,
            max_spare_txns=0,  # a fork must find none
            mode=0o700,
            sync=durability != "process",
            metasync=durability == "commit",
        )

    def _prepare(self, environment: lmdb.Environment) -> None:
        environment.reader_check()
        # Only a transaction that may write keeps the handles it opens, so that opening waits for a writer; reading never does.
        with environment.begin(write=True) as writing:
            opened = [environment.open_db(name, txn=writing) for name in (b"records", b"ends", b"changes", b"about")]
            self.records, self.ends, self.changes, self._about = opened
            version = writing.get(b"format", db=self._about)
            if version is None:
                version = FORMAT
                writing.put(b"format", version, db=self._about)
        if version != FORMAT:
            raise StoreError(f"{self.name}: its format is {version!r}, this program knows {FORMAT!r}: use a newer one")

    @property
    def limit(self) -> int:
        """Bytes that the map may have, in whole pages."""
        return max(1 << 16, self.options.max_size & -4096)

    @property
    def opened(self) -> lmdb.Environment:
        """LMDB's own object, opened again where that is due.

        Raises:
            StoreError: When the store is closed, or cannot be opened.
        """
        if self._environment is None or self._lost:
            if self.begin != self._begin_anew:
                self._refuse()
            self._open_anew()
        assert self._environment is not None
        return self._environment

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise StoreError(f"{self.name}: {self._lost or 'the store has been closed'}")

    def info(self) -> dict[str, int]:
        """Return what LMDB says of the map."""
        return dict(self._asked(lambda opened: opened.info()))

    def check_readers(self) -> None:
        """Forget transactions of processes that are gone."""
        self._asked(lambda opened: opened.reader_check())

    def _asked(self, question: Callable[[lmdb.Environment], Any]) -> Any:
        opened = self.opened
        try:
            return self._marked(lambda: question(opened))
        except lmdb.Error as error:
            raise self.explain(error) from error

    def start(self, *, write: bool) -> Any:
        """Begin a transaction, marked in `active`, and mend what stands in the way of that.

        Raises:
            StoreError: When it cannot be done.
        """
        for attempt in range(4):
            self.active.append(None)
            try:
                return self.begin(self.records, None, write)
            except lmdb.Error as error:
                self.active.pop()
                self.mend(error, last=attempt == 3)
            except BaseException:
                self.active.pop()
                raise
        raise AssertionError("mend() raises on the last attempt")

    def mend(self, error: lmdb.Error, *, last: bool = False) -> None:
        """Do what lets a transaction begin after all.

        Args:
            error: Why it did not.
            last: Whether to give up.

        Raises:
            StoreError: When nothing can be done.
        """
        if last:
            raise self.explain(error) from error
        if isinstance(error, lmdb.MapResizedError):  # another process has made it larger
            self.resize(0)
        elif isinstance(error, lmdb.ReadersFullError):  # some of them may be of processes that were killed
            self.check_readers()
        elif isinstance(error, lmdb.PanicError):  # LMDB could not write where it must, and wants to begin anew
            with self.quiet(self._go_on):
                self._shut()
        else:
            raise self.explain(error) from error

    def resize(self, size: int) -> None:
        """Change the size of the map.

        Args:
            size: Bytes; 0 for what another process has set.

        Raises:
            StoreError: When a transaction of this process does not end.
        """
        opened = self.opened
        try:
            with self.quiet(self._go_on):
                opened.set_mapsize(size)
        except lmdb.Error as error:
            raise self.explain(error) from error

    def _go_on(self) -> None:
        if self._lost:
            self._let_in(self._refuse)
        else:
            self._let_in(self._begin_anew if self._environment is None else self._environment.begin)

    def make_room(self) -> None:
        """Make the map larger now and then if less than a quarter of it is left, so that hardly a transaction comes to its end."""
        self._unchecked -= 1
        if self._unchecked > 0:
            return
        self._unchecked = _UNCHECKED
        found = self.info()
        size = found["map_size"]
        if size < self.limit and (found["last_pgno"] + 1) * 4096 > size - (size >> 2):
            self.resize(min(2 * size, self.limit))

    def larger(self, *, removing: bool) -> bool:
        """Make the map larger after a transaction found no room, and return whether that was possible.

        Args:
            removing: Whether the transaction only removes keys, for which there is a reserve.
        """
        size = self.info()["map_size"]
        limit = self.limit + (self.options.reserve if removing else 0)
        if size >= limit:
            return False
        self.resize(min(max(2 * size, 1 << 20), limit))
        return True

    def leave_reserve(self) -> None:
        """Have the map as small again as it may be."""
        if self.info()["map_size"] > self.limit:
            self.resize(self.limit)

    def turn(self) -> int:
        """Make an empty transaction, after which the room of what the last one has removed can be used, and return its number.

        Raises:
            StoreError: When it cannot be made.
        """
        self.resize(self.limit + self.options.reserve)
        begun = self.start(write=True)
        try:
            number: int = begun.id()
            begun.put(b"turn", b"%d" % number, db=self._about)
            begun.commit()
        except lmdb.Error as error:
            self.undo(begun)
            raise self.explain(error) from error
        finally:
            self.active.pop()
            self.leave_reserve()
        return number

    def _begin_anew(self, _records: object, _parent: object = None, write: bool = False) -> Any:
        """Take the caller's mark away, open the file, and begin."""
        self.active.pop()
        try:
            self._open_anew()
        finally:
            self.active.append(None)
        return self.begin(self.records, None, write)

    def _open_anew(self) -> None:
        with self._alone:
            if self._environment is None:
                self.open()

    # A fork: nobody else runs Anycore's code between these.

    def before_fork(self) -> None:
        """Have no transaction under way at the moment of a fork: the child could not close what it inherits."""
        self._alone.acquire()
        self._hold_back()
        self._quiet_at_fork = not self.writing and self._wait_until_quiet(_CLOSING)

    def after_fork_in_parent(self) -> None:
        """Go on."""
        self._go_on()
        self._alone.release()

    def after_fork_in_child(self) -> None:
        """Leave what belongs to the parent, and open the file again when it is first used."""
        self.open_up()
        self.changed, self.waiting = threading.Condition(), 0
        if not self._quiet_at_fork:  # closing it would end the parent's transactions; it stays as it is, and unused
            self._lost = "the process was forked in the middle of a transaction: fork outside of transactions"
        if not self._lost:
            self._shut()
        self._go_on()

    # The end.

    def close(self) -> None:
        """Close the file when the transactions under way have ended, or have had the time to."""
        with self._alone:
            self._hold_back()
            self._wait_until_quiet(_CLOSING)
            try:
                if not self._lost:
                    self._shut()  # LMDB makes what is still under way invalid
            finally:
                self._let_in(self._refuse)
        with self.changed:
            self.changed.notify_all()

    def _shut(self) -> None:
        if self._environment is not None:
            self._environment.close()
            self._environment = None
        if self._guard >= 0:
            os.close(self._guard)
            self._guard = -1

    def explain(self, error: Exception) -> StoreError:
        """Return what to raise instead of an error of LMDB or of the system."""
        return explain(error, self.path, self.options.max_size)
