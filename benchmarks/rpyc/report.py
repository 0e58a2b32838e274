"""From samples to tables: medians, and the medians of the ratios of each round. Neither runs nor measures anything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from statistics import median
from typing import Any

from benchmarks.load import Sample
from benchmarks.report import ratio
from benchmarks.rpyc.targets import GROUPS, IDLE_GOAL, IDLE_OURS, IDLE_PEER, Group, Row

Cell = tuple[Group, Row]
Samples = Mapping[Cell, Sequence[Sample]]
NAME_WIDTH = 30
RATE_WIDTH = 10
RATIO_WIDTH = 11
REASON_WIDTH = 90


def ratios(samples: Samples, group: Group, row: Row) -> dict[str, float]:
    """Return a row's rate over that of each peer of the group, by the peer's heading."""
    rates = [sample.rate for sample in samples[group, row]]
    found = {}
    for peer in group.rows:
        others = samples.get((group, peer), ())
        if peer.column and peer != row and len(others) == len(rates):
            found[peer.column] = ratio(rates, [sample.rate for sample in others])
    return found


def table(samples: Samples, failures: Mapping[Cell, str]) -> str:
    """Return the report on all groups as text."""
    used = [group for group in GROUPS if any(group == other for other, _ in (*samples, *failures))]
    return "\n".join(line for group in used for line in _group(samples, failures, group))


def idle_table(idle: Mapping[str, float], failures: Mapping[str, str]) -> str:
    """Return the report on idle connections as text."""
    lines = ["", f"{'one idle connection of 1,000':<{NAME_WIDTH}}{'KB':>{RATE_WIDTH}}  of ThreadedServer's"]
    for name, size in idle.items():
        compared = f"{size / idle[IDLE_PEER]:>18.2f}" if IDLE_PEER in idle and name != IDLE_PEER else ""
        lines.append(f"{name:<{NAME_WIDTH}}{size / 1000:>{RATE_WIDTH}.1f}{compared}")
    lines += [f"{name:<{NAME_WIDTH}} FAILED: {_short(reason)}" for name, reason in failures.items()]
    ours = [name for name in IDLE_OURS if name in idle]
    if ours and IDLE_PEER in idle:
        best = min(ours, key=idle.__getitem__)
        share = idle[best] / idle[IDLE_PEER]
        lines.append(_verdict(f"at most {IDLE_GOAL} of ThreadedServer's", f"{share:.2f}", best, met=share <= IDLE_GOAL))
    return "\n".join(lines)


def as_data(samples: Samples, failures: Mapping[Cell, str]) -> dict[str, Any]:
    """Return everything that was measured, for JSON: each round, the medians and the ratios."""
    return {
        "rows": [
            {
                "group": group.name,
                "row": row.name,
                "unit": group.unit,
                "median": _medians(rounds),
                "rounds": [asdict(sample) for sample in rounds],
                "ratios": ratios(samples, group, row),
            }
            for (group, row), rounds in samples.items()
        ],
        "failures": [
            {"group": group.name, "row": row.name, "reason": reason} for (group, row), reason in failures.items()
        ],
    }


def _server_us(rounds: Sequence[Sample]) -> float:
    """Return the server's processor time per unit, in microseconds: what other programs on the machine falsify least."""
    return median(sample.server_cpu / sample.rate for sample in rounds) * 1e6


def _medians(rounds: Sequence[Sample]) -> dict[str, float]:
    return {key: median(getattr(sample, key) for sample in rounds) for key in asdict(rounds[0])}


def _group(samples: Samples, failures: Mapping[Cell, str], group: Group) -> Iterable[str]:
    columns = [row.column for row in group.rows if row.column]
    left = (
        f"{'':<{NAME_WIDTH}}{group.unit:>{RATE_WIDTH}}{'p50 ms':>8}{'p99 ms':>8}{'server':>8}{'load':>6}{'CPU us':>8}"
    )
    yield f"\n{group.name}: {group.title}"
    yield f"{'times the rate of:':>{len(left)}}" + "".join(f"{c.partition(' ')[0]:>{RATIO_WIDTH}}" for c in columns)
    yield left + "".join(f"{c.partition(' ')[2]:>{RATIO_WIDTH}}" for c in columns)
    for row in group.rows:
        if (group, row) in failures:
            yield f"{row.name:<{NAME_WIDTH}} FAILED: {_short(failures[group, row])}"
        elif (group, row) in samples:
            yield _line(samples, group, row, columns)
    for column, factor in group.goals.items():
        found = {row: ratios(samples, group, row) for row in group.rows if row.ours and (group, row) in samples}
        reached = {row.name: of[column] for row, of in found.items() if column in of}
        if reached:
            best = max(reached, key=reached.__getitem__)
            wanted = f"{factor:g} times {column.replace(' ', '')}"
            yield _verdict(wanted, f"{reached[best]:.2f}", best, met=reached[best] >= factor)


def _verdict(wanted: str, reached: str, by: str, *, met: bool) -> str:
    return f"goal: {wanted}; {'met' if met else 'NOT met'}: {reached} by {by}"


def _line(samples: Samples, group: Group, row: Row, columns: list[str]) -> str:
    m = _medians(samples[group, row])
    latency = "".join(f"{m[key] / 1000:>8.2f}" if m[key] else " " * 8 for key in ("p50_us", "p99_us"))
    figures = f"{m['rate']:>{RATE_WIDTH},.{0 if m['rate'] >= 100 else 1}f}{latency}{m['server_cpu']:>8.0%}{m['load_cpu']:>6.0%}"
    figures += f"{_server_us(samples[group, row]):>8.1f}" if group.unit != "MB/s" else " " * 8
    found = ratios(samples, group, row)
    compared = "".join(f"{found[c]:>{RATIO_WIDTH}.2f}" if c in found else " " * RATIO_WIDTH for c in columns)
    return f"{row.name:<{NAME_WIDTH}}{figures}{compared}".rstrip()


def _short(reason: str) -> str:
    # The end of what a program printed says more than its beginning; all of it went to standard error already.
    return reason if len(reason) <= REASON_WIDTH else f"... {reason[-REASON_WIDTH:]}"
