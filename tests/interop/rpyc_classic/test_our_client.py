from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from anycore.rpyc import classic
from anycore.rpyc.master import ClassicClient

THEIRS = Path(sys.executable).with_name("rpyc_classic.py")


def scaled(count: int, scale: int = 3, *, offset: int = 1) -> list[int]:
    import math

    return [math.trunc(number * scale) + offset for number in range(count)]


@pytest.fixture(params=[classic.ClassicService, ClassicClient])
def conn(request: pytest.FixtureRequest, theirs: Any) -> Iterator[classic.ClassicConnection]:
    with classic.connect("127.0.0.1", theirs.port, request.param) as made:
        yield made


@pytest.fixture
def both(theirs: Any) -> Iterator[classic.ClassicConnection]:
    with classic.connect("127.0.0.1", theirs.port) as made:
        yield made


def test_code_and_modules(conn: classic.ClassicConnection, theirs: Any) -> None:
    conn.execute("import math\ndef area(r): return round(math.pi * r * r)")
    assert conn.eval("area(2)") == 13
    assert conn.namespace["area"](1) == 3
    assert conn.modules["xml.dom.minidom"].parseString("<a/>").firstChild.tagName == "a"
    assert conn.modules.os.getpid() == theirs.pid
    assert "json" in conn.modules
    assert "no_such_module" not in conn.modules
    with pytest.raises(AttributeError):
        _ = conn.modules.no_such_module


def test_exceptions(both: classic.ClassicConnection) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        both.builtins.open("/no/such/file")
    assert caught.value.errno == 2
    with pytest.raises(json.JSONDecodeError) as custom:
        both.modules.json.loads("{")
    assert custom.value.pos == 1


def test_values_and_functions(conn: classic.ClassicConnection) -> None:
    assert classic.obtain(classic.deliver(conn, {"a": [1, 2]})) == {"a": [1, 2]}
    there = conn.teleport(scaled)
    assert classic.obtain(there(3)) == [1, 4, 7]
    assert classic.obtain(conn.namespace["scaled"](2, scale=5, offset=0)) == [0, 5]
    assert sorted(conn.builtins.map(lambda number: -number, (1, 2))) == [-2, -1]


def test_files_and_packages(conn: classic.ClassicConnection, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "inner").mkdir(parents=True)
    (tree / "inner" / "large").write_bytes(os.urandom(300_000))
    classic.upload(conn, tree, str(tmp_path / "there"))
    classic.download(conn, str(tmp_path / "there"), tmp_path / "back")
    assert (tmp_path / "back" / "inner" / "large").read_bytes() == (tree / "inner" / "large").read_bytes()
    classic.upload_package(conn, json, str(tmp_path / "json"))
    assert (tmp_path / "json" / "decoder.py").exists()


def test_streams_prompt_and_debugger(both: classic.ClassicConnection, console: Callable[[str], StringIO]) -> None:
    out = console("typed\n")
    with classic.redirected_stdio(both):
        both.execute("print('got', input())")
    assert out.getvalue() == "got typed\n"
    out = console("import os\nprint(os.getpid() == pid)\nexit()\n")
    classic.interact(both, {"pid": both.modules.os.getpid()})
    assert "True" in out.getvalue()
    with pytest.raises(ZeroDivisionError):
        both.execute("def fail(number):\n    secret = number + 1\n    return 1 / 0\nfail(6)")
    out = console("p secret\nq\n")
    classic.pm(both)
    assert "(Pdb) 7" in out.getvalue()


@pytest.mark.usefixtures("theirs")
def test_by_way_of_a_subprocess() -> None:
    with classic.connect_subproc(str(THEIRS)) as conn:
        assert conn.modules.os.getpid() == conn.proc.pid
        assert classic.obtain(conn.teleport(scaled)(2)) == [1, 4]
    assert conn.proc.wait(20) == 0
