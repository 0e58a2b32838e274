"""The core on Trio: a distribution of its own that keeps every promise of cores and is found by its entry point."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from anycore import Plugin, cores, exposed
from anycore.cores import load_core
from anycore.testing import CORE_CHECKS, check_core, running

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).parents[2] / "examples" / "trio_core"


class Echo(Plugin):
    @exposed
    async def say(self, text: str) -> str:
        return text


@pytest.fixture(scope="module")
def trio_core() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        before = set(sys.modules)
        yield import_module("anycore_trio").TrioCore
        for name in set(sys.modules) - before:
            if name.startswith("anycore_trio"):
                del sys.modules[name]


@pytest.fixture(autouse=True)
def _failures_are_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level("CRITICAL", logger="anycore.core"):
        yield


@pytest.mark.parametrize("check", CORE_CHECKS)
def test_it_keeps_the_promises_of_cores(trio_core: Any, check: str) -> None:
    check_core(trio_core, only=[check])


@pytest.mark.parametrize("transport", ["tcp", "tls", "unix"])
def test_it_serves(trio_core: Any, transport: str) -> None:
    with running(Echo, core=trio_core, transport=transport) as server, server.connect("xmlrpc") as client:
        assert client.echo.say("hello") == "hello"


def test_it_is_found_by_its_entry_point(trio_core: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    said = (FOLDER / "pyproject.toml").read_text()
    assert '[project.entry-points."anycore.cores"]\ntrio = "anycore_trio:TrioCore"' in said
    point = EntryPoint("trio", "anycore_trio:TrioCore", "anycore.cores")
    monkeypatch.setattr(cores, "entry_points", lambda group: [point] if group == "anycore.cores" else [])
    assert load_core("trio") is trio_core
