"""Plugins of which several processes have the same: here, two of them in one process, and one that serves nobody."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import pytest

from anycore.kernel.kernel import Kernel
from anycore.kernel.registry import Registry
from anycore.server.shared_plugins import Proposal, SharedPlugins

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SOURCE = """
from anycore import Plugin, exposed

class {name}(Plugin):
    def start(self):
        {start}

    @exposed
    def version(self) -> int:
        return {version}
"""


class Process:
    """The plugins of a process, and what they answer."""

    def __init__(self, folder: Path) -> None:
        self.registry: Registry = Kernel().registry
        self.plugins = SharedPlugins(self.registry, [str(folder)], {}, asyncio.run)
        self.plugins.load()

    def serve(self) -> Process:
        self.plugins.start()
        return self

    def versions(self) -> dict[str, int]:
        return {name: method.function() for name, method in self.registry.methods.items()}


def write(folder: Path, name: str, version: int, start: str = "pass") -> None:
    """Write a plugin; another size each time, so that the change shows whatever the clock of the files."""
    (folder / f"{name}.py").write_text(
        SOURCE.format(name=name.title(), start=start, version=version) + "#" * version, encoding="utf-8"
    )


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    path, modules = list(sys.path), set(sys.modules)
    write(tmp_path, "one", 1)
    write(tmp_path, "two", 1)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def test_all_follow_a_proposal_and_settle(folder: Path) -> None:
    first, second, supervisor = Process(folder).serve(), Process(folder).serve(), Process(folder)
    supervisor.plugins.enlist()
    write(folder, "one", 2)
    proposal = first.plugins.propose()
    assert list(proposal.units) == [str(folder / "one.py")]
    assert first.plugins.follow(proposal) == list(proposal.units), "it has it already"
    assert second.plugins.follow(proposal) == supervisor.plugins.follow(proposal, start=False) == list(proposal.units)
    assert first.versions() == second.versions() == {"one.version": 1, "two.version": 1}
    for process in (first, second, supervisor):
        assert process.plugins.settle(proposal, list(proposal.units)) == ["one"]
        assert process.versions() == {"one.version": 2, "two.version": 1}


def test_what_one_cannot_load_serves_nowhere(folder: Path) -> None:
    first, second = Process(folder).serve(), Process(folder).serve()
    write(folder, "one", 2, "(__import__('pathlib').Path(__file__).parent / 'taken').mkdir()")
    write(folder, "two", 2)
    proposal = first.plugins.propose()
    agreed = second.plugins.follow(proposal)
    assert agreed == [str(folder / "two.py")]
    for process in (first, second):
        process.plugins.settle(proposal, agreed)
        assert process.versions() == {"one.version": 1, "two.version": 2}


def test_what_has_changed_again_is_not_followed(folder: Path) -> None:
    first, second = Process(folder).serve(), Process(folder).serve()
    write(folder, "one", 2)
    proposal = first.plugins.propose()
    write(folder, "one", 3)
    assert second.plugins.follow(proposal) == []


def test_one_that_has_not_heard_of_a_proposal_catches_up(folder: Path) -> None:
    first, late = Process(folder).serve(), Process(folder).serve()
    write(folder, "one", 2)
    proposal = first.plugins.propose()
    for process in (first, late):
        assert process.plugins.settle(proposal, list(proposal.units)) == ["one"]
        assert process.versions()["one.version"] == 2
    newest = Process(folder).serve()
    assert newest.plugins.settle(proposal, list(proposal.units)) == [], "it has that version already"


def test_files_that_have_gone_go_everywhere(folder: Path) -> None:
    first, second = Process(folder).serve(), Process(folder).serve()
    (folder / "two.py").unlink()
    proposal = first.plugins.propose()
    assert proposal.gone == (str(folder / "two.py"),)
    second.plugins.follow(proposal)
    for process in (first, second):
        process.plugins.settle(proposal, [])
        assert process.versions() == {"one.version": 1}


def test_nothing_is_proposed_when_nothing_has_changed(folder: Path) -> None:
    assert Process(folder).serve().plugins.propose() == Proposal()
    assert Process(folder).plugins.propose(everything=True) == Proposal(), "it does not serve"
