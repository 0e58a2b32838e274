"""For the tests of the facade: running programs, with the original or with the facade in its place."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from anycore.testing.certificate import CERTIFICATE

Start = Callable[..., "subprocess.Popen[str]"]
SUBSTITUTED = ("-m", "anycore.compat.rpyc")


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Starts a program: `start("original", script, *arguments)` or `start("facade", ...)`."""
    certificate = tmp_path / "certificate.pem"
    certificate.write_text(CERTIFICATE)

    def run(kind: str, script: Path, *arguments: str) -> subprocess.Popen[str]:
        how = SUBSTITUTED if kind == "facade" else ()
        return subprocess.Popen(
            [sys.executable, *how, str(script), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "CERTIFICATE": str(certificate), "PYTHONWARNINGS": "ignore"},
        )

    return run
