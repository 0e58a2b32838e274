"""`/livez` and `/readyz`, for those who watch the server. They tell nothing but yes or no and are open to all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anycore.conversations.base import NO_JOBS, Job

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from anycore.conversations.exchange import Exchange

_HEADERS = (("Cache-Control", "no-store"),)


class Health:
    """Answers 200 `ok`, or 503 and a word.

    Args:
        check: Returns an empty string when all is well, else one word for what is not.
    """

    def __init__(self, check: Callable[[], str] = str) -> None:
        self._check = check

    def open(self, exchange: Exchange) -> Sequence[Job]:
        """Answer; see `Page.open`."""
        problem = self._check()
        exchange.reply(503 if problem else 200, f"{problem or 'ok'}\n", headers=_HEADERS)
        return NO_JOBS
