"""Ceiling: a uvloop protocol that parses nothing; a canned reply for as many bytes as a request has."""

# mypy: disable-error-code="import-not-found, import-untyped"
from __future__ import annotations

import asyncio
import sys
from typing import cast

import uvloop

from benchmarks.rpyc.frames import REPLY, REQUEST

SIZE = len(REQUEST)


class Canned(asyncio.Protocol):
    """One connection."""

    rest = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way to answer."""
        self.write = cast("asyncio.Transport", transport).write

    def data_received(self, data: bytes) -> None:
        """Answer."""
        count, self.rest = divmod(self.rest + len(data), SIZE)
        self.write(REPLY * count)


async def serve(port: int) -> None:
    """Serve on the loopback port until killed."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Canned, "127.0.0.1", port, backlog=128)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
