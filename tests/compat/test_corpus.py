"""Programs written for RPyC print the same with the original and with the facade in its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Start

SCRIPTS = sorted((Path(__file__).parent / "scripts").glob("*.py"))
FIXED_PORTS = ("registry_tcp", "registry_udp")


ATTEMPTS_OF_THE_ORIGINAL = 3
"""Its `serve_threaded` now and then loses a wake-up and then stands still for its whole time-out (spec/rpyc.md 24);
what it prints when it does not is what counts. With four threads more than half of the runs did so, with sixteen one in 24. The facade has one attempt."""


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_prints_the_same(script: Path, start: Start) -> None:
    facade = None if script.stem in FIXED_PORTS else start("facade", script)
    for _ in range(ATTEMPTS_OF_THE_ORIGINAL):
        original = start("original", script)
        expected, complaint = original.communicate(timeout=40)
        if original.returncode == 0:
            break
    assert original.returncode == 0, f"original: {complaint}"
    facade = facade or start("facade", script)
    said, complaint = facade.communicate(timeout=40)
    assert facade.returncode == 0, f"facade: {complaint}"
    assert said == expected
    assert said.count("\n") >= 1


def test_the_page_tells_how_many_there_are() -> None:
    page = Path(__file__).parents[2] / "docs/how-to/replace-rpyc.md"
    assert f"all {len(SCRIPTS)} print the same" in page.read_text()
