"""Workers killed with -9 under load: they take their own calls with them, and nothing else. The whole of it: `make bench-prefork`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
KILLS = 2
CALLERS = 8
SECONDS = 30


def test_a_killed_worker_takes_only_its_own_calls_with_it(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks.prefork", "--only=kills", f"--kills={KILLS}", f"--json={figures}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(figures.read_text())["kills"]
    assert found["wrong"] == 0, "no answer may reach another caller"
    assert found["calls"] > CALLERS
    assert found["lost"] <= KILLS * CALLERS, "a caller loses the call that it has under way, at most"
    assert max(found["back"]) < SECONDS
