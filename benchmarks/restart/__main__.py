"""`python -m benchmarks.restart`: calls without end, restarts in between, and how many calls have failed."""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from anycore.server.process.control import ask
from anycore.testing.certificate import CERTIFICATE
from benchmarks.restart.callers import Caller, callers

PLUGIN = Path(__file__).with_name("plugin.py")
PATIENCE = 120.0


@contextmanager
def served(folder: Path, core: str) -> Iterator[tuple[str, list[int]]]:
    """Start a server; give its control socket and the ports of its HTTP, HTTPS and RPyC listeners; end whichever serves last."""
    (folder / "certificate.pem").write_text(CERTIFICATE)
    control = folder / "control.sock"
    listen = [f"--listen={scheme}://localhost:0" for scheme in ("http", "https", "rpyc")]
    options = ["--certificate=certificate.pem", f"--control={control}", f"--core={core}", "--log-level=warning"]
    process = subprocess.Popen(
        [sys.executable, "-m", "anycore", "serve", str(PLUGIN), *listen, *options],
        cwd=folder, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    started = {process.pid}
    try:
        said = ""
        for line in process.stdout:
            said += line
            if "Ctrl-C" in line:
                break
        ports = [int(port) for port in re.findall(r"(?:http|https|rpyc)://localhost:(\d+)\s", said)[:3]]
        if len(ports) != 3:
            sys.exit(f"the server did not start: {said}")
        yield str(control), ports
    finally:
        with suppress(OSError):  # it has ended
            started.add(ask(str(control), "status")["pid"])
        process.stdout.close()
        for pid in started:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        process.wait(PATIENCE)


def run(core: str, calls: int, restarts: int) -> dict[str, Any]:
    """Make the calls, with the restarts spread evenly over them."""
    with tempfile.TemporaryDirectory(prefix="anycore-") as name, served(Path(name), core) as (control, ports):
        threads = callers(*ports)
        took: list[float] = []
        for thread in threads:
            thread.start()
        try:
            for number in range(1, restarts + 1):
                _wait(threads, calls * number // (restarts + 1))
                began = time.monotonic()
                ask(control, "restart", timeout=PATIENCE)
                took.append(time.monotonic() - began)
                _wait_for_each(threads)
            _wait(threads, calls)
        finally:
            for thread in threads:
                thread.ended.set()
            for thread in threads:
                thread.join(PATIENCE)
        return {
            "core": core,
            "calls": sum(thread.calls for thread in threads),
            "failed": sum(len(thread.failures) for thread in threads),
            "restarts": restarts,
            "restart_seconds": took,
            "callers": [
                {
                    "name": thread.name,
                    "calls": thread.calls,
                    "failures": thread.failures,
                    "slowest": thread.slowest,
                    "servers": len(thread.servers),
                }
                for thread in threads
            ],
        }


def _wait(threads: list[Caller], calls: int) -> None:
    """Wait until so many calls have been made."""
    until = time.monotonic() + PATIENCE
    while (made := sum(thread.calls for thread in threads)) < calls:
        if time.monotonic() > until:
            sys.exit(f"no more than {made} of {calls} calls within {PATIENCE:g} s")
        time.sleep(0.01)


def _wait_for_each(threads: list[Caller]) -> None:
    """Wait until each caller has reached the server that has taken over."""
    goals = [(thread, thread.calls + thread.turn) for thread in threads]
    until = time.monotonic() + PATIENCE
    while late := [thread.name for thread, goal in goals if thread.calls < goal]:
        if time.monotonic() > until:
            sys.exit(f"no answer within {PATIENCE:g} s for: {', '.join(late)}")
        time.sleep(0.01)


def show(done: dict[str, Any]) -> None:
    """Print what came of it."""
    width = max(len(caller["name"]) for caller in done["callers"])
    print(f"core {done['core']}")
    print(f"{''.ljust(width)}  {'calls':>7}  {'failed':>6}  {'slowest':>9}  servers")
    for caller in done["callers"]:
        slowest = f"{caller['slowest'] * 1000:.0f} ms"
        print(
            f"{caller['name'].ljust(width)}  {caller['calls']:>7,}  {len(caller['failures']):>6}  {slowest:>9}  {caller['servers']:>7}"
        )
        for failure in caller["failures"][:5]:
            print(f"  {failure}")
    longest = max(done["restart_seconds"], default=0.0)
    print(
        f"{done['failed']} of {done['calls']:,} calls failed across {done['restarts']} restarts, of {longest:.1f} s at most"
    )


def main() -> None:
    """Read the options, measure, print; the exit code is 1 when a call has failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.restart", description=__doc__)
    parser.add_argument("--core", default="asyncio", help="the core that serves")
    parser.add_argument("--calls", type=int, default=50_000, help="calls to make")
    parser.add_argument("--restarts", type=int, default=10, help="restarts among them")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    given = parser.parse_args()
    done = run(given.core, given.calls, given.restarts)
    if given.json:
        json.dump(done, sys.stdout)
    else:
        show(done)
    sys.exit(done["failed"] > 0)


if __name__ == "__main__":
    main()
