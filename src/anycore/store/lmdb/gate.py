"""What keeps transactions and whoever must be alone apart, within one process, at no cost to readers.

A process may replace LMDB's map, to make it larger, or fork, only while it does nothing with it: LMDB leaves that to its users. So
everybody who begins a transaction puts a mark into `active` first, and then calls `begin`; whoever must be alone puts something in the
place of `begin` that takes the mark back and waits, and then waits itself until there are no marks. No lock is needed for the marks:
appending to a list and popping from it are one step each.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from anycore.store.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PATIENCE: Final = 60.0


class Gate:
    """What transactions go through.

    Args:
        name: What messages call the store.
        begin: Begins transactions.

    Attributes:
        begin: Begins a transaction; put a mark into `active` first, and take it away when the transaction has ended.
        active: A mark for every transaction.
        records: The database that transactions are about.
    """

    def __init__(self, name: str, begin: Callable[..., Any]) -> None:
        self.name = name
        self.begin = begin
        self.records: Any = None
        self.open_up()

    def open_up(self) -> None:
        """Have nobody inside, as in a new process."""
        self.active: list[None] = []
        self._readers: dict[int, int] = {}
        self._writer: int | None = None
        self._writing = threading.Lock()
        self._alone = threading.Lock()
        self._let_in_again = threading.Event()
        self._let_in_again.set()

    def hold_write_lock(self) -> None:
        """Wait until no other thread writes.

        Raises:
            StoreError: When this thread is writing already, and would wait for itself.
        """
        if self.writing:
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

    @property
    def writing(self) -> bool:
        """Whether this thread is in a transaction that writes."""
        return self._writer == threading.get_ident()

    def undo(self, begun: Any) -> None:
        """Undo a transaction that has written: lmdb waits with that for a moment in which nobody reads, which must come soon.

        Args:
            begun: LMDB's transaction.
        """
        if not self._alone.acquire(
            blocking=False
        ):  # somebody holds readers back already, and may wait for this transaction
            begun.abort()
            return
        before = self.begin
        self._hold_back()
        try:
            begun.abort()
        finally:
            self._let_in(before)
            self._alone.release()

    @contextmanager
    def quiet(self, go_on: Callable[[], None]) -> Iterator[None]:
        """Have no transaction of this process under way for the time of a `with` statement.

        Args:
            go_on: Sets `begin`, at the end.

        Raises:
            StoreError: When one does not end.
        """
        with self._alone:
            self._hold_back()
            try:
                if not self._wait_until_quiet(_PATIENCE):
                    raise StoreError(
                        f"{self.name}: the map must be made larger, and a transaction of this process has not ended "
                        f"for {_PATIENCE:g} seconds, or the thread that needs it reads: keep transactions short"
                    )
                yield
            finally:
                go_on()

    def _hold_back(self) -> None:
        self._let_in_again.clear()
        self.begin = self._begin_later

    def _let_in(self, begin: Callable[..., Any]) -> None:
        self.begin = begin
        self._let_in_again.set()

    def _begin_later(self, _records: object, _parent: object = None, write: bool = False) -> Any:
        """Take the caller's mark away, wait, and begin."""
        begin = self._begin_later
        while begin == self._begin_later:
            self.active.pop()
            self._let_in_again.wait()
            self.active.append(None)
            begin = self.begin
        return begin(self.records, None, write)

    def _wait_until_quiet(self, patience: float) -> bool:
        if self._readers.get(threading.get_ident()):
            return False
        deadline = time.monotonic() + patience
        while self.active:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.0005)
        return True

    def _marked(self, work: Callable[[], Any]) -> Any:
        """Do something that is no transaction, marked all the same: it is not to be cut off by a fork, either."""
        while True:
            active = self.active
            active.append(None)
            try:
                if self.begin != self._begin_later:
                    return work()
            finally:
                active.pop()
            self._let_in_again.wait()
