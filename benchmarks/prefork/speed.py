"""One worker beside two: calls per second of a method that computes, in plain Python, and so is held up by nothing but its processor."""

from __future__ import annotations

import os
import re
import resource
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks.prefork.servers import Prefork

SCRIPT = Path(__file__).with_name("compute.lua")
CONNECTIONS = 16
STEPS = 200_000
TRIES = 8
PATIENCE = 120.0
LOOK = 0.2
TICKS = os.sysconf("SC_CLK_TCK")
OTHERS = 0.1  # of a processor: a round in which other programs have used more is made again


def measure(inner: str, rounds: int, seconds: int) -> tuple[float, float, float, list[float]]:
    """Return the medians of the rates with one worker and with two, that of the ratios, and the ratios of all rounds."""
    rates: dict[int, list[float]] = {1: [], 2: []}
    with ExitStack() as stack:
        servers = {workers: stack.enter_context(Prefork(workers, inner)) for workers in rates}
        for server in servers.values():
            _rate(server.url, 1)
        for _ in range(rounds * TRIES):
            found = {workers: _undisturbed(server, seconds) for workers, server in servers.items()}
            if None not in found.values():
                for workers, rate in found.items():
                    rates[workers].append(rate or 0.0)
            if len(rates[1]) == rounds:
                break
        else:
            sys.exit(
                f"in {rounds * TRIES} rounds other programs were in the way of {rounds * TRIES - len(rates[1])}; stop them"
            )
    ratios = [two / one for one, two in zip(rates[1], rates[2], strict=True)]
    return statistics.median(rates[1]), statistics.median(rates[2]), statistics.median(ratios), ratios


def _undisturbed(server: Prefork, seconds: int) -> float | None:
    """Return the rate; None when other programs have used too much of the processors meanwhile."""
    _wait_for_quiet()
    before = _busy() - _ours(server)
    rate = _rate(server.url, seconds)
    others = _busy() - _ours(server) - before
    return rate if others <= OTHERS * seconds else None


def _wait_for_quiet() -> None:
    """Wait until nothing else works here, for a while at most."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        before = _busy()
        time.sleep(LOOK)
        if _busy() - before <= OTHERS * LOOK:
            return


def _busy() -> float:
    """Return for how long processors have worked, in seconds: all but idle and waiting for disks (proc(5))."""
    with Path("/proc/stat").open() as lines:
        fields = [int(field) for field in next(lines).split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / TICKS


def _ours(server: Prefork) -> float:
    """Return for how long the processes of a server, and the load, have worked."""
    load = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = load.ru_utime + load.ru_stime
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if server.process.pid in (int(path.parent.name), int(fields[1])):
            found += (int(fields[11]) + int(fields[12])) / TICKS
    return found


def _rate(url: str, seconds: int) -> float:
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}", "-s", str(SCRIPT), f"{url}/jsonrpc", "--", str(STEPS)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in said or "Socket errors" in said:
        raise RuntimeError(said)
    found = re.search(r"Requests/sec:\s+([\d.]+)", said)
    assert found is not None, said
    return float(found[1])
