"""The load: one real call that is checked, then wrk or the gRPC client, whose every complaint fails the row."""

from __future__ import annotations

import json
import resource
import socket
import subprocess
import tempfile
from dataclasses import dataclass
from typing import Any

from benchmarks.environment import ROOT, peers_python
from benchmarks.servers import Server, pinned
from benchmarks.targets import Target
from benchmarks.workload import CALLS, WrongAnswerError, check_answer

SCRIPT = ROOT / "benchmarks" / "post.lua"
WARM_UP_CALLS = 200
SLACK_SECONDS = 20  # what a load generator may take beyond its time before it is killed


class LoadError(Exception):
    """A measurement that must not be reported as one."""


@dataclass(frozen=True)
class Sample:
    """One measurement: calls per second, latency in microseconds, and how much of its processor each side used.

    Where the server used less than all of its own, the load was the limit, or other programs were in the way.
    """

    rate: float
    p50_us: float
    p99_us: float
    server_cpu: float
    load_cpu: float


@dataclass(frozen=True)
class Cell:
    """What is measured at a time: a target, a call by name, and how many connections make it."""

    target: Target
    call: str
    connections: int


def verify(server: Server, target: Target, call: str) -> int:
    """Call once and check the answer, then some hundred times to warm up.

    Returns:
        How many bytes one answer has, head included; 0 where that is not known (gRPC).

    Raises:
        LoadError: the server refused, hung up or gave a wrong answer.
    """
    try:
        if target.wire == "grpc":
            check_answer("grpc", CALLS[call], _grpc(server, call, 1, 0.2)["answer"].encode())
            return 0
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
            request = _http_request(server.port, target, call)
            head, body = _ask(connection, request)
            if not head.startswith(b"HTTP/1.1 200 "):
                raise LoadError(f"answered {head[:40]!r} {body[:200]!r}, expected status 200")
            check_answer(target.wire, CALLS[call], body)
            for _ in range(WARM_UP_CALLS):
                _ask(connection, request)
            return len(head) + len(body)
    except (OSError, WrongAnswerError) as error:
        raise LoadError(str(error)) from error


def measure(server: Server, cell: Cell, seconds: int, answer_bytes: int, processor: int) -> Sample:
    """Measure one cell for some seconds, the load on `processor`.

    Raises:
        LoadError: a socket error, a status beyond 2xx, or answers of another size than the one that was checked.
    """
    before = server.cpu_seconds()
    if cell.target.wire == "grpc":
        report = _grpc(server, cell.call, cell.connections, seconds, processor)
        check_answer("grpc", CALLS[cell.call], report["answer"].encode())
    else:
        report = _wrk(server, cell, seconds, processor)
        _check_size(report, cell.connections, answer_bytes)
    used = server.cpu_seconds() - before
    errors = {kind: count for kind, count in report["errors"].items() if count}
    if errors or not report["requests"]:
        raise LoadError(f"{report['requests']} calls, errors: {errors}")
    duration = report["duration_us"] / 1e6
    cpu = used / duration, report["load_cpu_seconds"] / duration
    return Sample(report["requests"] / duration, report["p50_us"], report["p99_us"], *cpu)


def _wrk(server: Server, cell: Cell, seconds: int, processor: int) -> dict[str, Any]:
    with tempfile.NamedTemporaryFile(prefix="bench-body-") as body:
        body.write(cell.target.body(cell.call))
        body.flush()
        url = f"http://127.0.0.1:{server.port}{cell.target.url_path(cell.call)}"
        options = ["-t1", f"-c{cell.connections}", f"-d{seconds}s", "-s", str(SCRIPT)]
        return run(["wrk", *options, url, "--", body.name, cell.target.content_type], seconds, processor)


def _grpc(server: Server, call: str, connections: int, seconds: float, processor: int | None = None) -> dict[str, Any]:
    command = [peers_python(), "-m", "benchmarks.peers.grpc_load"]
    return run([*command, str(server.port), call, str(connections), str(seconds)], seconds, processor)


def run(command: list[str], seconds: float, processor: int | None) -> dict[str, Any]:
    """Run a load generator and return what it reports, in one line of JSON, with the processor time that it took.

    Raises:
        LoadError: it failed, or did not end in time.
    """
    if processor is not None:
        command = pinned(command, processor)
    before = _children_cpu_seconds()
    try:
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=seconds + SLACK_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise LoadError(f"the load did not end within {error.timeout:.0f} s") from error
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        raise LoadError(f"the load ended with status {done.returncode}: {(done.stderr or done.stdout)[-400:].strip()}")
    used = _children_cpu_seconds() - before
    report: dict[str, Any] = {"load_cpu_seconds": used} | json.loads(lines[-1])
    return report


def _children_cpu_seconds() -> float:
    # Of the children that were waited for: no server while a load runs.
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _check_size(report: dict[str, Any], connections: int, answer_bytes: int) -> None:
    # XML-RPC and JSON-RPC faults come with status 200, but not with the size of the answer that was checked.
    excess = abs(report["bytes"] - report["requests"] * answer_bytes)
    if excess > connections * answer_bytes:
        mean = report["bytes"] / max(report["requests"], 1)
        raise LoadError(f"answers of {mean:.1f} bytes on average, the one that was checked had {answer_bytes}")


def _http_request(port: int, target: Target, call: str) -> bytes:
    """Return the same bytes as wrk sends."""
    body = target.body(call)
    head = (
        f"POST {target.url_path(call)} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        f"Content-Type: {target.content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _ask(connection: socket.socket, request: bytes) -> tuple[bytes, bytes]:
    """Send a request; return head (with its empty line) and body of the answer."""
    connection.sendall(request)
    data = b""
    while b"\r\n\r\n" not in data:
        data += _receive(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    fields = dict(line.split(b":", 1) for line in head.lower().split(b"\r\n")[1:])
    length = int(fields.get(b"content-length", b"-1"))
    if length < 0:
        raise LoadError(f"answered without Content-Length: {head[:200]!r}")
    while len(body) < length:
        body += _receive(connection)
    return head + b"\r\n\r\n", body


def _receive(connection: socket.socket) -> bytes:
    data = connection.recv(65_536)
    if not data:
        raise LoadError("the server hung up on a connection that is to be kept alive")
    return data
