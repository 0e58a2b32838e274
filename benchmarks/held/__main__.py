"""`python -m benchmarks.held`: each scenario on each core that it is for, what was seen, and whether the goal is met."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from anycore.testing.certificate import CERTIFICATE
from benchmarks.environment import UnusableError, anycore_command, processors, require_tools, versions
from benchmarks.held.busy import busy
from benchmarks.held.hostile import DEAF, SILENT, SLOW, Hostile
from benchmarks.held.idle import IDLE, TLS_IDLE, idle_connections, tls_memory
from benchmarks.held.overload import offer
from benchmarks.load import LoadError
from benchmarks.servers import Server, StartError, free_port

CORES = ("asyncio", "threaded", "pool", "prefork")
"""Those that serve many at once. `forking` has a process for each connection, 256 by default: slow peers fill it."""
ROUNDS = 3
WORKERS = 8
CAPACITY = WORKERS / 0.01
"""Calls per second that so many threads can do, of ten milliseconds each."""
PATIENT = ["--idle-time", "0", "--receive-time", "60", "--handshake-time", "60", "--send-time", "60"]
"""Hostile peers are to be borne here, not sent away."""


class Run:
    """One run: where things are, and what was not met."""

    def __init__(self, seconds: int, certificate: Path) -> None:
        self.seconds = seconds
        self.server_processor, self.load_processor = processors()
        os.sched_setaffinity(0, {self.load_processor})  # hostile peers and the open loop are this process
        self.certificate = certificate
        self.missed: list[str] = []

    @contextmanager
    def server(
        self, *options: str, core: str, plugin: str = "benchmarks/plugin.py", tls: bool = False
    ) -> Iterator[Server]:
        """Serve on a loopback port, with `tls` over TLS alone."""
        port = free_port()
        scheme = "https" if tls else "http"
        command = [
            anycore_command(),
            "serve",
            plugin,
            "--core",
            core,
            "--listen",
            f"{scheme}://127.0.0.1:{port}",
            *options,
        ]
        if tls:
            command += ["--certificate", str(self.certificate)]
        with Server(core, command, port, self.server_processor) as server:
            yield server

    def say(self, what: str, goal: str, *, met: bool) -> None:
        """Print a result and its goal."""
        print(f"  {what}\n    goal: {goal}; {'met' if met else 'NOT met'}", flush=True)
        if not met:
            self.missed.append(f"{what}; goal: {goal}")


def idle(run: Run) -> None:
    """10,000 idle connections beside 32 busy ones, and what each costs."""
    print(f"{IDLE:,} idle kept-alive connections, asyncio core")
    with run.server("--connections", str(IDLE + 1000), "--idle-time", "0", core="asyncio") as server:
        alone, beside, each = idle_connections(server, run.seconds, run.load_processor)
    share = beside.rate / alone.rate
    run.say(
        f"busy peers: {alone.rate:,.0f} calls/s alone, {beside.rate:,.0f} beside them: {share:.0%}",
        "at least 80 %",
        met=share >= 0.8,
    )
    run.say(f"memory of each: {each / 1024:.1f} KiB", "under 12 KB", met=each < 12_000)
    with run.server("--idle-time", "0", core="asyncio", tls=True) as server:
        tls = tls_memory(server)
    run.say(f"memory of each over TLS, of {TLS_IDLE:,}: {tls / 1024:.1f} KiB", "under 60 KB", met=tls < 60_000)


def hostile(run: Run) -> None:
    """Slow, silent and deaf peers."""
    print(f"{SLOW:,} peers that send a byte a second, {SILENT} that stop in a TLS hand-shake, {DEAF} that never read")
    for core in CORES:
        tls_port = free_port()
        extra = ["--listen", f"https://127.0.0.1:{tls_port}", "--certificate", str(run.certificate)]
        pairs = []
        with run.server(*PATIENT, *extra, core=core) as server:
            for _ in range(ROUNDS):
                alone = busy(server.port, run.seconds, run.load_processor)
                with Hostile(server.port, tls_port):
                    pairs.append((alone, busy(server.port, run.seconds, run.load_processor)))
        times = [beside.p99_ms / alone.p99_ms for alone, beside in pairs]
        alone, beside = sorted(pairs, key=lambda pair: pair[1].p99_ms / pair[0].p99_ms)[ROUNDS // 2]
        run.say(
            f"{core}: p99 of the busy peers {alone.p99_ms:.2f} ms alone, {beside.p99_ms:.2f} ms beside them: {median(times):.2f} times"
            f" (rounds: {', '.join(f'{one:.2f}' for one in times)}; {alone.rate:,.0f} and {beside.rate:,.0f} calls/s)",
            "within 3 times, median of the rounds",
            met=median(times) <= 3,
        )


def overload(run: Run) -> None:
    """Three times as many calls as can be done."""
    print(f"overload: {WORKERS} workers, calls of 10 ms, so {CAPACITY:.0f} a second at most")
    for core in CORES:
        if core == "prefork":
            continue  # its workers are cores that are measured here
        waiting = WORKERS if core == "threaded" else 4 * WORKERS  # there, what is in flight runs
        bounds = ["--workers", str(WORKERS), "--in-flight", str(waiting), "--connections", "5000"]
        with run.server(*bounds, core=core, plugin="benchmarks/held/work.py") as server:
            most = offer(server.port, CAPACITY, run.seconds)
            much = offer(server.port, 3 * CAPACITY, run.seconds)
        share = much.done / most.done
        run.say(
            f"{core}: {most.done:.0f} calls/s done of {most.offered:.0f} offered, {much.done:.0f} of {much.offered:.0f}: {share:.0%};"
            f" done within {much.done_p50_ms:.0f} ms (half of them), refused within {much.refused_p99_ms:.0f} ms (99 of 100),"
            f" lost {much.lost}",
            "at least 80 %, none lost, refusals quicker than half a second",
            met=share >= 0.8 and not much.lost and much.refused_p99_ms < 500,
        )


SCENARIOS: dict[str, Callable[[Run], None]] = {"idle": idle, "hostile": hostile, "overload": overload}


def main() -> int:
    """Run the scenarios; return 0 when every goal is met, 1 when one is not, 2 when the benchmark cannot run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.held", description="What a server holds under load.")
    parser.add_argument("--seconds", type=int, default=3, metavar="N", help="per measurement, whole (default 3)")
    parser.add_argument("--only", action="append", choices=SCENARIOS, help="only this scenario; repeatable")
    chosen = parser.parse_args()
    try:
        require_tools()
        with tempfile.TemporaryDirectory(prefix="bench-held-") as folder:
            certificate = Path(folder) / "server.pem"
            certificate.write_text(CERTIFICATE)
            run = Run(chosen.seconds, certificate)
            print(", ".join(f"{name} {value}" for name, value in versions(None, "", "uvloop").items()))
            for name in chosen.only or SCENARIOS:
                SCENARIOS[name](run)
    except (UnusableError, StartError, LoadError) as error:
        print(f"cannot go on: {error}", file=sys.stderr)
        return 2
    return 1 if run.missed else 0


if __name__ == "__main__":
    # Ends by an exception, as Ctrl-C does, so that the servers are killed on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
