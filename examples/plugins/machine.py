"""A plugin that tells about the machine it runs on. Plain methods may block: they run in worker threads."""

import os
import shutil
import time

from anycore import Plugin, exposed


class Machine(Plugin):
    """What the operator of a machine wants to know of it from afar."""

    @exposed
    def load(self) -> tuple[float, float, float]:
        """Return the load averages of the last 1, 5 and 15 minutes."""
        return os.getloadavg()

    @exposed
    def disk(self, path: str = "/") -> dict[str, int]:
        """Return the total, used and free bytes of the file system that holds a path."""
        usage = shutil.disk_usage(path)
        return {"total": usage.total, "used": usage.used, "free": usage.free}

    @exposed
    def uptime(self) -> float:
        """Return the seconds since the machine was started."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)
