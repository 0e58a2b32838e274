"""For the tests of the facade: running programs, with the original or with the facade in its place."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from anycore.testing.certificate import CERTIFICATE

Start = Callable[..., "subprocess.Popen[str]"]
SUBSTITUTED = ("-m", "anycore.compat.rpyc")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a program: `start("original", script, *arguments)` or `start("facade", ...)`; none outlives the test."""
    certificate = tmp_path / "certificate.pem"
    certificate.write_text(CERTIFICATE)
    started: list[subprocess.Popen[str]] = []

    def run(kind: str, script: Path, *arguments: str) -> subprocess.Popen[str]:
        how = SUBSTITUTED if kind == "facade" else ()
        process = subprocess.Popen(
            [sys.executable, *how, str(script), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "CERTIFICATE": str(certificate), "PYTHONWARNINGS": "ignore"},
        )
        started.append(process)
        return process

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
        process.wait()
