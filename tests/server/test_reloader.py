from __future__ import annotations

import asyncio
import logging
import queue
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from anycore.kernel.call import Call
from anycore.kernel.kernel import Kernel
from anycore.server.plugins import Plugins
from anycore.server.reloader import Reloader

TEXT = """
from anycore import Plugin, exposed

class Room(Plugin):
    @exposed
    def version(self) -> int:
        return {version}
"""


class Lines(logging.Handler):
    """Hands on each line of a log, so that a test can wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self.queue: queue.SimpleQueue[str] = queue.SimpleQueue()

    def emit(self, record: logging.LogRecord) -> None:
        self.queue.put(record.getMessage())

    def wait(self) -> str:
        return self.queue.get(timeout=20)


@pytest.fixture
def lines() -> Iterator[Lines]:
    log, lines = logging.getLogger("anycore.plugins"), Lines()
    level = log.level
    log.addHandler(lines)
    log.setLevel(logging.INFO)
    yield lines
    log.removeHandler(lines)
    log.setLevel(level)


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    path, modules = list(sys.path), set(sys.modules)
    yield Kernel()
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def version(kernel: Kernel) -> int:
    found: int = kernel.handle(Call("room.version")).unwrap()
    return found


@pytest.mark.parametrize("source", ["", "room.py"])
def test_edits_are_served_also_those_from_before_the_watch_began(
    tmp_path: Path, kernel: Kernel, lines: Lines, source: str
) -> None:
    path = tmp_path / "room.py"
    path.write_text(TEXT.format(version=1))
    plugins = Plugins(kernel.registry, [str(tmp_path / source)], {}, asyncio.run)
    plugins.load()
    plugins.start()
    path.write_text(TEXT.format(version=22))
    reloader = Reloader(plugins)
    reloader.start()
    try:
        assert lines.wait() == f"reload: room from {path} swapped"
        assert version(kernel) == 22

        path.write_text("boom")
        assert lines.wait().endswith(
            "NameError: name 'boom' is not defined; correct it; the old version goes on serving"
        )
        assert version(kernel) == 22

        path.write_text(TEXT.format(version=333))
        assert lines.wait() == f"reload: room from {path} swapped"
        assert version(kernel) == 333
    finally:
        reloader.stop()
        plugins.stop()


def test_there_may_be_nothing_to_watch(kernel: Kernel, lines: Lines) -> None:
    reloader = Reloader(Plugins(kernel.registry, [], {}, asyncio.run))
    reloader.start()
    assert lines.wait() == "reload: no plugin has a file or directory that could be watched"
    reloader.stop()


class Gone(Plugins):
    """Watches what is not there."""

    def watched(self) -> list[Path]:
        return [Path("/nowhere/at/all/x.py")]


def test_what_cannot_be_watched_is_said(kernel: Kernel, lines: Lines) -> None:
    reloader = Reloader(Gone(kernel.registry, [], {}, asyncio.run))
    reloader.start()
    assert lines.wait().startswith("reload: the sources of the plugins cannot be watched; edits are not served")
    reloader.stop()


class Failing(Plugins):
    """Fails at each reload."""

    def reload(self, *, everything: bool = False) -> list[str]:
        raise OSError(everything)


def test_a_reload_that_fails_does_not_end_the_watch(tmp_path: Path, kernel: Kernel, lines: Lines) -> None:
    reloader = Reloader(Failing(kernel.registry, [str(tmp_path)], {}, asyncio.run))
    reloader.start()
    try:
        assert lines.wait() == "reload failed; what served goes on serving"
        (tmp_path / "a.py").write_text("x = 1")
        assert lines.wait() == "reload failed; what served goes on serving"
    finally:
        reloader.stop()
