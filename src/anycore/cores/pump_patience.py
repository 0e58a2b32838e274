"""How long a pump waits for its peer: between messages, and for the rest of one. What is sent has a limit of its own, the outbox's."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from anycore.conversations.base import Phase

if TYPE_CHECKING:
    from anycore.conversations.base import Conversation


class Patience:
    """Ends a conversation whose peer takes too long to speak. It is asked where nothing came of a read, so that it costs others nothing.

    Args:
        conversation: The conversation.
        idle_time: Seconds that the peer may be silent between messages; 0 for no limit.
        receive_time: Seconds that a message may take from the time when it was first seen to be incomplete; 0 for no limit.

    Attributes:
        since: When what is waited for now began, on the clock of `time.monotonic()`; 0 when a message has just come.
    """

    __slots__ = ("_conversation", "_limits", "_phase", "since")

    def __init__(self, conversation: Conversation, idle_time: float, receive_time: float) -> None:
        self._conversation = conversation
        self._limits = {Phase.IDLE: idle_time, Phase.RECEIVING: receive_time}
        self._phase = Phase.IDLE
        self.since = 0.0

    def look(self, *, came: bool) -> None:
        """Nothing came, or nothing that completes a request.

        Args:
            came: Which of them.
        """
        phase, now = self._conversation.phase, time.monotonic()
        if phase is not self._phase or not self.since or (came and phase is Phase.IDLE):
            self._phase, self.since = phase, now
            return
        limit = self._limits.get(phase, 0.0)
        if limit and now - self.since > limit:
            self._conversation.time_out()
