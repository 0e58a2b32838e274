"""`python -m benchmarks.store`: operations a second of each target, in rounds, and how many times as fast raw lmdb is in the same round."""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import random
import sqlite3
import statistics
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import lmdb

from benchmarks.store.targets import COMMIT, PROCESS, RAW, Factory, Items, Target

GOAL = 1.5
"""How many times as fast as ours raw lmdb may be, for gets and for puts of many together."""
GOALS = {("process", "get"), ("process", "put 1,000 together")}
OURS = "anycore"


def some(count: int, chance: random.Random) -> Items:
    """Return keys and values as a plugin might have them, in no order."""
    items = [(b"session/%032x" % chance.getrandbits(128), chance.randbytes(100)) for _ in range(count)]
    chance.shuffle(items)
    return items


Clock = Callable[[], float]


def measure(target: Target, clock: Clock, items: Items, fresh: Items, single: int) -> dict[str, float]:
    """Return the operations a second of a target.

    Args:
        target: The target, with nothing in it.
        clock: Tells the time.
        items: What it has when it is read.
        fresh: What is then added.
        single: How many of them by themselves.
    """
    keys = [key for key, _ in items]
    batches = [items[start : start + 1000] for start in range(0, len(items), 1000)]

    def timed(work: Callable[[], object]) -> float:
        before = clock()
        work()
        return clock() - before

    together = timed(lambda: [target.put_together(batch) for batch in batches])
    target.get(keys[:1000])
    get = timed(lambda: target.get(keys))
    scan = timed(target.scan)
    put = timed(lambda: target.put(fresh[:single]))
    return {
        "get": len(items) / get,
        "put 1,000 together": len(items) / together,
        "put": single / put,
        "scan": len(items) / scan,
    }


Samples = dict[tuple[str, str], list[float]]


def run(
    factories: dict[str, Factory], clock: Clock, rounds: int, count: int, single: int, place: str | None
) -> Samples:
    """Measure all targets in each round, in a random order."""
    chance = random.Random(5)
    found: Samples = {}
    for _ in range(rounds):
        items, fresh = some(count, chance), some(single, chance)
        for name in chance.sample(list(factories), len(factories)):
            with tempfile.TemporaryDirectory(prefix="bench-store-", dir=place) as folder:
                target = factories[name](Path(folder))
                try:
                    for operation, rate in measure(target, clock, items, fresh, single).items():
                        found.setdefault((name, operation), []).append(rate)
                finally:
                    target.close()
    return found


def report(samples: Samples, names: list[str], group: str) -> bool:
    """Print a table; return whether the goals were reached."""
    operations = list(dict.fromkeys(operation for _, operation in samples))
    print("".join([" " * 22, *(f"{operation:>26}" for operation in operations)]))
    reached = True
    for name in names:
        cells = []
        for operation in operations:
            rates, raw = samples[name, operation], samples[RAW, operation]
            ratio = statistics.median(one / other for one, other in zip(raw, rates, strict=True))
            cells.append(f"{statistics.median(rates):>18,.0f} ({ratio:5.2f})")
            if name == OURS and (group, operation) in GOALS and ratio > GOAL:
                reached = False
        print(f"{name:22}" + "".join(cells))
    return reached


def main() -> int:
    """Run, report, and return the exit status: 0, or 1 when a goal was not reached."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.store", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, metavar="N", help="rounds; each measures all (default 7)")
    parser.add_argument("--count", type=int, default=50_000, metavar="N", help="keys that are read (default 50,000)")
    parser.add_argument("--directory", metavar="PATH", help="on which disk; that for temporary files when left out")
    chosen = parser.parse_args()
    about = {
        "python": platform.python_version(),
        "kernel": os.uname().release,
        "anycore": version("anycore"),
        "lmdb": f"{version('lmdb')} ({'.'.join(map(str, lmdb.version()))})",
        "sqlite3": sqlite3.sqlite_version,
        "keys": f"{chosen.count:,} of 40 bytes",
        "values": "100 bytes",
        "rounds": str(chosen.rounds),
    }
    print(textwrap.fill(", ".join(f"{key} {value}" for key, value in about.items()), 120))
    print("operations a second, medians of the rounds; in brackets how many times as fast raw lmdb is\n")
    available = importlib.util.find_spec("_gdbm") is not None
    if not available:
        print("dbm.gnu is not in this Python: left out\n", file=sys.stderr)
    reached = True
    most = chosen.count
    for group, title, factories, clock, count, single in (
        ("process", "the end of the process; seconds of the processor", PROCESS, time.process_time, most, 5_000),
        ("commit", "the machine losing power; seconds by the clock", COMMIT, time.perf_counter, min(most, 5_000), 200),
    ):
        print(f"What has been written survives {title}")
        known = {name: factory for name, factory in factories.items() if available or name != "dbm.gnu"}
        samples = run(known, clock, chosen.rounds, count, single, chosen.directory)
        reached = report(samples, list(known), group) and reached
        print()
    goals = f"goal: raw lmdb at most {GOAL} times as fast for gets and for puts of many together"
    print(f"{goals}: {'reached' if reached else 'NOT reached'}")
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
