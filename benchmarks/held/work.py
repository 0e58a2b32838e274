"""The plugin for overload: a method that holds a worker for ten milliseconds, as one does that waits for a disk or a database."""

from __future__ import annotations

import time

from anycore import Plugin, exposed


class Work(Plugin):
    """Holds a worker."""

    @exposed
    def hold(self) -> bool:
        """Return after ten milliseconds."""
        time.sleep(0.01)
        return True
