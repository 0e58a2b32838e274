"""Two hundred processes are killed while they write: not one acknowledged write is lost or half done."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.timeout(180)
def test_no_kill_loses_a_write_or_leaves_half_of_one(path: str) -> None:
    script = Path(__file__).with_name("killing.py")
    command = [sys.executable, "-W", "error", str(script), path, "200", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("200 kills, "), done.stdout
