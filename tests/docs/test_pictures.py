"""The picture of a server that has started shows what a server that has started says."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import msgspec
import pytest

from anycore.cli.banner import lines

ROOT = Path(__file__).parents[2]


def test_the_picture_of_the_banner_is_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is not: `python docs/make_pictures.py`."""
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", ["anycore"])
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:/usr/bin:/bin")
    pictures = import_module("make_pictures")
    with pictures.serving("http://127.0.0.1:0") as announcement:
        ((url, wires),) = announcement.listeners
    sample = announcement.sample.replace(url, pictures.URL)
    shown = msgspec.structs.replace(announcement, listeners=[(pictures.URL, wires)], sample=sample)
    wanted = [line.plain.strip() for line in lines(shown) if line.plain.strip()]

    first, *rows = pictures.rows((pictures.IMAGES / "serve.svg").read_text(encoding="utf-8"))

    assert first == "$ make serve"
    for row, line in zip(rows, wanted, strict=False):
        assert line.startswith(row[:-1]) if row.endswith("…") else row == line
    assert rows[len(wanted)].startswith("$ anycore call ")
