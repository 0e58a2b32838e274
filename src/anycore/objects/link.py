"""The verbs that a core lends to a connection of peers: send, wait, close. Whoever owns the socket implements them."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from anycore.objects.result import AsyncResult


class Link(abc.ABC):
    """What moves a connection's bytes."""

    __slots__ = ()

    @abc.abstractmethod
    def send(self, data: bytes) -> None:
        """Send bytes, after those sent before.

        May be called from any thread, and by a finaliser in the middle of another `send`: it takes no lock that it would wait for.

        Raises:
            EOFError: When the connection has ended.
        """

    @abc.abstractmethod
    def wait(self, result: AsyncResult, deadline: float | None) -> None:
        """Return when a result is settled, the deadline has passed, or the connection has ended. The peer's requests are served meanwhile.

        Args:
            result: What is waited for.
            deadline: When to give up, on the clock of `time.monotonic()`, in seconds; None for never.

        Raises:
            RuntimeError: When waiting here would keep the result from ever coming, as on an event loop.
        """

    def tell(self, callbacks: Sequence[Callable[[], Any]]) -> None:
        """Call those who are to know that the connection has ended; here, or where they may take their time.

        Args:
            callbacks: What to call, in this order. Nothing waits for them, or for what they return.
        """
        for callback in callbacks:
            callback()

    @abc.abstractmethod
    def close(self) -> None:
        """End the connection after what was sent. May be called more than once, from any thread."""

    def serve_one(self, deadline: float | None) -> bool:
        """Take what the peer sends next and do what follows from it; only where nobody else does.

        Args:
            deadline: When to return without, as in `wait`.

        Returns:
            Whether anything came.

        Raises:
            RuntimeError: When the core does this by itself.
        """
        message = f"this connection is served by its core; it needs no serving from outside (deadline {deadline})"
        raise RuntimeError(message)

    def set_concurrency(self, count: int) -> None:
        """Let so many requests of the peer run at the same time; only where nobody else serves.

        Raises:
            RuntimeError: As by `serve_one`.
        """
        message = (
            f"this connection is served by its core; the core's settings say how many requests run at once, not {count}"
        )
        raise RuntimeError(message)

    def fileno(self) -> int:
        """Return the socket's descriptor, -1 where there is none."""
        return -1


class NoLink(Link):
    """What a connection has that ends before it has begun."""

    def send(self, data: bytes) -> None:
        """There is nobody to send to."""
        raise EOFError(f"the connection was refused; {len(data)} bytes cannot be sent")

    def wait(self, result: AsyncResult, deadline: float | None) -> None:
        """Return: nothing will come."""

    def close(self) -> None:
        """There is nothing to close."""
