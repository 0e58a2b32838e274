"""What can be set about the prefork core."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class PreforkOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table `[prefork]`: the processes of the core prefork.

    Args:
        workers: Processes that serve; 0 for as many as there are processors that the server may use.
        inner: The core that each of them runs, by name: asyncio, threaded, pool, or one of another distribution.
        watchdog_time: Seconds for which a process may not see to its connections, because a quick or async method holds up its event loop,
            before it is killed and replaced; 0 for no limit.
        calls: Calls after which a process is replaced, or up to a fifth more, so that not all are at once; 0 for no limit.
        lifetime: Seconds after which a process is replaced, or up to a fifth more; 0 for no limit.
    """

    workers: int = 0
    inner: Annotated[str, Meta(examples=["asyncio"])] = "asyncio"
    watchdog_time: float = 30.0
    calls: int = 0
    lifetime: float = 0.0
