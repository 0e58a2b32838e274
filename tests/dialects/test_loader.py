from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from anycore.dialects.loader import Loaded, load_plugins, load_unit
from anycore.dialects.sources import Unit, find_units
from anycore.kernel.registry import PluginRefusedError

Write = Callable[..., Path]


def load(*sources: object, **settings: Any) -> Loaded:
    (loaded,) = load_plugins(map(str, sources), settings)
    return loaded


def refusals(*sources: object) -> list[str]:
    before = set(sys.modules)
    with pytest.raises(PluginRefusedError) as caught:
        load_plugins(map(str, sources))
    assert not [name for name in set(sys.modules) - before if name.startswith("anycore_plugin_")]
    return list(caught.value.reasons)


def call(loaded: Loaded, name: str, *args: Any) -> Any:
    methods = {method.name: method for entry in loaded.entries for method in entry.methods}
    method = methods[name]
    bound, named = method.signature.bind(name, args, None)
    return method.function(*bound, **named)


def test_a_file_is_loaded_under_a_name_of_its_own_each_time(write: Write, room: str) -> None:
    path = write("room.py", room)
    first, second = load(path), load(path)

    assert call(first, "room.celsius") == 20
    assert first.module != second.module
    assert first.entries[0].origin == str(path)
    assert first.entries[0].plugin.__class__ is not second.entries[0].plugin.__class__
    first.forget()
    assert first.module not in sys.modules
    assert second.module in sys.modules
    Loaded(Unit("module", "json", "json"), ()).forget()
    assert "json" in sys.modules


def test_a_name_that_is_no_identifier_is_a_fine_file_name(write: Write, room: str) -> None:
    loaded = load(write("my room-2.0.py", room))

    assert call(loaded, "room.celsius") == 20
    assert "." not in loaded.module


def test_two_edits_within_one_second_are_two_versions(write: Write, room: str) -> None:
    path = write("room.py", room)
    load(path)
    stamp = path.stat()
    write("room.py", room.replace("20", "21"))
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))

    assert call(load(path), "room.celsius") == 21


def test_a_package_may_import_from_itself_and_re_export(write: Write, room: str) -> None:
    init = write("shop/__init__.py", "from .inner.rooms import Room\nfrom .prices import factor as _factor")
    write("shop/inner/__init__.py")
    write("shop/inner/rooms.py", room.replace("return 20", "from ..prices import factor; return 20 * factor"))
    write("shop/prices.py", "factor = 3")
    loaded = load(init.parent)

    assert call(loaded, "room.celsius") == 60
    assert f"{loaded.module}.prices" in sys.modules
    loaded.forget()
    assert f"{loaded.module}.prices" not in sys.modules


def test_a_helper_beside_a_plugin_is_found_and_shadows_nothing(write: Write, room: str) -> None:
    write("_helper_of_this_test.py", "value = 7")
    write("json.py", "raise RuntimeError('this is not the json that was meant')")
    path = write(
        "room.py", room.replace("return 20", "import json; from _helper_of_this_test import value; return value")
    )

    assert call(load(path), "room.celsius") == 7


def test_types_of_a_plugin_may_be_written_before_they_are_defined(write: Write) -> None:
    path = write(
        "shop.py",
        """
        from __future__ import annotations

        from dataclasses import dataclass

        import msgspec

        from anycore import Plugin, exposed

        class Shop(Plugin):
            Settings: type | None = None

            @exposed
            def total(self, items: list[Item], *, of: Price | None = None) -> int:
                return sum(item.price.cents for item in items)

        @dataclass
        class Item:
            name: str
            price: Price

        class Price(msgspec.Struct):
            cents: int
        """,
    )

    assert call(load(path), "shop.total", [{"name": "a", "price": {"cents": 5}}] * 2) == 10


def test_settings_reach_the_plugin_by_its_name(write: Write) -> None:
    path = write(
        "two.py",
        """
        import dataclasses

        from anycore import Plugin, exposed

        @dataclasses.dataclass
        class Limits:
            most: int = 1

        class One(Plugin):
            name = "first"
            Settings = Limits

            @exposed
            def most(self) -> int:
                return self.settings.most

        class Two(One):
            pass
        """,
    )
    loaded = load(path, first={"most": 5})

    assert [entry.plugin.settings.most for entry in loaded.entries] == [5, 1]


def test_a_module_is_imported_as_python_imports_it(
    write: Write, room: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("rooms_of_this_test.py", room)
    monkeypatch.syspath_prepend(str(tmp_path))
    loaded = load("rooms_of_this_test")

    assert call(loaded, "room.celsius") == 20
    assert loaded.module == ""
    assert call(load("rooms_of_this_test:Room"), "room.celsius") == 20


def test_an_entry_point_is_loaded(write: Write, room: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write("there-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: there\nVersion: 1.0\n")
    write("there-1.0.dist-info/entry_points.txt", "[anycore.plugins]\nthere = entry_of_this_test:Room\n")
    write("entry_of_this_test.py", room)
    monkeypatch.syspath_prepend(str(tmp_path))
    loaded = load("there")

    assert call(loaded, "room.celsius") == 20
    assert loaded.entries[0].origin == "entry point there (entry_of_this_test:Room)"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x = (", "{path} is refused: {path}, line 1: '(' was never closed; correct the syntax"),
        ("\nx = 1\n  y = 2", "{path} is refused: {path}, line 3: unexpected indent; correct the syntax"),
        ("x = 1\n1 / 0", "{path} is refused: {path}, line 2: importing it raised ZeroDivisionError: division by zero; correct it"),
        ("import sys\nsys.exit(4)", "{path} is refused: {path}, line 2: importing it raised SystemExit: 4; correct it"),
        ("import no_such_thing", "{path} is refused: {path}, line 1: importing it raised ModuleNotFoundError: No module named 'no_such_thing'; install what it imports"),
        ("from . import x", "{path} is refused: {path}, line 1: importing it raised ImportError: attempted relative import with no known parent package; install what it imports"),
        ("", "{path} is refused: it defines no plugin; write `class Name(Plugin)` with methods marked @exposed, or start the file's name with an underscore if it is only a helper"),
        ("from anycore import Plugin\nclass Lazy(Plugin):\n  def __init__(self, size): pass", "plugin 'lazy' from {path} is refused: its constructor raised TypeError: Lazy.__init__() missing 1 required positional argument: 'size'; it is called without arguments, and what can fail belongs into start()"),
        ("from anycore import Plugin\nclass Lazy(Plugin):\n  def __init__(self): raise SystemExit('no')", "plugin 'lazy' from {path} is refused: its constructor raised SystemExit: no; it is called without arguments, and what can fail belongs into start()"),
        ("from anycore import Plugin\nclass Empty(Plugin): pass", "plugin 'empty' from {path} is refused: it exposes no method and takes on no role; mark a method with @exposed"),
        ("from anycore import Plugin, exposed\nclass Odd(Plugin):\n  @exposed(aliases='ab')\n  def a(self): pass", "{path} is refused: {path}, line 3: importing it raised TypeError: @exposed(aliases='ab'): expected a tuple of full names, as in aliases=('system.listMethods',); correct it"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_used_is_refused_with_the_place(write: Write, text: str, reason: str) -> None:
    path = write("bad.py", text)

    assert refusals(path) == [reason.format(path=path)]


def test_a_file_that_cannot_be_read_is_refused(write: Write) -> None:
    (unit,) = find_units([str(write("gone.py"))])
    Path(unit.name).unlink()
    with pytest.raises(
        PluginRefusedError, match=r"gone\.py is refused: it cannot be read: No such file or directory; see that"
    ):
        load_unit(unit, {})


def test_a_fault_in_a_module_of_a_package_is_placed_there(write: Write) -> None:
    init = write("shop/__init__.py", "from . import inner")
    inner = write("shop/inner.py", "\n\nboom()")
    (reason,) = refusals(init.parent)

    assert reason.startswith(f"{init.parent} is refused: {inner}, line 3: importing it raised NameError: ")


def test_a_syntax_error_in_a_helper_is_placed_there(write: Write) -> None:
    helper = write("_broken_of_this_test.py", "def")
    path = write("a.py", "import _broken_of_this_test")

    assert refusals(path) == [f"{path} is refused: {helper}, line 1: invalid syntax; correct the syntax"]


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("json:Nowhere", "json:Nowhere is refused: importing it raised AttributeError: module 'json' has no attribute 'Nowhere'; correct it"),
        ("json:JSONDecoder", "json:JSONDecoder is refused: importing it raised TypeError: JSONDecoder is <class 'json.decoder.JSONDecoder'>, which is no subclass of anycore.Plugin; correct it"),
        ("json", "json is refused: it defines no plugin; write "),
    ],
)  # fmt: skip
def test_modules_that_cannot_be_used_are_refused(source: str, reason: str) -> None:
    assert refusals(source)[0].startswith(reason)


def test_every_reason_of_every_unit_is_given_at_once(write: Write, room: str) -> None:
    bad, good, empty = write("a.py", "1 / 0"), write("b.py", room), write("c.py")
    reasons = refusals(bad, good, empty)

    assert [reason.split(" is refused")[0] for reason in reasons] == [str(bad), str(empty)]
