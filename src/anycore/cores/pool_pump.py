"""The pump of the pool core: its socket is watched by the core between bursts, so it is the connection that closes it."""

from __future__ import annotations

import logging
from threading import get_ident
from typing import TYPE_CHECKING, Final

from anycore.cores.base import AT_IN_FLIGHT
from anycore.cores.pump import Pump
from anycore.kernel.call import Mode

if TYPE_CHECKING:
    from anycore.conversations.rpyc import RpycConversation
    from anycore.conversations.rpyc_jobs import RpycJob
    from anycore.cores.pool import PoolCore
    from anycore.cores.pool_connection import PoolConnection

_NEVER: Final = 1e6
"""Seconds, eleven days."""
_log = logging.getLogger("anycore.core")


class PoolPump(Pump):
    """Serves one interactive conversation in bursts.

    Args:
        core: The core, which counts what runs.
        connection: The connection.
        conversation: The conversation.

    Attributes:
        refusing: Whether the peer's requests are refused.
    """

    def __init__(self, core: PoolCore, connection: PoolConnection, conversation: RpycConversation) -> None:
        super().__init__(
            connection.socket,
            conversation,
            core.loop.run,
            stall_seconds=core.limits.send_time or _NEVER,
            busy_poll_time=core.limits.busy_poll_time,
        )
        self.refusing = False
        self._core = core
        self._owner = connection
        self._released = False

    @property
    def pending(self) -> bool:
        """Whether bytes were read, or jobs are ready, that nobody has seen to yet."""
        return bool(self._ahead or self._ready)

    @property
    def over(self) -> bool:
        """Whether the connection has ended."""
        return self.ended

    def release(self) -> None:
        """End, and close the socket."""
        self._released = True
        self._conversation.connection.ended("it is served no longer")
        self.close()

    def _dispose(self) -> None:
        if self._released:
            super()._dispose()

    def _stash(self) -> None:
        super()._stash()
        if self._reader != get_ident():
            self._core.look_at(self._owner)  # a thread of the plugin's has read what only a worker may be there to see

    def _perform(self, job: RpycJob) -> None:
        if job.mode is Mode.QUICK or self._conversation.inside:
            super()._perform(job)
            return
        if not self._core.admit(refusing=self.refusing):
            self._core.complain(_log, self._conversation.peer)
            job.refuse(AT_IN_FLIGHT)
            self._give_back(job)
            return
        try:
            super()._perform(job)
        finally:
            self._core.in_flight.pop()
