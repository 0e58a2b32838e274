"""`python -m benchmarks.prefork`: one worker beside two, workers killed under load, and ways to share a port."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from benchmarks.environment import UnusableError, processors, require_tools
from benchmarks.prefork import kills, sharing, speed

INNER = ("asyncio", "threaded", "pool")


def main() -> int:
    """Measure, and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.prefork", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of one worker beside two (default 5)")
    parser.add_argument("--seconds", type=int, default=2, help="seconds of one measurement (default 2)")
    parser.add_argument("--inner", action="append", choices=INNER, help="only this inner core; repeatable")
    parser.add_argument("--kills", type=int, default=10, help="workers to kill (default 10)")
    parser.add_argument("--only", action="append", choices=["speed", "kills", "sharing"], help="only this; repeatable")
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    options = parser.parse_args()
    try:
        processors()
        require_tools("wrk")
    except UnusableError as error:
        print(error, file=sys.stderr)
        return 2
    wanted = options.only or ["speed", "kills", "sharing"]
    figures: dict[str, object] = {}
    if "speed" in wanted:
        print(
            f"work.compute({speed.STEPS}), {speed.CONNECTIONS} connections, {len(os.sched_getaffinity(0))} processors,",
            end=" ",
        )
        print(f"{options.rounds} rounds of {options.seconds} s; medians\n")
        print(f"{'inner core':12}{'calls/s, 1 worker':>20}{'2 workers':>12}{'ratio':>8}   ratios of the rounds")
        for inner in options.inner or INNER:
            one, two, ratio, ratios = speed.measure(inner, options.rounds, options.seconds)
            print(
                f"{inner:12}{one:>20,.0f}{two:>12,.0f}{ratio:>8.2f}   {' '.join(f'{r:.2f}' for r in ratios)}",
                flush=True,
            )
            figures[inner] = {"one": one, "two": two, "ratio": ratio, "ratios": ratios}
        print()
    if "kills" in wanted:
        found = kills.measure(options.kills)
        print("\n".join(found.lines()), end="\n\n", flush=True)
        figures["kills"] = vars(found)
    if "sharing" in wanted:
        print("\n".join(sharing.measure(10 * options.rounds)))
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
