"""Programs written for RPyC print the same with the original and with the facade in its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Start

SCRIPTS = sorted((Path(__file__).parent / "scripts").glob("*.py"))
FIXED_PORTS = ("registry_tcp", "registry_udp")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_prints_the_same(script: Path, start: Start) -> None:
    said = {}
    kinds = ("original", "facade")
    running = {}
    for kind in kinds:
        running[kind] = start(kind, script)
        if script.stem in FIXED_PORTS:
            said[kind] = running[kind].communicate(timeout=40)
    for kind in kinds:
        out, err = said[kind] if kind in said else running[kind].communicate(timeout=40)
        assert running[kind].returncode == 0, f"{kind}: {err}"
        said[kind] = out, err
    assert said["facade"][0] == said["original"][0]
    assert said["facade"][0].count("\n") >= 1


def test_the_page_tells_how_many_there_are() -> None:
    page = Path(__file__).parents[2] / "docs/how-to/replace-rpyc.md"
    assert f"all {len(SCRIPTS)} print the same" in page.read_text()
