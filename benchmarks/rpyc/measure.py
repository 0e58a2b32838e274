"""One row measured once: the compiled replay, or a Python client in a process of its own. Whatever is wrong fails the row."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from subprocess import TimeoutExpired
from typing import Any

from benchmarks.environment import UnusableError, peers_python
from benchmarks.load import LoadError, Sample, run
from benchmarks.rpyc.frames import REPLY, REQUEST
from benchmarks.rpyc.targets import SCRIPTED, Group, Row, script_file
from benchmarks.servers import Server

ATTEMPTS = 3
SOURCE = Path(__file__).with_name("replay.c")


def compile_replay(folder: Path) -> Path:
    """Compile the load generator into a folder.

    Raises:
        UnusableError: there is no C compiler, or it failed.
    """
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise UnusableError(
            "there is no C compiler (cc, gcc or clang) on the PATH to compile benchmarks/rpyc/replay.c with; "
            "on Debian: apt-get install gcc libc6-dev; or leave the replay out: --only 'our client' --only 'their client'"
        )
    target = folder / "replay"
    command = [compiler, "-O2", "-pthread", "-o", str(target), str(SOURCE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UnusableError(f"failed: {' '.join(command)}: {done.stderr[-600:]}")
    return target


class InterruptedLoadError(LoadError):
    """The load took far longer than it was told to."""


def measure(
    replay: Path | None,
    group: Group,
    row: Row,
    server: Server,
    seconds: float,
    processor: int | None,
    repeated: list[str],
) -> Sample:
    """Measure one row for some seconds, the load on `processor`, on any for None; again where something stood still meanwhile.

    What is measured again is entered into `repeated`, with the reason.

    Raises:
        LoadError: a wrong answer, a refusal, a connection that ended, no answer for 10 s, or no undisturbed time.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _measure(replay, group, row, server, seconds, processor)
        except LoadError as error:
            if attempt == ATTEMPTS or not _stood_still(error):
                raise
            repeated.append(f"{group.name}, {row.name}: {error}")
    raise AssertionError


def _stood_still(error: LoadError) -> bool:
    # Any row, the raw ones included, has been seen to do so for 10 to 20 s on a busy virtual machine, for no reason found.
    return (
        isinstance(error, InterruptedLoadError)
        or isinstance(error.__cause__, TimeoutExpired)
        or "no answer for" in str(error)
    )


def _measure(
    replay: Path | None, group: Group, row: Row, server: Server, seconds: float, processor: int | None
) -> Sample:
    before = server.cpu_seconds()
    if group.workload:
        report = run(_client_command(group, row, server, seconds), seconds, processor)
    else:
        assert replay is not None
        report = run(_replay_command(replay, group, row, server, seconds), seconds, processor)
    if report["seconds"] > 1.5 * seconds + 0.5:
        raise InterruptedLoadError(f"{report['seconds']:.1f} s went by in a measurement of {seconds:g} s")
    return _sample(report, server.cpu_seconds() - before)


def _sample(report: dict[str, Any], server_cpu_seconds: float) -> Sample:
    if not report["count"]:
        raise LoadError("nothing was answered in time")
    wall = report["wall_seconds"]
    return Sample(
        report["count"] / report["seconds"],
        report.get("p50_us", 0.0),
        report.get("p99_us", 0.0),
        server_cpu_seconds / wall,
        report["load_cpu_seconds"] / wall,
    )


def _replay_command(replay: Path, group: Group, row: Row, server: Server, seconds: float) -> list[str]:
    what = ["call", *row.path] if row.path else ["raw", REQUEST.hex(), REPLY.hex()]
    return [str(replay), *map(str, (server.port, group.connections, group.depth, group.form, seconds)), *what]


def _client_command(group: Group, row: Row, server: Server, seconds: float) -> list[str]:
    python = sys.executable if row.library == "anycore" else peers_python()
    library, _, workload = row.library.partition(" ")
    if row.library == SCRIPTED:
        workload = str(script_file(row.server))
    return [python, "-m", "benchmarks.rpyc.client", library, workload or group.workload, str(server.port), str(seconds)]
