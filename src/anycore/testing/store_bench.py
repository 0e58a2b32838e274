"""What the checks of `check_store` work with: the store, a second one of the same contents, threads, and waiting for what must come."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from anycore.store import Change, Store, Watch


class StoreBench:
    """A store under test.

    Args:
        store: The store, with nothing in it.
        again: Returns another store with the same contents; None when there is no such thing.
        patience: How long to wait for anything that is promised, in seconds.
    """

    def __init__(self, store: Store, again: Callable[[Store], Store] | None, patience: float) -> None:
        self.store = store
        self.again = again
        self.patience = patience

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.store.close()

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until something is so.

        Args:
            condition: Tells whether it is.
            what: What must be so, for the message.

        Raises:
            AssertionError: When it has not become so.
        """
        deadline = time.monotonic() + self.patience
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"{what}: not within {self.patience:g} seconds")
            time.sleep(0.005)

    def in_threads(self, *works: Callable[[], None]) -> None:
        """Run functions at the same time, each in a thread of its own, and raise what one of them raises.

        Args:
            works: The functions.

        Raises:
            AssertionError: When one does not return.
        """
        problems: list[BaseException] = []

        def run(work: Callable[[], None]) -> None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - raised below, in the thread that asked
                problems.append(error)

        threads = [threading.Thread(target=run, args=(work,), daemon=True) for work in works]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(self.patience)
            if thread.is_alive():
                raise AssertionError(f"a thread that uses the store is not done within {self.patience:g} seconds")
        if problems:
            raise problems[0]

    def told(self, watch: Watch, count: int) -> list[Change]:
        """Return the changes that a watch tells of, when there are as many.

        Args:
            watch: The watch.
            count: How many changes to wait for.
        """
        deadline = time.monotonic() + self.patience
        found: list[Change] = []
        while len(found) < count and time.monotonic() < deadline:
            found += watch.poll(max(0.0, deadline - time.monotonic()))
        return found


def refused(error: type[Exception], what: str, call: Callable[..., object], *arguments: object) -> None:
    """Check that something is refused.

    Args:
        error: With which exception.
        what: What must be refused, for the message.
        call: What does it.
        arguments: Its arguments.

    Raises:
        AssertionError: When it is not, or by another exception.
    """
    try:
        found = call(*arguments)
    except error:
        return
    except Exception as other:
        raise AssertionError(
            f"{what} must raise {error.__name__}, and raised {type(other).__name__}: {other}"
        ) from other
    raise AssertionError(f"{what} must raise {error.__name__}, and returned {found!r}")
