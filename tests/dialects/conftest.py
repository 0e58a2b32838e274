"""A folder for plugins, and a Python that forgets afterwards what it imported from there."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Iterator[Write]:
    """Write files below a folder: `write("a.py", text)` returns the path."""
    path, modules = list(sys.path), set(sys.modules)

    def write(name: str, text: str = "") -> Path:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text))
        return file

    yield write
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


@pytest.fixture
def room() -> str:
    """The text of a plugin."""
    return """
        from anycore import Plugin, exposed

        class Room(Plugin):
            @exposed
            def celsius(self) -> int:
                return 20
        """
