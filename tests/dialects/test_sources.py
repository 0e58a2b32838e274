from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from anycore.dialects.sources import Unit, barren, directories, find_units
from anycore.kernel.registry import PluginRefusedError

Write = Callable[..., Path]


def found(*sources: object) -> list[tuple[str, str]]:
    return [(unit.kind, Path(unit.name).name) for unit in find_units(map(str, sources))]


def refusal(source: object) -> str:
    with pytest.raises(PluginRefusedError) as caught:
        find_units([str(source)])
    (reason,) = caught.value.reasons
    return reason


@pytest.fixture
def point(write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """An installed distribution with an entry point, and its name."""
    write("site/there-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: there\nVersion: 1.0\n")
    write("site/there-1.0.dist-info/entry_points.txt", "[anycore.plugins]\nthere = there_module:There\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return "there"


def test_a_file(write: Write) -> None:
    path = write("a.py")
    (unit,) = find_units([str(path)])

    assert unit == Unit("file", str(path), str(path))
    assert unit.path == path
    assert unit.files() == (path,)


def test_a_package(write: Write) -> None:
    init, inner = write("shop/__init__.py"), write("shop/deep/more.py")
    (unit,) = find_units([str(init.parent)])

    assert (unit.kind, unit.path) == ("package", init.parent)
    assert unit.files() == (init, inner)


def test_a_directory_is_what_is_in_it_by_name(write: Write, tmp_path: Path) -> None:
    for name in ("b.py", "a.py", "pack/__init__.py", "_helper.py", "test_a.py", "conftest.py", ".hidden.py", "notes.txt",
                 "_lib/__init__.py", "data/x.csv"):  # fmt: skip
        write(name)

    assert found(tmp_path) == [("file", "a.py"), ("file", "b.py"), ("package", "pack")]


def test_a_module_and_a_class_of_it() -> None:
    assert [(unit.kind, unit.name, unit.path) for unit in find_units(["json.decoder", "json:JSONDecoder"])] == [
        ("module", "json.decoder", None),
        ("module", "json:JSONDecoder", None),
    ]
    assert Unit("module", "json", "json").files() == ()


def test_an_entry_point(point: str) -> None:
    assert find_units([point]) == [Unit("entry_point", "there_module:There", "entry point there (there_module:There)")]


def test_each_unit_comes_once_in_the_order_of_the_sources(write: Write, tmp_path: Path) -> None:
    second, first = write("b.py"), write("a.py")

    assert found(second, tmp_path, first, "json", "json") == [("file", "b.py"), ("file", "a.py"), ("module", "json")]


def test_directories_are_those_that_can_gain_files(write: Write, tmp_path: Path) -> None:
    file, package = write("a.py"), write("shop/__init__.py").parent

    assert directories([str(tmp_path), str(file), str(package), "json"]) == [tmp_path]


def test_an_empty_directory_may_gain_files(tmp_path: Path) -> None:
    assert find_units([str(tmp_path)]) == []


def test_directories_without_a_plugin_are_told_from_others(write: Write, tmp_path: Path) -> None:
    write("full/a.py")
    write("package/__init__.py")
    write("bare/_helper.py")
    sources = [str(tmp_path / name) for name in ("full", "package", "bare", "bare", "gone")]
    assert barren([*sources, "x" * 300]) == [sources[2]]


def test_a_file_of_another_kind_is_refused(write: Write) -> None:
    path = write("a.txt")

    assert refusal(path) == f"plugin source '{path}' is a file, but not a Python one; name a file that ends in .py"


@pytest.mark.parametrize(
    "source", ["/nowhere/a.py", "nowhere.py", "no_such_module", "json.nowhere", "json..x", "not-a-name", "1x"]
)
def test_what_is_nothing_of_the_kind_is_refused(source: str) -> None:
    assert refusal(source) == (
        f"plugin source {source!r} is neither a file or directory here, nor an installed module, nor an entry point of the"
        f" group anycore.plugins; check the spelling and the current directory ({Path.cwd()})"
    )


def test_what_the_system_refuses_to_look_at_is_refused() -> None:
    name = "x" * 300
    assert refusal(name).startswith(f"plugin source '{name}' cannot be read: File name too long: ")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anything")
def test_what_may_not_be_read_is_refused(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)

    assert "cannot be read: Permission denied" in refusal(closed)
    closed.chmod(0o700)


def test_every_wrong_source_is_named() -> None:
    with pytest.raises(PluginRefusedError) as caught:
        find_units(["nowhere.py", "json", "elsewhere.py"])
    assert len(caught.value.reasons) == 2


def test_a_module_in_a_package_that_fails_is_left_to_the_loader(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("failing_package/__init__.py", "1 / 0")
    monkeypatch.syspath_prepend(str(tmp_path))

    assert found("failing_package.module") == [("module", "failing_package.module")]
