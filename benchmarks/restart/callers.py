"""Callers that count: one for each way of calling. None of them tries again: whatever goes wrong is a failed call."""

from __future__ import annotations

import http.client
import itertools
import json
import ssl
import threading
import time
import xmlrpc.client
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from anycore.rpyc.connecting import connect
from anycore.testing.certificate import client_context

HELD = 50
"""Calls over one held RPyC connection."""
SECONDS = 120.0
PAUSE = 0.05
"""Seconds between a failed call and the next."""


Calling = Callable[[Callable[[], bool]], Iterator[Callable[[], int]]]
"""Given what tells whether it is time to end, the calls, to be made one after the other."""


class Caller(threading.Thread):
    """Calls until told to end.

    Attributes:
        turn: How many calls it makes, at most, before it is with the server that has taken over.
        calls: How many calls were made.
        failures: What went wrong with those that failed.
        slowest: Seconds that the slowest call took.
        servers: Process numbers of the servers that have answered.
    """

    def __init__(self, name: str, calling: Calling, turn: int = 2) -> None:
        super().__init__(name=name, daemon=True)
        self.turn = turn
        self._calling = calling
        self.ended = threading.Event()
        self.calls = 0
        self.failures: list[str] = []
        self.slowest = 0.0
        self.servers: set[int] = set()

    def run(self) -> None:
        attempts = self._calling(self.ended.is_set)
        while not self.ended.is_set():
            began = time.monotonic()
            try:
                call = next(attempts, None)
                if call is None:  # it was told to end just now
                    return
                self.servers.add(call())
            except Exception as error:  # noqa: BLE001 - counted, and shown
                self.failures.append(f"{type(error).__name__}: {error}")
                attempts = self._calling(self.ended.is_set)
                self.ended.wait(PAUSE)
            self.calls += 1
            self.slowest = max(self.slowest, time.monotonic() - began)


def kept(port: int, wire: str, context: ssl.SSLContext | None = None) -> Calling:
    """Call over one connection for as long as the server keeps it."""

    def calling(_: Callable[[], bool]) -> Iterator[Callable[[], int]]:
        made = http.client.HTTPSConnection if context is not None else http.client.HTTPConnection
        options = {"context": context} if context is not None else {}
        connection = made("localhost", port, timeout=SECONDS, **options)
        try:
            while True:
                # It connects again by itself after an answer that says `Connection: close`, and at no other time.
                yield lambda: WIRES[wire](connection)
        finally:
            connection.close()

    return calling


def fresh(port: int) -> Calling:
    """Connect for each call over HTTP."""

    def call() -> int:
        connection = http.client.HTTPConnection("localhost", port, timeout=SECONDS)
        try:
            return _json(connection)
        finally:
            connection.close()

    return lambda _: itertools.repeat(call)


def rpyc_short(port: int) -> Calling:
    """Connect, call, and close."""

    def call() -> int:
        with _rpyc(port) as connection:
            return int(connection.root.sample.pid())

    return lambda _: itertools.repeat(call)


def rpyc_held(port: int) -> Calling:
    """Call many times over one connection, close it, and connect again."""

    def calling(ended: Callable[[], bool]) -> Iterator[Callable[[], int]]:
        while not ended():
            with _rpyc(port) as connection:
                sample = connection.root.sample
                for _ in range(HELD):
                    yield lambda: int(sample.pid())  # noqa: B023 - called before the next one

    return calling


@contextmanager
def _rpyc(port: int) -> Iterator[Any]:
    connection = connect("localhost", port, config={"sync_request_timeout": SECONDS})
    try:
        yield connection
    finally:
        connection.close()


def _xml(connection: http.client.HTTPConnection) -> int:
    body = xmlrpc.client.dumps((), "sample.pid")
    found, _ = xmlrpc.client.loads(_post(connection, "/RPC2", "text/xml", body))
    return int(found[0])


def _json(connection: http.client.HTTPConnection) -> int:
    body = '{"jsonrpc": "2.0", "id": 1, "method": "sample.pid"}'
    return int(json.loads(_post(connection, "/jsonrpc", "application/json", body))["result"])


def _post(connection: http.client.HTTPConnection, path: str, content: str, body: str) -> bytes:
    connection.request("POST", path, body, {"Content-Type": content})
    response = connection.getresponse()
    data = response.read()
    if response.status != 200:
        message = f"status {response.status}: {data!r:.200}"
        raise OSError(message)
    return data


WIRES = {"xml": _xml, "json": _json}


def callers(http_port: int, https_port: int, rpyc_port: int) -> list[Caller]:
    """Return one caller for each way of calling."""
    return [
        Caller("XML-RPC, connection kept", kept(http_port, "xml")),
        Caller("JSON-RPC, connection kept", kept(http_port, "json")),
        Caller("JSON-RPC over TLS, connection kept", kept(https_port, "json", client_context())),
        Caller("JSON-RPC, a connection for each call", fresh(http_port)),
        Caller("RPyC, a connection for each call", rpyc_short(rpyc_port)),
        Caller(f"RPyC, a connection for {HELD} calls", rpyc_held(rpyc_port), HELD + 2),
    ]
