"""Restarts under load: no call fails while one server takes the place of another, whatever the wire. The whole of it: `make bench-restart`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("core", "calls", "restarts"),
    [("asyncio", 5000, 3), ("threaded", 1000, 1), ("pool", 1000, 1), ("prefork", 1000, 1), ("forking", 300, 1)],
)
@pytest.mark.timeout(240)
def test_no_call_fails_across_restarts(core: str, calls: int, restarts: int) -> None:
    command = [sys.executable, "-m", "benchmarks.restart", "--json", f"--core={core}", f"--calls={calls}"]
    done = subprocess.run(
        [*command, f"--restarts={restarts}"], cwd=ROOT, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.stdout, done.stderr
    found = json.loads(done.stdout)
    failures = {caller["name"]: caller["failures"][:3] for caller in found["callers"] if caller["failures"]}
    assert failures == {}
    assert found["failed"] == 0
    assert found["calls"] >= calls
    assert all(caller["servers"] > restarts for caller in found["callers"]), "every caller has met every server"
