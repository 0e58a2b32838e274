from __future__ import annotations

from pathlib import Path

from anycore.dialects.sources import Unit
from anycore.server.changes import concerns, look, touched


def unit(kind: str, path: Path) -> Unit:
    return Unit(kind, str(path), str(path))


def write(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_units_and_the_helpers_beside_them_are_looked_at(tmp_path: Path) -> None:
    seen = {write(tmp_path / name) for name in ("a.py", "_help.py", "_lib/deep/b.py", "shop/__init__.py", "shop/c.py")}
    for name in ("other.py", "_notes.txt", "far/_help.py"):
        write(tmp_path / name)

    units = [unit("file", tmp_path / "a.py"), unit("package", tmp_path / "shop"), Unit("module", "json", "json")]
    assert set(look(units)) == seen
    assert look([unit("file", tmp_path / "gone" / "a.py")]) == {}


def test_what_was_changed_added_or_removed_is_touched(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a.py"), write(tmp_path / "b.py", "1")
    before = {a: (1, 1), tmp_path / "gone.py": (1, 1), b: (1, 1)}

    assert touched(before, {a: (2, 1), tmp_path / "new.py": (1, 1), b: (1, 1)}) == {
        a,
        tmp_path / "gone.py",
        tmp_path / "new.py",
    }


def test_a_unit_is_concerned_by_its_files_and_its_helpers(tmp_path: Path) -> None:
    one, shop = unit("file", tmp_path / "a.py"), unit("package", tmp_path / "shop")

    assert concerns(one, {tmp_path / "a.py"})
    assert concerns(one, {tmp_path / "_help.py"})
    assert concerns(one, {tmp_path / "_lib" / "x.py"})
    assert not concerns(one, {tmp_path / "b.py", tmp_path / "shop" / "_help.py", tmp_path.parent / "_help.py"})
    assert concerns(shop, {tmp_path / "shop" / "deep" / "x.py"})
    assert concerns(shop, {tmp_path / "_help.py"})
    assert not concerns(Unit("module", "json", "json"), {tmp_path / "_help.py"})
