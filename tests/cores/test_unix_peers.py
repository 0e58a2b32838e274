from __future__ import annotations

import asyncio
import os
import socket
import sys
from pathlib import Path

import pytest

from anycore.cores.base import Listener, peer_on
from anycore.cores.unix_peers import process_behind

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="SO_PEERCRED is Linux's")
HERE = (os.getpid(), os.getuid(), os.getgid())


def test_the_process_at_the_other_end_is_known() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert process_behind(ours) == HERE


def test_nothing_is_known_of_other_sockets() -> None:
    with socket.socket() as internet, socket.socket(socket.AF_UNIX) as lonely:
        assert process_behind(internet) is None
        assert process_behind(lonely) is None
    assert process_behind(lonely) is None


def test_a_peer_has_its_process() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        listener = Listener(ours, None)  # type: ignore[arg-type]
        peer = peer_on(listener, ours, "")
    assert (peer.pid, peer.uid, peer.gid) == HERE
    assert peer.transport == "unix" and peer.local


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_what_loops_give_in_place_of_a_socket_will_do(tmp_path: Path, loop: str) -> None:
    runner = pytest.importorskip(loop)
    path = tmp_path / "socket"

    async def main() -> tuple[int, int, int] | None:
        found: asyncio.Future[tuple[int, int, int] | None] = asyncio.get_running_loop().create_future()

        class Protocol(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                found.set_result(process_behind(transport.get_extra_info("socket")))
                transport.close()

        async with await asyncio.get_running_loop().create_unix_server(Protocol, path):
            _, writer = await asyncio.open_unix_connection(path)
            try:
                return await found
            finally:
                writer.close()
                await writer.wait_closed()

    assert runner.run(main()) == HERE
