"""From samples to a table: medians, and the medians of the ratios of each round. Neither runs nor measures anything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from statistics import median
from typing import Any

from benchmarks.load import Cell, Sample
from benchmarks.targets import OURS, PEERS, TARGETS, Target, comparable

Samples = Mapping[Cell, Sequence[Sample]]
COLUMNS = tuple(dict.fromkeys(peer.column for peer in PEERS))
NAME_WIDTH = 31
RATIO_WIDTH = 8
REASON_WIDTH = 90


def ratio(ours: Sequence[float], peer: Sequence[float]) -> float:
    """Return the median of the ratios of each round; the two were measured next to each other in each."""
    return median(a / b for a, b in zip(ours, peer, strict=True))


def ratios(samples: Samples, cell: Cell) -> dict[str, float]:
    """Return our rate over each comparable peer's, by the peer's heading, for one of our cells."""
    found = {}
    for peer in PEERS:
        other = Cell(peer, cell.call, cell.connections)
        if other in samples and comparable(cell.target, peer):
            found[peer.column] = ratio(_rates(samples[cell]), _rates(samples[other]))
    return found


def table(samples: Samples, failures: Mapping[Cell, str]) -> str:
    """Return the whole report as text."""
    groups = dict.fromkeys((cell.call, cell.connections) for cell in (*samples, *failures))
    return "\n".join(line for group in sorted(groups) for line in _group(samples, failures, *group))


def as_data(samples: Samples, failures: Mapping[Cell, str]) -> dict[str, Any]:
    """Return everything that was measured, for JSON: each round, the medians and the ratios."""
    return {
        "cells": [
            {
                **_identify(cell),
                "median": _medians(rounds),
                "rounds": [asdict(sample) for sample in rounds],
                "ratios": ratios(samples, cell) if cell.target.ours else {},
            }
            for cell, rounds in samples.items()
        ],
        "failures": [{**_identify(cell), "reason": reason} for cell, reason in failures.items()],
    }


def _identify(cell: Cell) -> dict[str, Any]:
    return {
        "target": cell.target.name,
        "wire": cell.target.wire,
        "call": cell.call,
        "connections": cell.connections,
    }


def _medians(rounds: Sequence[Sample]) -> dict[str, float]:
    return {key: median(getattr(sample, key) for sample in rounds) for key in asdict(rounds[0])}


def _rates(rounds: Iterable[Sample]) -> list[float]:
    return [sample.rate for sample in rounds]


def _group(samples: Samples, failures: Mapping[Cell, str], call: str, connections: int) -> Iterable[str]:
    plural = "s" if connections > 1 else ""
    yield f"\n{call}, {connections} connection{plural}"
    yield from _heading()
    for target in TARGETS:
        if target == PEERS[0] and any(Cell(ours, call, connections) in samples for ours in OURS):
            yield ""
        cell = Cell(target, call, connections)
        if cell in failures:
            yield f"{target.name:<{NAME_WIDTH}} FAILED: {_short(failures[cell])}"
        elif cell in samples:
            yield _row(samples, cell)


def _short(reason: str) -> str:
    # The end of what a server printed says more than its beginning; all of it went to standard error already.
    return reason if len(reason) <= REASON_WIDTH else f"... {reason[-REASON_WIDTH:]}"


def _heading() -> Iterable[str]:
    upper = (column.partition(" ")[0] for column in COLUMNS)
    lower = (column.partition(" ")[2] for column in COLUMNS)
    left = f"{'':<{NAME_WIDTH}}{'calls/s':>9}{'p50 ms':>8}{'p99 ms':>8}{'server':>8}{'load':>6}  "
    yield f"{'times the rate of:':>{len(left)}}" + "".join(f"{part:>{RATIO_WIDTH}}" for part in upper)
    yield left + "".join(f"{part:>{RATIO_WIDTH}}" for part in lower)


def _row(samples: Samples, cell: Cell) -> str:
    target: Target = cell.target
    m = _medians(samples[cell])
    latency = f"{m['p50_us'] / 1000:>8.2f}{m['p99_us'] / 1000:>8.2f}"
    figures = f"{m['rate']:>9,.0f}{latency}{m['server_cpu']:>8.0%}{m['load_cpu']:>6.0%}  "
    found = ratios(samples, cell) if target.ours else {}
    compared = "".join(f"{found[c]:>{RATIO_WIDTH}.2f}" if c in found else " " * RATIO_WIDTH for c in COLUMNS)
    return f"{target.name:<{NAME_WIDTH}}{figures}{compared}".rstrip()
