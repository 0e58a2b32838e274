"""Slow, silent and deaf peers, and more calls than can be done: the others are served, and what is refused is refused at once.

What they cost in time is measured by `make bench-held`; here it is that they cost nobody an answer.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

import pytest

from anycore.testing.certificate import CERTIFICATE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.faults.conftest import Serve, Serving

SLOW, SILENT, DEAF = 100, 20, 20
BUSY, CALLS = 4, 50
SECONDS = 60
HELLO = bytes.fromhex("16030100ff")
"""A TLS record of which the body does not come (RFC 8446 section 5.1)."""
CORES = ["asyncio", "threaded", "pool", "prefork"]


def post(method: str, *params: object) -> bytes:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    head = (
        f"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


class Peers:
    """Connections that stay open until the test ends."""

    def __init__(self) -> None:
        self.stack = ExitStack()

    def open(self, port: int) -> socket.socket:
        return self.stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=SECONDS))

    def deaf(self, port: int) -> None:
        made = socket.socket()
        self.stack.enter_context(made)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        made.connect(("127.0.0.1", port))
        made.setblocking(False)
        with suppress(BlockingIOError):  # until the server takes no more
            while True:
                made.send(post("bad.well", 1))


@pytest.fixture
def peers() -> Iterator[Peers]:
    made = Peers()
    with made.stack:
        yield made


@pytest.fixture
def server(request: pytest.FixtureRequest, serve: Serve, tmp_path: Path) -> Iterator[Serving]:
    certificate = tmp_path / "server.pem"
    certificate.write_text(CERTIFICATE)
    tls = ("--listen=https://127.0.0.1:0", f"--certificate={certificate}")
    with serve(request.param, *tls, "--stop-time=0.2", "--linger-time=0.1", "--prefork-workers=2") as made:
        yield made


@pytest.mark.parametrize("server", CORES, indirect=True)
def test_others_are_served_beside_slow_silent_and_deaf_peers(server: Serving, peers: Peers) -> None:
    port = port_of(server.url)
    found = re.search(r"\b(https://127\.0\.0\.1:\d+)\s", server.said)
    assert found is not None
    for _ in range(SILENT):
        peers.open(port_of(found[1])).sendall(HELLO)
    slow = [peers.open(port) for _ in range(SLOW)]
    for connection in slow:
        connection.sendall(b"POST / HT")
    for _ in range(DEAF):
        peers.deaf(port)

    def work(number: int) -> list[int]:
        with server.connect(SECONDS) as client:
            return [client.call("bad.well", number + call) for call in range(CALLS)]

    with ThreadPoolExecutor(BUSY) as threads:
        answers = list(threads.map(work, range(BUSY)))
    assert answers == [list(range(number, number + CALLS)) for number in range(BUSY)]
    context = ssl.create_default_context(cadata=CERTIFICATE)
    with context.wrap_socket(peers.open(port_of(found[1])), server_hostname="localhost") as late:
        late.sendall(post("bad.well", 7))
        assert b'"result":7' in late.recv(4096)
    slow[0].sendall(b"TP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nContent-Type: application/json\r\n\r\n")
    assert slow[0].recv(4096).startswith(b"HTTP/1.1 200 ")  # of the slow ones, who goes on is heard


@pytest.mark.parametrize(
    ("core", "bounds"),
    [
        ("asyncio", ("--workers=2", "--in-flight=4")),
        ("pool", ("--workers=2", "--in-flight=4")),
        ("threaded", ("--in-flight=2",)),
        ("prefork", ("--workers=2", "--in-flight=4", "--prefork-workers=2")),
    ],
)
def test_what_is_more_than_can_be_done_is_refused_at_once_and_nothing_is_lost(
    serve: Serve, core: str, bounds: tuple[str, ...]
) -> None:
    with serve(core, *bounds, "--stop-time=5") as server, ExitStack() as stack:
        port = port_of(server.url)
        blocked = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=SECONDS)) for _ in range(40)
        ]
        for connection in blocked:
            connection.sendall(post("bad.rest", 1))
        statuses = [connection.recv(4096).split(b" ")[1] for connection in blocked]
        refused = statuses.count(b"503")
        assert refused + statuses.count(b"200") == len(blocked)
        assert refused >= len(blocked) - 2 * 4
        end = time.monotonic() + SECONDS
        while not _well(server) and time.monotonic() < end:
            pass
        assert server.goes_on()


def _well(server: Serving) -> bool:
    with suppress(Exception), server.connect() as client:
        return bool(client.call("bad.well", 1) == 1)
    return False
