from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
from typing import Any

import pytest

from anycore.kernel.call import Call

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


def test_an_edit_swaps_the_plugin(house: House, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "anycore.plugins")
    path = house.plugin("A", 1)
    house.plugin("B", 1)
    plugins = house.serve()
    old, other = house.events("a"), house.kernel.registry.entries["b"]
    house.plugin("A", 2)

    assert plugins.reload() == ["a"]
    assert house.call("a.version") == 2
    assert old == ["start", "stop"]
    assert house.events("a") == ["start"]
    assert house.kernel.registry.entries["b"] is other
    assert logged(caplog) == [f"reload: a from {path} swapped"]
    assert len([name for name in sys.modules if name.startswith("anycore_plugin_") and name.endswith("_a")]) == 1


def test_without_an_edit_nothing_happens_unless_everything_is_asked_for(house: House) -> None:
    house.plugin("A", 1)
    house.plugin("B", 1)
    plugins = house.serve()
    old = house.kernel.registry.entries["a"]

    assert plugins.reload() == []
    assert house.kernel.registry.entries["a"] is old
    assert plugins.reload(everything=True) == ["a", "b"]
    assert house.kernel.registry.entries["a"] is not old


def test_two_edits_within_one_second_are_both_seen(house: House) -> None:
    path = house.plugin("A", 1)
    plugins = house.serve()
    for version in (2, 3, 4):
        house.plugin("A", version)
        stamp = path.stat()
        os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns // 10**9 * 10**9 + version))
        plugins.reload()
        assert house.call("a.version") == version


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def", "is refused: {path}, line 1: invalid syntax; correct the syntax; the old version goes on serving"),
        ("1 / 0", "importing it raised ZeroDivisionError: division by zero; correct it; the old version goes on serving"),
        ("", "it defines no plugin; write "),
        (LIFE.format(name="A", version=2).replace('self.events.append("start")', "1 / 0"), "its start() raised ZeroDivisionError"),
        (LIFE.format(name="B", version=2), "has a plugin of that name already; set the class attribute"),
    ],
)  # fmt: skip
def test_an_edit_that_cannot_be_loaded_leaves_the_old_one_serving(
    house: House, caplog: pytest.LogCaptureFixture, text: str, said: str
) -> None:
    path = house.plugin("A", 1)
    house.plugin("B", 1)
    plugins = house.serve()
    before = {name for name in sys.modules if name.startswith("anycore_plugin_")}
    house.write("a.py", text)

    assert plugins.reload() == []
    (line,) = logged(caplog)
    assert said.format(path=path) in line
    assert line.endswith("; the old version goes on serving")
    assert house.call("a.version") == 1
    assert house.events("a") == house.events("b") == ["start"]
    assert {name for name in sys.modules if name.startswith("anycore_plugin_")} == before

    house.plugin("A", 3)
    assert plugins.reload() == ["a"]
    assert house.call("a.version") == 3


def test_new_files_are_added_and_deleted_ones_removed(house: House, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "anycore.plugins")
    path = house.plugin("A", 1)
    plugins = house.serve()
    new = house.plugin("B", 1)
    assert plugins.reload() == ["b"]
    assert house.call("b.version") == 1

    events = house.events("a")
    path.unlink()
    assert plugins.reload() == ["a"]
    assert house.names() == ["b"]
    assert events == ["start", "stop"]
    assert logged(caplog) == [f"reload: b from {new} added", f"reload: a from {path} removed"]


def test_a_new_file_that_cannot_be_loaded_is_left_out(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.plugin("A", 1)
    plugins = house.serve()
    house.write("b.py", "boom")

    assert plugins.reload() == []
    assert logged(caplog)[0].endswith("; it is left out")
    house.plugin("B", 1)
    assert plugins.reload() == ["b"]


def test_a_renamed_file_keeps_its_plugin_serving(house: House) -> None:
    path = house.plugin("A", 1)
    plugins = house.serve()
    path.rename(path.with_name("other.py"))

    assert plugins.reload() == ["a"]
    assert house.call("a.version") == 1
    assert house.kernel.registry.entries["a"].origin.endswith("other.py")


def test_a_plugin_may_change_its_name(house: House) -> None:
    house.plugin("A", 1, "file.py")
    plugins = house.serve()
    house.plugin("B", 2, "file.py")

    assert plugins.reload() == ["a", "b"]
    assert house.names() == ["b"]


def test_plugins_may_change_places(house: House) -> None:
    house.plugin("A", 1, "one.py")
    house.plugin("B", 1, "two.py")
    plugins = house.serve()
    house.plugin("B", 2, "one.py")
    house.plugin("A", 2, "two.py")

    assert plugins.reload() == ["a", "b"]
    assert (house.call("a.version"), house.call("b.version")) == (2, 2)


def test_a_clash_of_names_keeps_no_other_edit_from_being_served(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.plugin("A", 1)
    gone = house.plugin("Gone", 1)
    plugins = house.serve()
    gone.unlink()
    house.plugin("B", 2)
    path = house.plugin("A", 9, "clash.py")

    assert plugins.reload() == ["gone", "b"]
    assert house.names() == ["a", "b"]
    assert house.call("a.version") == 1
    (line,) = logged(caplog)
    assert line.startswith(f"reload: plugin 'a' from {path} is refused: ")
    assert line.endswith("; it is left out")


def test_a_changed_helper_reloads_those_beside_it(house: House) -> None:
    text = LIFE.format(name="A", version="_first_helper.value()").replace(
        "from anycore", "import _first_helper\n    from anycore"
    )
    house.write("_first_helper.py", "import _second_helper\ndef value(): return _second_helper.number")
    helper = house.write("_second_helper.py", "number = 1")
    house.write("a.py", text)
    plugins = house.serve(house.folder / "a.py")
    assert house.call("a.version") == 1
    stamp = helper.stat()
    for version in (2, 3):
        house.write("_second_helper.py", f"number = {version}")
        os.utime(helper, ns=(stamp.st_atime_ns, stamp.st_mtime_ns // 10**9 * 10**9 + version))
        assert plugins.reload() == ["a"]
        assert house.call("a.version") == version

    helper.unlink()
    assert plugins.reload() == []
    assert house.call("a.version") == 3


def test_helpers_stay_what_plugins_share_until_one_changes(house: House) -> None:
    house.write("_shared_of_this_test.py", "values = []")
    text = LIFE.replace("from anycore", "import _shared_of_this_test\n    from anycore")
    house.write("a.py", text.format(name="A", version="id(_shared_of_this_test.values)"))
    house.write("b.py", text.format(name="B", version="id(_shared_of_this_test.values)"))
    plugins = house.serve()
    house.write("a.py", text.format(name="A", version="id(_shared_of_this_test.values) + 0"))

    assert plugins.reload() == ["a"]
    assert house.call("a.version") == house.call("b.version")


def test_a_change_anywhere_in_a_package_reloads_it(house: House) -> None:
    house.write("shop/__init__.py", LIFE.format(name="Shop", version="rooms.number").replace("from anycore", "from . import rooms\n    from anycore"))  # fmt: skip
    inner = house.write("shop/rooms.py", "number = 1")
    plugins = house.serve()
    stamp = inner.stat()
    for version in (2, 3):
        house.write("shop/rooms.py", f"number = {version}")
        os.utime(inner, ns=(stamp.st_atime_ns, stamp.st_mtime_ns // 10**9 * 10**9 + version))
        assert plugins.reload() == ["shop"]
        assert house.call("shop.version") == version


def test_a_source_that_has_gone_is_said_and_nothing_changes(house: House, caplog: pytest.LogCaptureFixture) -> None:
    path = house.plugin("A", 1)
    plugins = house.serve(path)
    path.unlink()

    assert plugins.reload() == []
    assert logged(caplog)[0].startswith(f"reload: plugin source '{path}' is neither a file or directory")
    assert house.call("a.version") == 1


def test_nothing_is_reloaded_before_the_start_and_after_the_stop(house: House) -> None:
    house.plugin("A", 1)
    plugins = house.load()
    assert plugins.reload(everything=True) == []
    plugins.start()
    plugins.stop()
    assert plugins.reload(everything=True) == []


WAITING = """
    import pathlib
    import threading
    from anycore import Plugin, exposed

    class A(Plugin):
        events = []
        entered = threading.Event()
        gate = threading.Event()

        def stop(self):
            self.events.append("stop")

        @exposed
        def wait(self) -> int:
            self.entered.set()
            self.gate.wait(20)
            return len(self.events)
    """


def test_a_call_under_way_ends_on_the_old_plugin_before_that_is_stopped(house: House) -> None:
    house.write("a.py", WAITING)
    plugins = house.serve()
    old: Any = house.kernel.registry.entries["a"].plugin
    answers: list[Any] = []
    caller = threading.Thread(target=lambda: answers.append(house.call("a.wait")))
    caller.start()
    assert old.entered.wait(10)
    house.plugin("A", 2)
    assert plugins.reload() == ["a"]  # and does not wait for it

    assert house.call("a.version") == 2
    assert old.events == []
    (draining,) = plugins._retiring
    old.gate.set()
    caller.join()
    draining.join()
    assert answers == [0]
    assert old.events == ["stop"]


def test_a_stop_does_not_wait_for_calls_that_do_not_end(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.write("a.py", WAITING)
    plugins = house.serve()
    old: Any = house.kernel.registry.entries["a"].plugin
    caller = threading.Thread(target=lambda: house.call("a.wait"))
    caller.start()
    assert old.entered.wait(10)
    house.plugin("A", 2)
    plugins.reload()
    plugins.stop()

    assert old.events == ["stop"]
    assert logged(caplog) == ["plugin a is stopped while 1 of its calls still run"]
    old.gate.set()
    caller.join()


def test_under_load_no_call_fails_and_none_sees_a_mixture(house: House) -> None:
    """Two methods and two aliases of a plugin are swapped in one step, back and forth between `def` and `async def`."""
    text = """
        from anycore import Plugin, exposed

        class A(Plugin):
            running = True

            def stop(self):
                self.running = False

            @exposed(aliases=("one",))
            {mode} first(self) -> list[object]:
                return [self.running, {version}]

            @exposed(aliases=("two",))
            def second(self) -> list[object]:
                return [self.running, {version}]
        """
    house.write("a.py", text.format(mode="def", version=0))
    plugins = house.serve()
    answers: list[list[list[Any]]] = []
    end = threading.Event()

    def ask() -> None:
        mine: list[list[Any]] = []
        answers.append(mine)
        while not end.is_set():
            mine += [asyncio.run(house.kernel.handle_async(Call(name))).unwrap() for name in ("one", "a.second")]

    callers = [threading.Thread(target=ask) for _ in range(3)]
    for caller in callers:
        caller.start()
    try:
        for version in range(1, 30):
            house.write("a.py", text.format(mode=("def", "async def")[version % 2], version=version))
            assert plugins.reload() == ["a"]
    finally:
        end.set()
        for caller in callers:
            caller.join()

    for mine in answers:
        assert mine
        assert all(running for running, _ in mine)
        versions = [version for _, version in mine]
        assert versions == sorted(versions)  # once the new one has answered, the old one never does


def test_reloads_from_several_threads_do_not_meet(house: House) -> None:
    house.plugin("A", 1)
    plugins = house.serve()
    first = house.events("a")
    threads = [threading.Thread(target=lambda: plugins.reload(everything=True)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert first == ["start", "stop"]
    assert house.events("a") == ["start"]
