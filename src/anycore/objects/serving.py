"""How a connection is served by the program that has it, where no core does: once, for some time, to its end, by several threads."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anycore.objects.link import Link


class Serving:
    """The part of a connection that a program serves itself with. The attributes are `Connection`'s, which has their description."""

    closed: bool
    link: Link
    close: Any
    _eof: Any

    def serve(self, timeout: float | None = 1.0) -> bool:
        """Take what the peer sends next and do what follows from it.

        Args:
            timeout: Seconds to wait for something; None for as long as it takes.

        Returns:
            Whether anything came.

        Raises:
            EOFError: When the connection has ended.
            RuntimeError: When a core serves this connection already.
        """
        if self.closed:
            raise self._eof()
        served = self.link.serve_one(None if timeout is None else time.monotonic() + timeout)
        if self.closed:
            raise self._eof()
        return served

    def poll(self, timeout: float = 0.0) -> bool:
        """Serve what has come, or comes within some seconds; see `serve`. Does nothing where a core serves."""
        if self.closed:
            return False
        try:
            return self.link.serve_one(time.monotonic() + timeout)
        except RuntimeError:
            return False

    def poll_all(self, timeout: float = 0.0) -> bool:
        """Serve everything that comes within some seconds; returns whether anything came."""
        deadline, any_came = time.monotonic() + timeout, False
        while self.poll(max(0.0, deadline - time.monotonic())):
            any_came = True
            if time.monotonic() >= deadline > 0 and timeout:
                break
        return any_came

    def serve_all(self) -> None:
        """Serve until the connection ends."""
        try:
            while not self.closed:
                self.serve(None)
        except EOFError:
            return
        finally:
            self.close()

    def serve_threaded(self, thread_count: int = 10) -> None:
        """Serve with several threads until the connection ends: so many requests of the peer run at the same time.

        Args:
            thread_count: How many threads.

        Raises:
            ValueError: When that is not at least 1.
            RuntimeError: When a core serves this connection already.
        """
        if thread_count < 1:
            message = f"a connection is served by 1 thread or more, not {thread_count!r}"
            raise ValueError(message)
        self.link.set_concurrency(thread_count)
        threads = [
            threading.Thread(target=self.serve_all, name=f"anycore-serve-{number}", daemon=True)
            for number in range(1, thread_count + 1)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
