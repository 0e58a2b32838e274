"""`python -m benchmarks.foreign`: the same application on our asyncio core and on others' servers; calls per second, and ratios."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from statistics import median

from benchmarks.__main__ import Run, say
from benchmarks.environment import UnusableError, processors, require_tools
from benchmarks.load import Cell
from benchmarks.report import ratio
from benchmarks.targets import FORMS, PATHS, Target

CORES = ("asyncio", "uvicorn", "granian", "gunicorn", "cheroot")
CONNECTIONS = 32


def targets(wires: list[str]) -> list[Target]:
    """Return what is measured: each form of the method, on each core, over each wire."""
    return [
        Target(f"{core} {form} {wire}", f"anycore {core}", wire, PATHS[wire], suffix, ours=True)
        for wire in wires
        for form, suffix in FORMS.items()
        for core in CORES
    ]


def main() -> int:
    """Run and report; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.foreign", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="rounds; each measures all (default 3)")
    parser.add_argument("--seconds", type=int, default=1, metavar="N", help="per measurement, whole (default 1)")
    parser.add_argument("--wire", action="append", choices=sorted(PATHS), help="only this wire; repeatable")
    chosen = parser.parse_args()
    try:
        require_tools()
        server_processor, load_processor = processors()
    except UnusableError as error:
        say(f"cannot run: {error}")
        return 2
    run = Run(targets(chosen.wire or ["jsonrpc"]), (CONNECTIONS,))
    run.cells = [cell for cell in run.cells if cell.call == "add"]
    with ExitStack() as stack:
        run.start(stack, server_processor)
        run.verify()
        for _ in range(chosen.rounds):
            run.round(chosen.seconds, load_processor)
    results = run.results()
    print(f"add(2, 3), {CONNECTIONS} connections; medians of {chosen.rounds} rounds")
    print(f"{'core form wire':28}{'calls/s':>10}{'asyncio is':>14}")
    for cell, samples in results.items():
        own = Cell(
            next(
                one.target
                for one in run.cells
                if one.target.server == "anycore asyncio"
                and (one.target.form, one.target.wire) == (cell.target.form, cell.target.wire)
            ),
            cell.call,
            cell.connections,
        )
        rates = [sample.rate for sample in samples]
        times = ratio([sample.rate for sample in results[own]], rates) if own in results else 0.0
        print(f"{cell.target.name:28}{median(rates):>10.0f}{times:>12.1f} x")
    return 1 if run.failures else 0


if __name__ == "__main__":
    sys.exit(main())
