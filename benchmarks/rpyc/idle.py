"""What an idle connection costs the server's process: resident memory with many less that with few, over their number."""

from __future__ import annotations

import os
import resource
import socket
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks.load import LoadError
from benchmarks.rpyc.frames import GETROOT
from benchmarks.servers import Server

CONNECTIONS = 1000
FIRST = 50  # what the first few need that all share is not counted
SETTLE_SECONDS = 0.3
PAGE = os.sysconf("SC_PAGE_SIZE")


def bytes_per_connection(server: Server) -> float:
    """Open connections, each with one request answered, and return what one more adds to the server's memory, in bytes.

    Raises:
        LoadError: one was refused, or not answered.
    """
    _allow_descriptors(CONNECTIONS + FIRST + 100)
    with ExitStack() as stack:
        try:
            for _ in range(FIRST):
                _open(stack, server.port)
            before = _resident(server)
            for _ in range(CONNECTIONS):
                _open(stack, server.port)
            return (_resident(server) - before) / CONNECTIONS
        except OSError as error:
            raise LoadError(f"opening {FIRST + CONNECTIONS} connections: {error}") from error


def _open(stack: ExitStack, port: int) -> None:
    connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
    connection.sendall(GETROOT)
    answer = connection.recv(1000)
    if answer[5:6] != b"\x02":
        raise LoadError(f"GETROOT was answered with {answer[:80]!r}")


def _resident(server: Server) -> int:
    time.sleep(SETTLE_SECONDS)
    return int(Path(f"/proc/{server.pid}/statm").read_text().split()[1]) * PAGE


def _allow_descriptors(count: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(count, hard) if hard > 0 else count, hard))
