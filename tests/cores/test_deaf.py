"""A peer that asks and never reads: it costs neither memory nor work beyond a small amount, on every core."""

from __future__ import annotations

import json
import socket
import time
from contextlib import suppress

import pytest

from anycore.cores.base import UNSENT, CoreLimits
from anycore.kernel.plugin import Plugin, exposed
from anycore.testing import running

ANSWER = 16 * 1024
ASKED = 2000  # far beyond what the buffers of both ends may hold
ENOUGH = 60  # answers: what is unsent, what is under way, and what the core holds itself


class Loud(Plugin):
    def __init__(self) -> None:
        self.called = 0

    @exposed(quick=True)
    def shout(self) -> str:
        self.called += 1
        return "x" * ANSWER


@pytest.mark.skipif(not hasattr(socket, "TCP_NOTSENT_LOWAT"), reason="this system has no TCP_NOTSENT_LOWAT")
@pytest.mark.parametrize("core", ["asyncio", "threaded", "pool"])
def test_the_answers_to_a_peer_that_never_reads_are_bounded(core: str) -> None:
    plugin = Loud()
    body = json.dumps({"id": 1, "method": "loud.shout", "params": []}).encode()
    head = (
        f"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with running(plugin, core=core, core_limits=CoreLimits(stop_time=0.1)) as server, socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(server.address)
        deaf.settimeout(1)
        with suppress(TimeoutError):  # the server reads no further, which is the point
            deaf.sendall((head.encode() + body) * ASKED)
        before = -1
        while before != plugin.called:
            before = plugin.called
            time.sleep(0.3)
        assert 0 < plugin.called < ENOUGH
        assert UNSENT < ENOUGH * ANSWER < ASKED * ANSWER
        with server.connect() as other:  # nobody else notices
            assert len(other.call("loud.shout")) == ANSWER
