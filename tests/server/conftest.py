"""A server's plugins without the server, in a folder of their own."""

from __future__ import annotations

import asyncio
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from anycore.kernel.call import Call
from anycore.kernel.kernel import Kernel
from anycore.server.plugins import Plugins

LIFE = """
    from anycore import Plugin, exposed

    class {name}(Plugin):
        events = []

        def start(self):
            self.events.append("start")

        def stop(self):
            self.events.append("stop")

        @exposed
        def version(self) -> int:
            return {version}
    """


class House:
    """A server's plugins without the server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kernel = Kernel()
        self.plugins: Plugins = Plugins(self.kernel.registry, [], {}, asyncio.run)

    def write(self, name: str, text: str) -> Path:
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text))
        return file

    def plugin(self, name: str, version: int, file: str = "") -> Path:
        return self.write(file or f"{name.lower()}.py", LIFE.format(name=name, version=version))

    def load(self, *sources: object, **settings: Any) -> Plugins:
        self.plugins = Plugins(
            self.kernel.registry, [str(source) for source in sources or (self.folder,)], settings, asyncio.run
        )
        self.plugins.load()
        return self.plugins

    def serve(self, *sources: object, **settings: Any) -> Plugins:
        self.load(*sources, **settings).start()
        return self.plugins

    def call(self, name: str, *args: Any) -> Any:
        return self.kernel.handle(Call(name, args)).unwrap()

    def names(self) -> list[str]:
        return sorted(self.kernel.registry.entries)

    def events(self, name: str) -> Any:
        plugin: Any = self.kernel.registry.entries[name].plugin
        return plugin.events


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    path, modules = list(sys.path), set(sys.modules)
    house = House(tmp_path / "plugins")
    house.folder.mkdir()
    yield house
    house.plugins.stop()
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]
