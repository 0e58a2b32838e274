"""A client that outlives its connections, for programs without an event loop: it connects again, and never makes a call twice.

Its twin for asyncio is `aio.Reconnecting`.
"""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING, Any, Self

from anycore.rpyc.keeping import keep_alive
from anycore.rpyc.login import LoginError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from anycore.objects.connection import Connection


class Reconnecting:
    """A server, whichever connection leads to it at the time. Any number of threads may share one.

        with Reconnecting(lambda: connect("localhost", 18812)) as client:
            client.root.f(1)

    A call that was under way when its connection ended raises `EOFError`, which says why the connection ended; whether the call was
    carried out is unknown, so it is not made again. `root` connects where there is no connection; of several threads that need one, one
    does so and the others wait. Objects of an earlier connection are gone with it. A service given to `connect` is told of each connection,
    and can subscribe again there.

    Args:
        dial: Connects; called for each connection.
        patience: Seconds that `root` waits for a connection; None for ever.
        first_delay: Seconds between a failed attempt and the next; each further time twice as long, varied by chance.
        max_delay: The longest delay in seconds.
        ping_interval: Seconds between two pings, by which the end of a connection is noticed although nothing is said on it; see
            `keeping.keep_alive`. None for no pings.

    Attributes:
        connections: How many connections were made.
    """

    def __init__(
        self,
        dial: Callable[[], Connection],
        *,
        patience: float | None = 30.0,
        first_delay: float = 0.1,
        max_delay: float = 30.0,
        ping_interval: float | None = None,
    ) -> None:
        self._dial = dial
        self._patience = patience
        self._delays = (first_delay, max_delay)
        self._ping_interval = ping_interval
        self._changed = threading.Condition()
        self._connection: Connection | None = None
        self._failure: BaseException | None = None
        self._dialling = False
        self._closed = False
        self.connections = 0

    @property
    def root(self) -> Any:
        """The server's root, over the connection that there is or a new one.

        Raises:
            ConnectionError: When there is none within the client's patience; says why the last attempt failed.
            EOFError: When the connection ends in this moment.
        """
        return self.connection().root

    @property
    def connected(self) -> bool:
        """Whether there is a connection now."""
        return self._connection is not None and not self._connection.closed

    def __repr__(self) -> str:
        state = "closed" if self._closed else "connected" if self.connected else "not connected"
        return f"<reconnecting client, {state}>"

    def connection(self) -> Connection:
        """Return the connection that there is, or a new one; raises as `root` does."""
        connection = self._connection
        if connection is not None and not connection.closed and not self._closed:
            return connection
        deadline = None if self._patience is None else time.monotonic() + self._patience
        found = self._found_by_another(deadline)
        if found is not None:
            return found
        try:
            return self._connect(deadline)
        finally:
            with self._changed:
                self._dialling = False
                self._changed.notify_all()

    def _found_by_another(self, deadline: float | None) -> Connection | None:
        """Wait for as long as another thread connects; return None where it falls to this one."""
        with self._changed:
            while not self._closed:
                connection = self._connection
                if connection is not None and not connection.closed:
                    return connection
                if not self._dialling:
                    self._dialling = True
                    return None
                if not self._wait(deadline):
                    raise self._no_connection(f"no connection within {self._patience:g} s")
            raise self._no_connection("the client is closed")

    def _connect(self, deadline: float | None) -> Connection:
        """Try until there is a connection; only one thread at a time does."""
        before, delay = self._connection, self._delays[0]
        if before is not None:
            self._failure = EOFError(f"the connection has ended: {before.end_reason}")
        while True:
            try:
                made = self._dial()
            except LoginError:
                raise  # it would be so again, and too many such attempts lock a caller out
            except (OSError, EOFError) as error:
                self._failure = error
            else:
                return self._take(made)
            with self._changed:
                self._wait(deadline, delay * random.uniform(0.5, 1.0))  # noqa: S311 - so that many clients do not come at once
                if self._closed:
                    raise self._no_connection("the client is closed")
            if deadline is not None and time.monotonic() >= deadline:
                raise self._no_connection(f"no connection within {self._patience:g} s") from self._failure
            delay = min(delay * 2, self._delays[1])

    def _take(self, made: Connection) -> Connection:
        if self._ping_interval is not None:
            keep_alive(made, self._ping_interval)
        with self._changed:
            if not self._closed:
                self._connection, self._failure = made, None
                self.connections += 1
                return made
        made.close()
        raise self._no_connection("the client is closed")

    def _wait(self, deadline: float | None, seconds: float | None = None) -> bool:
        """Wait for a change; return whether there is time left. The lock is held."""
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            return False
        self._changed.wait(left if seconds is None else seconds if left is None else min(left, seconds))
        return True

    def _no_connection(self, what: str) -> ConnectionError:
        failure = self._failure
        why = "" if failure is None else f"; the last attempt failed: {str(failure) or repr(failure)}"
        return ConnectionError(f"{what}{why}")

    def close(self) -> None:
        """End the connection, and make no more."""
        with self._changed:
            self._closed = True
            connection = self._connection
            self._changed.notify_all()
        if connection is not None:
            connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
