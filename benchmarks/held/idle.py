"""Thousands of idle kept-alive connections: what each costs in memory, and what they cost those that are busy."""

from __future__ import annotations

import socket
import ssl
from contextlib import ExitStack

from benchmarks.held.busy import Busy, allow_descriptors, ask, busy, resident
from benchmarks.load import LoadError
from benchmarks.servers import Server

IDLE = 10_000
FIRST = 50  # what the first few need that all share is not counted
TLS_IDLE = 1_000


def idle_connections(server: Server, seconds: int, processor: int) -> tuple[Busy, Busy, float]:
    """Measure the busy peers alone, then beside 10,000 connections that have made a call and are silent.

    Returns:
        Alone, beside them, and how many bytes of memory each of them takes.

    Raises:
        LoadError: a connection was refused or ended, or a call was not answered.
    """
    allow_descriptors(IDLE + FIRST + 200)
    alone = busy(server.port, seconds, processor)
    with ExitStack() as stack:
        opened = [_plain(stack, server.port) for _ in range(FIRST)]
        before = resident(server.pid)
        opened += [_plain(stack, server.port) for _ in range(IDLE)]
        each = (resident(server.pid) - before) / IDLE
        beside = busy(server.port, seconds, processor)
        for connection in opened[:: IDLE // 100]:
            ask(connection)  # they are still served
    return alone, beside, each


def tls_memory(server: Server) -> float:
    """Return how many bytes of memory an idle TLS connection takes.

    Raises:
        LoadError: a connection was refused or ended, or a call was not answered.
    """
    allow_descriptors(TLS_IDLE + FIRST + 200)
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the bytes count here, not who sends them
    with ExitStack() as stack:
        for _ in range(FIRST):
            _tls(stack, server.port, context)
        before = resident(server.pid)
        for _ in range(TLS_IDLE):
            _tls(stack, server.port, context)
        return (resident(server.pid) - before) / TLS_IDLE


def _plain(stack: ExitStack, port: int) -> socket.socket:
    try:
        connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
        ask(connection)
    except OSError as error:
        raise LoadError(f"an idle connection: {error}") from error
    return connection


def _tls(stack: ExitStack, port: int, context: ssl.SSLContext) -> None:
    connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
    ask(stack.enter_context(context.wrap_socket(connection)))
