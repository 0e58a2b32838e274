"""A core for Anycore on Trio: a task for each connection.

Plugins are written for asyncio, so their `async def` methods run on an asyncio loop in a thread of its own. What happens on one
connection lives in `connection`.
"""

from anycore_trio.core import TrioCore

__all__ = ["TrioCore"]
