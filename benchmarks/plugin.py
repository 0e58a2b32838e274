"""The plugin that Anycore serves in the benchmark: the same two methods in each of the three forms a method can have."""

from __future__ import annotations

from typing import Any

from anycore import Plugin, exposed


class Bench(Plugin):
    """Two methods: one where the framework is all of the cost, one where the codec is most of it."""

    name = "bench"

    @exposed(quick=True)
    def add(self, a: int, b: int) -> int:
        """Return the sum; runs where the request was read."""
        return a + b

    @exposed
    def add_plain(self, a: int, b: int) -> int:
        """Return the sum; runs in a worker thread on cores with a loop."""
        return a + b

    @exposed
    async def add_async(self, a: int, b: int) -> int:
        """Return the sum; runs on the loop."""
        return a + b

    @exposed(quick=True)
    def echo(self, value: Any) -> Any:
        """Return the value; runs where the request was read."""
        return value

    @exposed
    def echo_plain(self, value: Any) -> Any:
        """Return the value; runs in a worker thread on cores with a loop."""
        return value

    @exposed
    async def echo_async(self, value: Any) -> Any:
        """Return the value; runs on the loop."""
        return value
