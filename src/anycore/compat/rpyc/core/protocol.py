"""`rpyc.core.protocol`: the connection under RPyC's names. What it does is `anycore.objects.connection`'s."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from anycore.compat.rpyc.lib import spawn
from anycore.conversations.rpyc import RpycConversation
from anycore.cores.pump import Pump
from anycore.kernel.call import Peer
from anycore.objects import connection
from anycore.objects.config import BUSY_POLL_TIME, make_config
from anycore.wire.rpyc_constants import MAX_FRAME

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from anycore.compat.rpyc.core.channel import Channel

_OURS: Final = frozenset({"max_objects", "max_pending", "close_timeout", "permit"})

DEFAULT_CONFIG: dict[str, Any] = {key: value for key, value in make_config().items() if key not in _OURS}
"""What holds where a connection is not told otherwise. Programs may change it, for connections made after that."""
DEFAULT_CONFIG["bind_threads"] = os.environ.get("RPYC_BIND_THREADS", "").lower() == "true"


class PingError(Exception):
    """What came back of a ping is not what was sent."""


class Connection(connection.Connection):
    """One end of a connection; see `anycore.objects.connection.Connection`.

    Args:
        root: What the other side gets as its root.
        channel: What it speaks over. Its socket is the connection's from now on.
        config: Keys of the configuration that differ from `DEFAULT_CONFIG`; besides RPyC's also `max_frame`, in bytes, and
            `busy_poll_time`, in seconds.
    """

    def __init__(self, root: Any, channel: Channel, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(root, {**DEFAULT_CONFIG, "safe_attrs": set(DEFAULT_CONFIG["safe_attrs"]), **(config or {})})
        self._channel = channel
        self._conversation = RpycConversation(Peer(), self, max_frame=self.config.get("max_frame", MAX_FRAME))
        busy_poll_time = self.config.get("busy_poll_time", BUSY_POLL_TIME)
        self._pump = Pump(channel.stream.sock, self._conversation, busy_poll_time=busy_poll_time)
        self._pump.begin()

    @property
    def _config(self) -> dict[str, Any]:
        return self.config

    @property
    def _local_root(self) -> Any:
        return self.local_root

    @property
    def _last_traceback(self) -> TracebackType | None:
        return self.last_traceback

    @property
    def _HANDLERS(self) -> dict[int, Callable[..., Any]]:  # noqa: N802 - RPyC's name
        return self.handlers

    def ping(self, data: Any = None, timeout: float | None = 3) -> None:
        """Send data there and back.

        Raises:
            PingError: When something else came back.
            TimeoutError: When nothing did in time.
            EOFError: When the connection has ended.
        """
        try:
            super().ping(data, timeout)
        except ValueError as error:
            raise PingError(str(error)) from None

    def serve(self, timeout: float | None = 1.0, wait_for_lock: bool = True, waiting: object = None) -> bool:  # noqa: ARG002 - RPyC's
        """Take what the other side sends next and do what follows from it.

        Args:
            timeout: Seconds to wait for something; `None` for as long as it takes.
            wait_for_lock: No effect: threads that serve at the same time share the work.
            waiting: No effect, likewise.

        Returns:
            Whether anything came.

        Raises:
            EOFError: When the connection has ended.
        """
        return super().serve(timeout)

    def poll(self, timeout: float = 0.0) -> bool:
        """Serve what has come, or comes within some seconds.

        Raises:
            EOFError: When the connection has ended.
        """
        if self.closed:
            raise EOFError(f"the connection has ended: {self.end_reason or 'closed'}")
        return super().poll(timeout)

    def poll_all(self, timeout: float = 0.0) -> bool:
        """Serve everything that comes within some seconds.

        Returns:
            Whether anything came.
        """
        try:
            return super().poll_all(timeout)
        except EOFError:
            return False

    def serve_threaded(self, thread_count: int = 10) -> None:
        """Serve with several threads until the connection ends: so many requests of the other side run at once."""
        self._conversation._concurrency = thread_count  # noqa: SLF001 - known before the connection is made, elsewhere
        threads = [spawn(self.serve_all) for _ in range(thread_count)]
        for thread in threads:
            thread.join()
