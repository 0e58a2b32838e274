"""A plugin with `async def` methods, which run on the event loop, and a look at the call's deadline."""

import asyncio

from anycore import Call, Plugin, exposed


class Timer(Plugin):
    """Wait, without a thread waiting."""

    @exposed
    async def sleep(self, seconds: float) -> float:
        """Return after the given seconds, unless the caller's time is over first."""
        await asyncio.sleep(seconds)
        return seconds

    @exposed
    async def remaining(self, call: Call) -> float | None:
        """Return how many seconds the caller still waits for an answer."""
        return call.remaining()
