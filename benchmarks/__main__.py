"""`python -m benchmarks`: options, and the order of things: start all, verify all, rounds, report, kill all."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import textwrap
import time
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

from benchmarks.environment import UnusableError, peers_python, processors, require_tools, versions
from benchmarks.load import Cell, LoadError, Sample, measure, verify
from benchmarks.report import as_data, table
from benchmarks.servers import Server, StartError, free_port
from benchmarks.targets import PEER_MODULES, TARGETS, Target, command
from benchmarks.workload import CALLS, WrongAnswerError

CONNECTIONS = (1, 32)


class Run:
    """One run of the benchmark: its servers, its samples and its failures."""

    def __init__(self, targets: list[Target], connections: tuple[int, ...]) -> None:
        # Group by group, so that what is compared is measured close together.
        self.cells = [Cell(target, call, n) for call in CALLS for n in connections for target in targets]
        self.failures: dict[Cell, str] = {}
        self._samples: dict[Cell, list[Sample]] = {cell: [] for cell in self.cells}
        self._servers: dict[str, Server] = {}
        self._answer_bytes: dict[tuple[Target, str], int] = {}

    def start(self, stack: ExitStack, processor: int) -> None:
        """Start every server that is needed; one that does not start fails its rows."""
        for name in dict.fromkeys(cell.target.server for cell in self.cells):
            port = free_port()
            try:
                server = Server(name, command(name, port), port, processor)
                self._servers[name] = stack.enter_context(server)
            except (StartError, UnusableError) as error:
                self._fail((cell for cell in self.cells if cell.target.server == name), error)

    def verify(self) -> None:
        """Check the answer of every target to every call; a wrong one fails its rows."""
        for target, call in dict.fromkeys((cell.target, cell.call) for cell in self.cells):
            if target.server not in self._servers:
                continue
            try:
                self._answer_bytes[target, call] = verify(self._servers[target.server], target, call)
            except LoadError as error:
                self._fail((cell for cell in self.cells if (cell.target, cell.call) == (target, call)), error)

    def round(self, seconds: int, processor: int) -> None:
        """Measure every cell that has not failed, once."""
        for cell in self.cells:
            if cell in self.failures:
                continue
            answer_bytes = self._answer_bytes[cell.target, cell.call]
            try:
                sample = measure(self._servers[cell.target.server], cell, seconds, answer_bytes, processor)
                self._samples[cell].append(sample)
            except (LoadError, WrongAnswerError, OSError) as error:
                self._fail([cell], error)

    def results(self) -> dict[Cell, list[Sample]]:
        """Return the samples of the cells that did not fail."""
        return {cell: rounds for cell, rounds in self._samples.items() if rounds and cell not in self.failures}

    def _fail(self, cells: Iterable[Cell], error: Exception) -> None:
        failed = list(cells)
        self.failures |= dict.fromkeys(failed, " ".join(str(error).split()))
        names = [f"{cell.target.name}, {cell.call}, connections: {cell.connections}" for cell in failed]
        say(f"FAILED: {names[0]}{f' and {len(names) - 1} more rows' if names[1:] else ''}: {error}")


def say(text: str) -> None:
    """Tell people how it goes, apart from the report."""
    print(text, file=sys.stderr, flush=True)


def options() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Anycore beside its peers, in one run.")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="rounds; each measures all (default 5)")
    parser.add_argument("--seconds", type=int, default=1, metavar="N", help="per measurement, whole (default 1)")
    parser.add_argument("--only", action="append", metavar="NAME", help="only targets with NAME in theirs; repeatable")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write each round and the environment there as well")
    parser.add_argument("--quick", action="store_true", help="one round, 32 connections only: a look, not a result")
    chosen = parser.parse_args()
    if min(chosen.rounds, chosen.seconds) < 1:
        parser.error("--rounds and --seconds must be 1 or more")
    if not select(chosen.only):
        parser.error(f"--only: no such target; there are: {', '.join(target.name for target in TARGETS)}")
    if chosen.quick:
        chosen.rounds = 1
    return chosen


def select(only: list[str] | None) -> list[Target]:
    """Return the targets whose name contains one of `only`, or all."""
    return [target for target in TARGETS if only is None or any(name in target.name for name in only)]


def main() -> int:
    """Run, report, and return the exit status: 0, or 1 when a row failed, or 2 when the benchmark cannot run."""
    chosen = options()
    targets = select(chosen.only)
    try:
        require_tools()
        server_processor, load_processor = processors()
        peers = peers_python() if any(target.server in PEER_MODULES for target in targets) else None
    except UnusableError as error:
        say(f"cannot run: {error}")
        return 2
    run = Run(targets, CONNECTIONS[-1:] if chosen.quick else CONNECTIONS)
    with ExitStack() as stack:
        run.start(stack, server_processor)
        run.verify()
        for number in range(1, chosen.rounds + 1):
            left = len(run.cells) - len(run.failures)
            say(
                f"{time.strftime('%H:%M:%S')} round {number} of {chosen.rounds}: {left} measurements of {chosen.seconds} s"
            )
            run.round(chosen.seconds, load_processor)
    results = run.results()
    about = {**versions(peers), "rounds": chosen.rounds, "seconds": chosen.seconds}
    print(textwrap.fill(", ".join(f"{key} {value}" for key, value in about.items()), 120))
    print(f"server on processor {server_processor}, load on {load_processor}; medians of the rounds; ratios of calls/s")
    print(table(results, run.failures))
    if chosen.json:
        data = {"environment": about, **as_data(results, run.failures)}
        chosen.json.write_text(json.dumps(data, indent=1) + "\n")
    if run.failures:
        say(f"{len(run.failures)} of {len(run.cells)} rows FAILED")
    return 1 if run.failures else 0


if __name__ == "__main__":
    # Ends by an exception, as Ctrl-C does, so that the servers are killed on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
