from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

rpyc = pytest.importorskip("rpyc")

STDIO = [sys.executable, "-m", "anycore", "classic", "-q", "-m", "stdio"]
OLD = Path(__file__).parents[3] / ".rpyc5.3.1-venv"
OLD_CLIENT = """
import sys, rpyc
conn = rpyc.classic.connect("127.0.0.1", int(sys.argv[1]))
def squares(count, power=2):
    return [number ** power for number in range(count)]
conn.execute("x = 6")
print(rpyc.__version__.partition(".")[0], conn.eval("x * 7"), list(conn.teleport(squares)(3)))
print(rpyc.classic.obtain(rpyc.classic.deliver(conn, ["a"])), conn.modules.os.getpid() > 0)
"""


def scaled(count: int, scale: int = 3, *, offset: int = 1) -> list[int]:
    import math

    return [math.trunc(number * scale) + offset for number in range(count)]


@pytest.fixture
def conn(ours: Any) -> Iterator[Any]:
    made = rpyc.classic.connect("127.0.0.1", ours.port)
    yield made
    made.close()


def test_code_and_modules(conn: Any) -> None:
    conn.execute("import math\ndef area(r): return round(math.pi * r * r)")
    assert conn.eval("area(2)") == 13
    assert conn.namespace["area"](1) == 3
    assert conn.modules.os.path.join("a", "b") == "a/b"
    assert conn.modules["xml.dom.minidom"].parseString("<a/>").firstChild.tagName == "a"
    assert conn.builtins.len(conn.builtins.list(range(5))) == 5
    assert "json" in conn.modules
    assert "no_such_module" not in conn.modules
    with pytest.raises(AttributeError):
        _ = conn.modules.no_such_module
    assert conn.modules.os.getpid() != os.getpid()


def test_exceptions(conn: Any) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        conn.builtin.open("/no/such/file")
    assert caught.value.errno == 2
    with pytest.raises(json.JSONDecodeError) as custom:
        conn.modules.json.loads("{")
    assert custom.value.pos == 1


def test_values_there_and_back(conn: Any) -> None:
    conn.execute("class Thing:\n  def __init__(self): self.items = [1]\nthing = Thing()")
    thing = conn.namespace["thing"]
    thing.more = "more"
    del thing.items
    assert conn.eval("vars(thing)")["more"] == "more"
    delivered = rpyc.classic.deliver(conn, {"a": [1, 2]})
    assert rpyc.classic.obtain(delivered) == {"a": [1, 2]}
    assert sorted(conn.builtins.map(lambda number: -number, [1, 2])) == [-2, -1]


def test_teleported_functions(conn: Any) -> None:
    there = conn.teleport(scaled)
    assert list(there(3)) == [1, 4, 7]
    assert list(conn.namespace["scaled"](2, scale=5, offset=0)) == [0, 5]
    conn.execute("def apply(f): return f(2)")
    assert list(conn.namespace["apply"](there)) == [1, 4]


def test_files_and_packages(conn: Any, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "inner").mkdir(parents=True)
    (tree / "inner" / "large").write_bytes(os.urandom(300_000))
    (tree / "empty").touch()
    rpyc.classic.upload(conn, str(tree), str(tmp_path / "there"))
    rpyc.classic.download(conn, str(tmp_path / "there"), str(tmp_path / "back"))
    assert (tmp_path / "back" / "inner" / "large").read_bytes() == (tree / "inner" / "large").read_bytes()
    assert (tmp_path / "back" / "empty").read_bytes() == b""
    rpyc.classic.upload_package(conn, json, str(tmp_path / "json"))
    assert (tmp_path / "json" / "decoder.py").exists()
    if sys.version_info < (3, 12):
        assert conn.modules["distutils.sysconfig"].get_python_lib().endswith("site-packages")


def test_redirected_streams(conn: Any, console: Callable[[str], StringIO]) -> None:
    out = console("typed\n")
    with rpyc.classic.redirected_stdio(conn):
        conn.execute("import sys\nprint('got', sys.stdin.readline())")
    assert out.getvalue() == "got typed\n\n"


def test_prompt(conn: Any, console: Callable[[str], StringIO]) -> None:
    out = console("import os\nprint(os.getpid() == pid)\n")
    rpyc.classic.interact(conn, {"pid": conn.modules.os.getpid()})
    assert "True" in out.getvalue()


def test_debugger(conn: Any, console: Callable[[str], StringIO]) -> None:
    with pytest.raises(ZeroDivisionError):
        conn.execute("def fail(number):\n    secret = number + 1\n    return 1 / 0\nfail(6)")
    out = console("p secret\nq\n")
    rpyc.classic.pm(conn)
    assert "(Pdb) 7" in out.getvalue()


def test_a_connection_by_way_of_the_server(conn: Any, theirs: Any) -> None:
    further = conn.modules.rpyc.classic.connect("127.0.0.1", theirs.port)
    assert further.modules.os.getpid() not in (os.getpid(), conn.modules.os.getpid())
    assert further.eval("6 * 7") == 42
    further.close()


def test_by_way_of_pipes(console: Callable[[str], StringIO]) -> None:
    conn = rpyc.utils.factory.connect_subproc(STDIO, rpyc.classic.SlaveService)
    assert conn.modules.os.getpid() == conn.proc.pid
    conn.execute("print('stray', flush=True)")
    assert list(conn.teleport(scaled)(2)) == [1, 4]
    assert rpyc.classic.obtain(rpyc.classic.deliver(conn, [1])) == [1]
    conn.close()
    assert conn.proc.wait(20) == 0
    conn.proc.stdin.close()
    conn.proc.stdout.close()


def test_the_older_original(ours: Any) -> None:
    if not (OLD / "complete").exists():
        pytest.skip(f"{OLD} is made by the tests of interop/rpyc")
    command = [str(OLD / "bin" / "python"), "-c", OLD_CLIENT, str(ours.port)]
    found = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert found.stdout == "5 42 [0, 1, 4]\n['a'] True\n", found.stderr
