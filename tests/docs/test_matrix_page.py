"""The page about wires, cores and transports says what tests/matrix calls, and nothing else."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

from anycore.cores import BUILT_IN
from anycore.cores.foreign.base import FOREIGN

ROOT = Path(__file__).parents[2]
MATRIX = ROOT / "tests" / "matrix"
PAGE = (ROOT / "docs" / "reference" / "matrix.md").read_text(encoding="utf-8")
TRANSPORTS = ["tcp", "tls", "mtls", "unix"]
ONE_CONNECTION = {"oneshot", "stdio"}


def module(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, MATRIX / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def cells() -> dict[tuple[str, str, str], str]:
    found = {}
    for core, *row in re.findall(r"^\| `(\w+)` \|" + r" ([\w()]+) \|" * 8 + "$", PAGE, re.MULTILINE):
        for number, cell in enumerate(row):
            found[core, "http" if number < 4 else "rpyc", TRANSPORTS[number % 4]] = cell
    return found


def test_every_core_has_its_row() -> None:
    assert {core for core, _, _ in cells()} == set(BUILT_IN) - ONE_CONNECTION
    assert all(f"`{core}`" in PAGE for core in ONE_CONNECTION)


def test_each_cell_is_called_or_explained() -> None:
    http, rpyc = module("test_matrix"), module("test_rpyc")
    assert [list(http.TRANSPORTS), list(rpyc.TRANSPORTS)] == [TRANSPORTS, TRANSPORTS]
    own = {path.stem.removeprefix("test_") for path in MATRIX.glob("test_*.py")}  # a file for each core that forks
    for (core, wire, transport), cell in cells().items():
        if wire == "rpyc":
            called = core in rpyc.CORES
            reason = "(1)" if core in FOREIGN else None
        else:
            called = f"{core}-{transport}" in http.CELLS or core in own
            reason = "(2)" if (core, transport) in http.EMPTY else None
        assert cell == ("yes" if called else reason), (core, wire, transport)
    for number in (1, 2):
        assert f"\n{number}. " in PAGE
