"""What is called: it says which process has answered."""

import os

from anycore import Plugin, exposed


class Sample(Plugin):
    @exposed
    def pid(self) -> int:
        """Return the number of the process."""
        return os.getpid()
