from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from anycore.kernel.plugin import Plugin, exposed
from anycore.kernel.registry import PluginRefusedError, verify
from anycore.server.plugins import Plugins

House = Any  # the fixture's class is in conftest.py

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


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_plugins_are_started_before_they_serve_and_stopped_last_first(house: House, tmp_path: Path) -> None:
    order = tmp_path / "order"
    for name in "ab":
        house.write(
            f"{name}.py",
            f"""
            import anycore

            class P{name}(anycore.Plugin):
                def note(self, what):
                    with open({str(order)!r}, "a") as file:
                        file.write(f"{{self.name}} {{what}};")

                def start(self):
                    self.note("start")

                async def stop(self):
                    self.note("stop")

                @anycore.exposed
                def ask(self) -> str:
                    return self.name
            """,
        )
    plugins = house.load()
    assert not order.exists()
    assert house.kernel.registry.methods == {}
    plugins.start()
    assert house.call("pa.ask") == "pa"
    plugins.stop()

    assert order.read_text() == "pa start;pb start;pb stop;pa stop;"


class Bundled(Plugin):
    def __init__(self) -> None:
        self.loop: object = None
        self.stopped = False

    async def start(self) -> None:
        self.loop = asyncio.get_running_loop()

    async def stop(self) -> None:
        self.stopped = True

    @exposed
    def ask(self) -> int:
        return 1


def test_what_the_server_brings_along_is_started_on_the_loop_and_stopped_again(house: House) -> None:
    bundled = Bundled()
    plugins = house.load()
    plugins.start([verify(bundled, "bundled")])
    assert bundled.loop is not None
    assert house.call("bundled.ask") == 1
    plugins.stop()
    assert bundled.stopped


@pytest.mark.parametrize("error", ["RuntimeError('no sensor')", "SystemExit('no sensor')"])
def test_a_plugin_that_does_not_start_is_refused_and_none_is_left_running(house: House, error: str) -> None:
    house.plugin("A", 1)
    path = house.write(
        "b.py", LIFE.format(name="B", version=1).replace('self.events.append("start")', f"raise {error}")
    )
    bundled = Bundled()
    plugins = house.load()
    with pytest.raises(PluginRefusedError) as caught:
        plugins.start([verify(bundled, "bundled")])

    kind = error.partition("(")[0]
    assert caught.value.reasons == (
        f"plugin 'b' from {path} is refused: its start() raised {kind}: no sensor; correct it, or what it needs",
    )
    assert bundled.stopped
    assert house.names() == []


def test_two_plugins_of_one_name_are_refused_and_stopped(house: House) -> None:
    house.plugin("A", 1)
    plugins = house.load()
    bundled = Bundled()
    bundled.name = "a"  # type: ignore[misc]
    with pytest.raises(PluginRefusedError, match="bundled has a plugin of that name already"):
        plugins.start([verify(bundled, "bundled")])

    assert bundled.stopped


def test_a_stop_that_fails_keeps_no_other_from_stopping(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.write(
        "a.py", LIFE.format(name="A", version=1).replace('self.events.append("stop")', "raise SystemExit('no')")
    )
    bundled = Bundled()
    plugins = house.load()
    plugins.start([verify(bundled, "bundled")])
    plugins.stop()

    assert bundled.stopped
    assert logged(caplog) == ["plugin a: its stop() failed"]


def test_a_table_of_no_plugin_is_refused(house: House) -> None:
    house.plugin("A", 1)
    with pytest.raises(PluginRefusedError) as caught:
        house.load(rooms={})
    assert caught.value.reasons == (
        "the configuration has a table [plugin.rooms], but no such plugin is loaded; loaded are: a",
    )


def test_settings_are_given_again_after_an_edit(house: House) -> None:
    text = """
        import msgspec
        from anycore import Plugin, exposed

        class Limits(msgspec.Struct):
            most: int

        class Shop(Plugin):
            Settings = Limits

            @exposed
            def most(self) -> int:
                return self.settings.most + 0
        """
    house.write("shop.py", text)
    plugins = house.serve(shop={"most": 5})
    house.write("shop.py", text.replace("+ 0", "+ 100"))
    plugins.reload()

    assert house.call("shop.most") == 105


def test_what_is_watched(house: House) -> None:
    file, package = house.plugin("A", 1), house.plugin("B", 1, "deep/b/__init__.py").parent

    assert house.load().watched() == sorted([house.folder, file])
    assert house.load(file, package).watched() == sorted([file, package])
    assert Plugins(house.kernel.registry, ["json"], {}, asyncio.run).watched() == []
