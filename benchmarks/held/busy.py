"""The busy peers of every scenario: wrk with 32 kept-alive connections that call `bench.add`, each answer's size checked."""

from __future__ import annotations

import resource
import socket
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load import SCRIPT, LoadError, run
from benchmarks.workload import CALLS, request_body

CONNECTIONS = 32
BODY = request_body("jsonrpc", "bench.add", CALLS["add"])


@dataclass(frozen=True)
class Busy:
    """What the busy peers saw: calls per second, and the latency below which 99 of 100 stayed, in milliseconds."""

    rate: float
    p99_ms: float


def busy(port: int, seconds: int, processor: int) -> Busy:
    """Measure for some seconds.

    Raises:
        LoadError: a socket error, a time-out, or a status beyond 2xx.
    """
    with tempfile.NamedTemporaryFile(prefix="bench-body-") as body:
        body.write(BODY)
        body.flush()
        options = ["-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", str(SCRIPT), f"http://127.0.0.1:{port}/"]
        report = run(["wrk", *options, "--", body.name, "application/json"], seconds, processor)
    errors = {kind: count for kind, count in report["errors"].items() if count}
    if errors or not report["requests"]:
        raise LoadError(f"the busy peers: {report['requests']} calls, errors: {errors}")
    return Busy(report["requests"] / (report["duration_us"] / 1e6), report["p99_us"] / 1e3)


def request(body: bytes = BODY) -> bytes:
    """Return a whole request."""
    head = (
        f"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def ask(connection: socket.socket) -> None:
    """Make one call on a connection and check that it was answered.

    Raises:
        LoadError: it was not.
    """
    connection.sendall(request())
    data = b""
    while not (b'"result":5' in data and data.endswith(b"}")):
        more = connection.recv(65_536)
        if not more:
            raise LoadError(f"the server hung up: {data[:200]!r}")
        data += more


def resident(pid: int) -> int:
    """Return the resident memory of a process, in bytes, once it has come to rest."""
    page = resource.getpagesize()
    before = -1
    while True:
        time.sleep(0.3)
        now = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * page
        if now == before:
            return now
        before = now


def allow_descriptors(count: int) -> None:
    """Let this process have that many files open.

    Raises:
        LoadError: the system does not allow it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        if hard != resource.RLIM_INFINITY and hard < count:
            raise LoadError(f"{count} open files are needed, the system allows {hard}: ulimit -Hn")
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
