"""The plugin that is called: it computes, or says which process it is in."""

from __future__ import annotations

import os

from anycore import Plugin, exposed


class Work(Plugin):
    @exposed
    def compute(self, steps: int) -> int:
        """Do what a processor does, in plain Python."""
        total = 0
        for number in range(steps):
            total += number * number % 7
        return total

    @exposed(quick=True)
    def tell(self, value: int) -> tuple[int, int]:
        """Return a value, and the process that has answered."""
        return value, os.getpid()
