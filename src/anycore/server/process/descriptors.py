"""The number of files that the process may have open, of which every connection is one."""

from __future__ import annotations

import logging
import resource
from typing import Final

_log = logging.getLogger("anycore.server")
_RESERVE: Final = 256
"""What a server has open besides its connections."""


def allow_descriptors(connections: int) -> None:
    """Raise the soft limit as far as the connections need and the hard limit allows (setrlimit(2), `RLIMIT_NOFILE`).

    Args:
        connections: How many there may be at once, by the settings.
    """
    wanted = connections + _RESERVE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    except (OSError, ValueError) as error:
        _log.debug("the limit of open files stays at %d: %s", soft, error)
        allowed = soft
    if allowed < wanted:
        _log.warning(
            "this process may have %d files open, too few for the %d connections of limits.connections; raise the hard limit"
            " (ulimit -Hn, LimitNOFILE= in a unit), or lower the setting to %d",
            allowed, connections, max(1, allowed - _RESERVE),
        )  # fmt: skip
