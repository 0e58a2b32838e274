"""`python -m benchmarks.rpyc`: options, and the order of things: start all, rounds, idle connections, report, kill all."""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import tempfile
import textwrap
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks.environment import UnusableError, peers_python, processors, require_tools, versions
from benchmarks.load import LoadError, Sample
from benchmarks.rpyc.idle import bytes_per_connection
from benchmarks.rpyc.measure import compile_replay, measure
from benchmarks.rpyc.recording import record
from benchmarks.rpyc.report import Cell, as_data, idle_table, table
from benchmarks.rpyc.script import ScriptError
from benchmarks.rpyc.targets import GROUPS, IDLE, RECORDED_ON, SCRIPTED, SCRIPTS, SERVERS, script_file
from benchmarks.servers import Server, StartError, free_port


class Run:
    """One run of the benchmark: its servers, its samples and its failures."""

    def __init__(self, cells: list[Cell], idle: list[str], processor: int | None) -> None:
        self.cells = cells
        self.failures: dict[Cell, str] = {}
        self.idle_failures: dict[str, str] = {}
        self.idle_bytes: dict[str, float] = {}
        self.repeated: list[str] = []
        self._idle = idle
        self._processor = processor
        self._samples: dict[Cell, list[Sample]] = {cell: [] for cell in cells}
        self._servers: dict[str, Server] = {}

    def start(self, stack: ExitStack) -> None:
        """Start every server that is needed, and record what some of them are to say; one that does not start fails its rows."""
        needed = dict.fromkeys(row.server for _, row in self.cells)
        scripted = [name for name in needed if name.startswith(SCRIPTED)]
        recorded_on = [RECORDED_ON[name.removeprefix(SCRIPTED).split()[0]] for name in scripted]
        for name in dict.fromkeys((*recorded_on, *needed)):
            try:
                if name in scripted:
                    self._record(name)
                self._servers[name] = stack.enter_context(self._server(name))
            except (StartError, UnusableError, LoadError, ScriptError) as error:
                for cell in self.cells:
                    if cell[1].server == name:
                        self._fail(cell, error)

    def _record(self, name: str) -> None:
        library, workload = name.removeprefix(SCRIPTED).split()
        server = self._servers.get(RECORDED_ON[library])
        if server is None:
            raise LoadError(f"{RECORDED_ON[library]}, with which it is to be recorded, has not started")
        record(library, workload, server.port).write(script_file(name))

    def _server(self, name: str) -> Server:
        port = free_port()
        return Server(name, SERVERS[name](port), port, self._processor)

    def round(self, replay: Path | None, seconds: float, load_processor: int | None) -> None:
        """Measure every row that has not failed, once."""
        for cell in self.cells:
            if cell in self.failures:
                continue
            group, row = cell
            try:
                server = self._servers[row.server]
                sample = measure(replay, group, row, server, seconds, load_processor, self.repeated)
                self._samples[cell].append(sample)
            except (LoadError, UnusableError, OSError) as error:
                self._fail(cell, error)

    def measure_idle(self) -> None:
        """Measure the idle connections, each of a server of its own that has done nothing before."""
        for name in self._idle:
            try:
                with self._server(name) as server:
                    self.idle_bytes[name] = bytes_per_connection(server)
            except (LoadError, StartError, UnusableError, OSError) as error:
                self.idle_failures[name] = " ".join(str(error).split())
                say(f"FAILED: idle connections, {name}: {error}")

    def results(self) -> dict[Cell, list[Sample]]:
        """Return the samples of the rows that did not fail."""
        return {cell: rounds for cell, rounds in self._samples.items() if rounds and cell not in self.failures}

    def _fail(self, cell: Cell, error: Exception) -> None:
        self.failures[cell] = " ".join(str(error).split())
        say(f"FAILED: {cell[0].name}, {cell[1].name}: {error}")


def say(text: str) -> None:
    """Tell people how it goes, apart from the report."""
    print(text, file=sys.stderr, flush=True)


def options() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rpyc", description="RPyC: Anycore beside rpyc itself.")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="rounds; each measures all (default 5)")
    parser.add_argument("--seconds", type=float, default=1, metavar="N", help="per measurement (default 1)")
    parser.add_argument(
        "--only", action="append", metavar="NAME", help="only groups, or rows, with NAME in theirs; `idle`; repeatable"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write each round and the environment there as well")
    parser.add_argument("--pin", action="store_true", help="a processor for the server and another one for the load")
    parser.add_argument("--quick", action="store_true", help="one round of half a second: a look, not a result")
    chosen = parser.parse_args()
    if chosen.quick:
        chosen.rounds, chosen.seconds = 1, 0.5
    if chosen.rounds < 1 or chosen.seconds <= 0:
        parser.error("--rounds must be 1 or more, --seconds more than 0")
    if not select(chosen.only) and not select_idle(chosen.only):
        groups = ", ".join(group.name for group in GROUPS)
        rows = ", ".join(dict.fromkeys(row.name for group in GROUPS for row in group.rows))
        parser.error(f"--only: no such group or row; groups: {groups}, idle; rows: {rows}")
    return chosen


def select(only: list[str] | None) -> list[Cell]:
    """Return what to measure: the rows whose name, or whose group's, contains one of `only`; all without."""
    return [
        (group, row)
        for group in GROUPS
        for row in group.rows
        if only is None or any(name in group.name or name in row.name for name in only)
    ]


def select_idle(only: list[str] | None) -> list[str]:
    """Return the servers whose idle connections are to be measured."""
    return list(IDLE) if only is None or "idle" in only else []


def main() -> int:
    """Run, report, and return the exit status: 0, or 1 when a row failed, or 2 when the benchmark cannot run."""
    chosen = options()
    cells = select(chosen.only)
    with ExitStack() as stack:
        try:
            require_tools("taskset", "setpriv")
            server_processor, load_processor = processors() if chosen.pin else (None, None)
            python = peers_python()
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-rpyc-")))
            replay = compile_replay(folder) if any(not group.workload for group, _ in cells) else None
        except UnusableError as error:
            say(f"cannot run: {error}")
            return 2
        run = Run(cells, select_idle(chosen.only), server_processor)
        run.measure_idle()
        SCRIPTS.mkdir(mode=0o700)
        stack.callback(shutil.rmtree, SCRIPTS)
        run.start(stack)
        for number in range(1, chosen.rounds + 1):
            left = len(cells) - len(run.failures)
            at = time.strftime("%H:%M:%S")
            say(f"{at} round {number} of {chosen.rounds}: {left} measurements of {chosen.seconds:g} s")
            run.round(replay, chosen.seconds, load_processor)
    about = versions(python, "rpyc uvloop", "rpyc") | {"rounds": chosen.rounds, "seconds": chosen.seconds}
    print(textwrap.fill(", ".join(f"{key} {value}" for key, value in about.items()), 120))
    where = f"server on processor {server_processor}, load on {load_processor}" if chosen.pin else "nothing is pinned"
    print(f"{where}; medians of the rounds; ratios of rates")
    results = run.results()
    print(table(results, run.failures))
    if run.idle_bytes or run.idle_failures:
        print(idle_table(run.idle_bytes, run.idle_failures))
    for reason in run.repeated:
        print(f"measured again: {reason}")
    if chosen.json:
        idle = {"bytes": run.idle_bytes, "failures": run.idle_failures}
        data = {"environment": about, **as_data(results, run.failures), "idle": idle, "repeated": run.repeated}
        chosen.json.write_text(json.dumps(data, indent=1) + "\n")
    failed = len(run.failures) + len(run.idle_failures)
    if failed:
        say(f"{failed} of {len(cells) + len(run.idle_bytes) + len(run.idle_failures)} rows FAILED")
    return 1 if failed else 0


if __name__ == "__main__":
    # Ends by an exception, as Ctrl-C does, so that the servers are killed on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
