"""Where things run: the two processors, the Python of the peers, the `anycore` command. Nothing here measures."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "benchmarks" / "requirements.txt"
PEERS_VENV = ROOT / ".bench-venv"


class UnusableError(Exception):
    """Something that the benchmark needs is missing; the message says what and how to get it."""


def processors() -> tuple[int, int]:
    """Return the processor for the servers and the one for the load.

    Raises:
        UnusableError: there is only one, so that server and load would share it.
    """
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        raise UnusableError(f"processors: {allowed}; two are needed, one for the server and one for the load")
    return allowed[0], allowed[1]


def require_tools(*names: str) -> None:
    """Check that these programs are there; without names: wrk and util-linux.

    Raises:
        UnusableError: one is not.
    """
    packages = {"wrk": "wrk", "taskset": "util-linux", "setpriv": "util-linux"}
    for tool in names or packages:
        if shutil.which(tool) is None:
            raise UnusableError(f"{tool} is not on the PATH; on Debian: apt-get install {packages.get(tool, tool)}")


def peers_python() -> str:
    """Return the Python that has the peers, after making or renewing its environment where needed.

    Raises:
        UnusableError: the peers could not be installed.
    """
    python = PEERS_VENV / "bin" / "python"
    stamp = PEERS_VENV / "requirements.sha256"
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    if stamp.is_file() and stamp.read_text() == wanted:
        return str(python)
    sys.stderr.write(f"installing the peers into {PEERS_VENV.name}\n")
    install = [str(python), "-m", "pip", "install", "--quiet", "--upgrade", "-r", str(REQUIREMENTS)]
    for command in ([sys.executable, "-m", "venv", str(PEERS_VENV)], install):
        if subprocess.run(command, stdout=sys.stderr, check=False).returncode:
            raise UnusableError(f"failed: {' '.join(command)}; remove {PEERS_VENV} and try again, or use --only")
    stamp.write_text(wanted)
    return str(python)


def anycore_command() -> str:
    """Return the `anycore` command of this Python's environment, or else the one on the PATH.

    Raises:
        UnusableError: there is none.
    """
    beside = Path(sys.executable).parent / "anycore"
    found = str(beside) if beside.is_file() else shutil.which("anycore")
    if found is None:
        raise UnusableError(f"no anycore command beside {sys.executable} or on the PATH; pip install -e . first")
    return found


def versions(
    python: str | None, peers: str = "fastapi grpcio httptools pydantic uvicorn uvloop", ours: str = "httptools"
) -> dict[str, str]:
    """Return the versions that decide about the figures: machine, ours and, given their Python, the peers'."""
    found = {"python": sys.version.split()[0], "kernel": os.uname().release, "processor": _processor_model()}
    found |= {f"our {name}": _version(name) for name in ("anycore", *ours.split(), "msgspec", "uvloop")}
    if python is not None:
        code = f"from importlib.metadata import version as v\nfor n in {peers!r}.split(): print(n, v(n))"
        lines = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout
        found |= dict(line.split() for line in lines.splitlines())
    return found


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "none"


def _processor_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return os.uname().machine
