"""Ceiling: a uvloop protocol that parses nothing. A request is whatever one data_received gives.

The harness checks the count of bytes answered, so a request that arrived in two pieces would fail the row.
"""

# mypy: disable-error-code="import-not-found, import-untyped"
from __future__ import annotations

import asyncio
import sys
from typing import cast

import uvloop

from benchmarks.peers.canned import TAG, answers

ANSWERS = answers()


class Canned(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way to answer."""
        self.write = cast("asyncio.Transport", transport).write

    def data_received(self, data: bytes) -> None:
        """Answer."""
        self.write(ANSWERS[data[TAG]])


async def serve(port: int) -> None:
    """Serve on the loopback port until killed."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Canned, "127.0.0.1", port, backlog=128)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
