"""LMDB's environment: the map of the file, how it is opened, grown and forked with, and what its errors mean. Knows no record's meaning.

A process may replace its map, to make it larger, or fork, only while no transaction of its own is under way: LMDB leaves that to us.
So everybody who begins a transaction marks itself in `active` first, then calls `begin`; whoever must be alone puts something
in the place of `begin` that takes the mark back and waits. This costs readers no lock.
"""

from __future__ import annotations

import errno
import fcntl
import os
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import lmdb

from anycore.store.errors import StoreError, StoreFullError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FORMAT: Final = b"1"
_FIRST_SIZE: Final = 1 << 30  # of address space; the file takes what is in it
_NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_PATIENCE: Final = 60.0
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


class Environment:
    """The map of one store's file in this process, closed until `open` is called.

    Args:
        path: The directory.
        options: How to open it.

    Attributes:
        begin: Begins a transaction; put a mark into `active` first, and take it away when the transaction has ended.
        active: A mark for every transaction.
        records: The values by key.
        ends: Which key ends when.
        changes: What the last transactions have changed.
        changed: Notified when this process has changed something.
    """

    def __init__(self, path: str, options: Options) -> None:
        self.path = path
        self.name = f"lmdb:{path}"
        self.options = options
        self.begin: Callable[..., Any] = self._refuse
        self.active: list[None] = []
        self.changed = threading.Condition()
        self._writing = threading.Lock()
        self._alone = threading.Lock()
        self._writer: int | None = None
        self._readers: dict[int, int] = {}
        self._lost = ""
        self._quiet_at_fork = True
        self._environment: lmdb.Environment | None = None
        self._guard = -1
        self.records: Any = None
        self.ends: Any = None
        self.changes: Any = None

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
            mode=0o700,
            sync=durability != "process",
            metasync=durability == "commit",
        )

    def _prepare(self, environment: lmdb.Environment) -> None:
        environment.reader_check()
        # Only a transaction that may write keeps the handles it opens, so that opening waits for a writer; reading never does.
        with environment.begin(write=True) as writing:
            opened = [environment.open_db(name, txn=writing) for name in (b"records", b"ends", b"changes", b"about")]
            self.records, self.ends, self.changes, about = opened
            version = writing.get(b"format", db=about)
            if version is None:
                version = FORMAT
                writing.put(b"format", version, db=about)
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

    # One at a time: writers, and who changes the map.

    def hold_write_lock(self) -> None:
        """Wait until no other thread writes.

        Raises:
            StoreError: When this thread is writing already, and would wait for itself.
        """
        if self._writer == threading.get_ident():
            raise StoreError(f"{self.name}: this thread is in a transaction already: use the methods of that")
        self._writing.acquire()
        self._writer = threading.get_ident()

    def release_write_lock(self) -> None:
        """Let the next thread write."""
        self._writer = None
        self._writing.release()

    def count_reader(self, thread: int, change: int) -> None:
        """Note that a thread has begun (1) or ended (-1) a transaction that reads, and that may last."""
        left = self._readers.get(thread, 0) + change
        if left > 0:
            self._readers[thread] = left
        else:
            self._readers.pop(thread, None)

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
            self.opened.reader_check()
        elif isinstance(error, lmdb.PanicError):  # LMDB could not write where it must, and wants to begin anew
            with self._quiet():
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
        with self._quiet():
            self.opened.set_mapsize(size)

    def make_room(self) -> None:
        """Make the map larger if less than a quarter of it is left, so that hardly a transaction comes to its end."""
        opened = self.opened
        found = opened.info()
        size = found["map_size"]
        if size < self.limit and (found["last_pgno"] + 1) * 4096 > size - (size >> 2):
            self.resize(min(2 * size, self.limit))

    def larger(self, *, removing: bool) -> bool:
        """Make the map larger after a transaction found no room, and return whether that was possible.

        Args:
            removing: Whether the transaction only removes keys, for which there is a reserve.
        """
        size = self.opened.info()["map_size"]
        limit = self.limit + self.options.reserve if removing else self.limit
        if size >= limit:
            return False
        self.resize(min(max(2 * size, 1 << 20), limit))
        return True

    @contextmanager
    def _quiet(self) -> Iterator[None]:
        """Have no transaction of this process under way for the time of a `with` statement."""
        with self._alone:
            self.begin = self._begin_later
            try:
                if not self._wait_until_quiet(_PATIENCE):
                    raise StoreError(
                        f"{self.name}: the map must be made larger, and a transaction of this process has not ended "
                        f"for {_PATIENCE:g} seconds, or the thread that needs it reads: keep transactions short"
                    )
                yield
            finally:
                self._go_on()

    def _go_on(self) -> None:
        self.begin = self._begin_anew if self._environment is None else self._environment.begin

    def _begin_later(self, _records: object, _parent: object = None, write: bool = False) -> Any:
        """Take the caller's mark away, wait, and begin."""
        begin = self._begin_later
        while begin == self._begin_later:
            self.active.pop()
            with self._alone:
                pass
            self.active.append(None)
            begin = self.begin
        return begin(self.records, None, write)

    def _begin_anew(self, _records: object, _parent: object = None, write: bool = False) -> Any:
        """Open the file, and begin."""
        self._open_anew()
        return self.begin(self.records, None, write)

    def _open_anew(self) -> None:
        with self._alone:
            if self._environment is None:
                self.open()

    def _wait_until_quiet(self, patience: float) -> bool:
        if self._readers.get(threading.get_ident()):
            return False
        deadline = time.monotonic() + patience
        while self.active:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.0005)
        return True

    # A fork: nobody else runs Anycore's code between these.

    def before_fork(self) -> None:
        """Have no transaction under way at the moment of a fork: the child could not close what it inherits."""
        self._alone.acquire()
        self.begin = self._begin_later
        self._quiet_at_fork = self._writer != threading.get_ident() and self._wait_until_quiet(_CLOSING)

    def after_fork_in_parent(self) -> None:
        """Go on."""
        self._go_on()
        self._alone.release()

    def after_fork_in_child(self) -> None:
        """Leave what belongs to the parent, and open the file again when it is first used."""
        self.active, self._readers, self._writer = [], {}, None
        self._writing, self._alone, self.changed = threading.Lock(), threading.Lock(), threading.Condition()
        if self._quiet_at_fork:
            self._shut()
            self._go_on()
        else:  # closing it would end the parent's transactions; it stays as it is, and unused
            self._lost = "the process was forked in the middle of a transaction: fork outside of transactions"
            self.begin = self._refuse

    # The end, and errors.

    def close(self) -> None:
        """Close the file when the transactions under way have ended, or have had the time to."""
        with self._alone:
            self.begin = self._begin_later
            self._wait_until_quiet(_CLOSING)
            self._shut()  # LMDB makes what is still under way invalid
            self.begin = self._refuse
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
        if isinstance(error, StoreError):
            return error
        code = getattr(error, "errno", None) or getattr(error, "code", 0)
        if code in _NO_SPACE:
            return StoreFullError(
                f"{self.name}: {os.strerror(code)}: nothing of this transaction has been stored, and nothing else is lost; "
                "make room on the disk, or remove keys"
            )
        if isinstance(error, lmdb.MapFullError):
            return StoreFullError(
                f"{self.name}: it has reached its max_size of {self.options.max_size:,} bytes: nothing of this transaction has been "
                "stored, and nothing else is lost; remove keys, or set a higher max_size"
            )
        if isinstance(error, lmdb.ReadersFullError):
            return StoreError(f"{self.name}: {_MAX_READERS} transactions read it at the same time: end some")
        if code in (errno.EACCES, errno.EPERM, errno.EROFS):
            return StoreError(
                f"{self.name}: {os.strerror(code)}: this user must be able to write there, or name another place"
            )
        if isinstance(
            error, (lmdb.InvalidError, lmdb.CorruptedError, lmdb.PageNotFoundError, lmdb.VersionMismatchError)
        ):
            return StoreError(f"{self.name}: it is damaged, or no store: {error}; load a dump into a new one")
        return StoreError(f"{self.name}: {error}")
