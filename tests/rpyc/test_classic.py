from __future__ import annotations

import datetime as dt
import io
import json.decoder
import os
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from anycore.objects.proxy import is_proxy
from anycore.rpyc import classic, connecting
from anycore.rpyc.service import VoidService
from anycore.rpyc.slave import SlaveService
from anycore.rpyc.transfer import CHUNK_SIZE
from anycore.testing.certificate import CERTIFICATE, server_context

Serve = Callable[..., int]
SECONDS = 10


@pytest.fixture
def conn() -> Iterator[classic.ClassicConnection]:
    with classic.connect_thread() as made:
        yield made


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[classic.ClassicConnection]:
    """A slave with standard streams of its own."""
    with classic.connect_subproc() as made:
        yield made
    assert made.proc.wait(SECONDS) == 0


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], tuple[io.StringIO, io.StringIO]]:
    """Replace the standard streams of this process; returns what is printed."""

    def type_in(text: str) -> tuple[io.StringIO, io.StringIO]:
        out, err = io.StringIO(), io.StringIO()
        monkeypatch.setattr(sys, "stdin", io.StringIO(textwrap.dedent(text)))
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", err)
        return out, err

    return type_in


def test_connections_of_every_kind(serve: Serve, tmp_path: Path) -> None:
    pem = tmp_path / "localhost.pem"
    pem.write_text(CERTIFICATE)
    context = server_context()
    over_tls = serve(SlaveService, None, lambda accepted: context.wrap_socket(accepted, server_side=True))
    for made in (
        classic.connect("127.0.0.1", serve(SlaveService), keepalive=True),
        classic.connect("127.0.0.1", serve(SlaveService), service=classic.ClassicClient),
        classic.ssl_connect("127.0.0.1", over_tls, ca_certs=str(pem)),
        classic.connect_thread(),
        classic.connect_multiprocess({"shared": 6}),
    ):
        with made as conn:
            assert conn.modules.os.sep == os.sep
            assert conn.eval("len(globals())") in (1, 2)


def test_obtain_copies_by_value(conn: classic.ClassicConnection) -> None:
    conn.execute("import datetime\nvalue = {'list': [1, (2.5, b'x')], 'when': datetime.date(2024, 1, 2)}")
    found = classic.obtain(conn.namespace["value"])
    assert found == {"list": [1, (2.5, b"x")], "when": dt.date(2024, 1, 2)}
    assert not is_proxy(found)


def test_obtain_copies_what_is_inside_something_of_ours(conn: classic.ClassicConnection) -> None:
    remote = conn.builtins.list("ab")
    assert classic.obtain([remote, {"key": remote}, 3]) == [["a", "b"], {"key": ["a", "b"]}, 3]


def test_obtain_needs_the_other_sides_consent() -> None:
    class Closed(VoidService):
        def exposed_items(self) -> list[int]:
            return [1]

    from anycore.rpyc.starting import connect_thread

    with connect_thread(remote_service=Closed) as conn, pytest.raises(ValueError, match="allow_pickle"):
        classic.obtain(conn.root.items())


def test_deliver_makes_a_copy_there(conn: classic.ClassicConnection) -> None:
    mine = {"a": [1]}
    theirs = classic.deliver(conn, mine)
    assert is_proxy(theirs)
    theirs["a"].append(2)
    assert mine == {"a": [1]}
    assert classic.obtain(theirs) == {"a": [1, 2]}


class TestFiles:
    @pytest.fixture
    def tree(self, tmp_path: Path) -> Path:
        tree = tmp_path / "tree"
        (tree / "inner" / "empty").mkdir(parents=True)
        (tree / "large").write_bytes(os.urandom(2 * CHUNK_SIZE + 1))
        (tree / "none").touch()
        (tree / "inner" / "text.txt").write_text("text")
        return tree

    @staticmethod
    def _contents(tree: Path) -> dict[str, bytes | None]:
        found = sorted(tree.rglob("*"))
        return {str(path.relative_to(tree)): path.read_bytes() if path.is_file() else None for path in found}

    def test_a_file_there_and_back(self, conn: classic.ClassicConnection, tree: Path, tmp_path: Path) -> None:
        classic.upload(conn, tree / "large", str(tmp_path / "there"))
        classic.download(conn, str(tmp_path / "there"), str(tmp_path / "back"), chunk_size=1000)
        assert (tmp_path / "back").read_bytes() == (tree / "large").read_bytes()

    def test_a_tree_there_and_back(self, conn: classic.ClassicConnection, tree: Path, tmp_path: Path) -> None:
        classic.upload(conn, str(tree), str(tmp_path / "there"))
        classic.download(conn, str(tmp_path / "there"), tmp_path / "back")
        assert self._contents(tmp_path / "back") == self._contents(tree)

    def test_a_filter_chooses(self, conn: classic.ClassicConnection, tree: Path, tmp_path: Path) -> None:
        classic.upload(conn, tree, str(tmp_path / "there"), lambda name: name != "large")
        assert set(self._contents(tmp_path / "there")) == set(self._contents(tree)) - {"large"}
        classic.download(conn, str(tree), tmp_path / "back", lambda name: name == "none")
        assert set(self._contents(tmp_path / "back")) == {"none"}

    def test_what_is_not_there(self, conn: classic.ClassicConnection, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="cannot upload"):
            classic.upload(conn, tmp_path / "nothing", str(tmp_path / "there"))
        with pytest.raises(ValueError, match="cannot download"):
            classic.download(conn, str(tmp_path / "nothing"), tmp_path / "back")
        classic.upload(conn, tmp_path / "nothing", str(tmp_path / "there"), ignore_invalid=True)
        classic.download(conn, str(tmp_path / "nothing"), tmp_path / "back", ignore_invalid=True)
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("name", ["../escaped", "/etc/escaped", "..", "a/b", ""])
    def test_the_other_side_cannot_write_elsewhere(
        self, conn: classic.ClassicConnection, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "there").mkdir()
        monkeypatch.setattr(os, "listdir", lambda _path: [name])
        with pytest.raises(ValueError, match="no name of a file"):
            classic.download(conn, str(tmp_path / "there"), tmp_path / "back")

    def test_a_package_and_a_module(self, conn: classic.ClassicConnection, tmp_path: Path) -> None:
        classic.upload_package(conn, json, str(tmp_path / "copied"))
        assert (tmp_path / "copied" / "decoder.py").read_bytes() == Path(json.decoder.__file__).read_bytes()
        assert not (tmp_path / "copied" / "__pycache__").exists()
        classic.upload_module(conn, json.decoder, str(tmp_path / "single"))
        assert [path.name for path in (tmp_path / "single").iterdir()] == ["decoder.py"]

    def test_they_go_where_modules_are_installed(
        self, conn: classic.ClassicConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("sysconfig.get_path", lambda _kind: str(tmp_path))
        classic.upload_package(conn, json)
        classic.upload_package(conn, json.decoder)
        assert (tmp_path / "json" / "__init__.py").is_file()
        assert (tmp_path / "json" / "decoder.py").is_file()

    def test_a_module_without_source(self, conn: classic.ClassicConnection) -> None:
        with pytest.raises(ValueError, match="has no source file"):
            classic.upload_package(conn, sys)


def test_redirected_streams_are_ours_within_the_block(elsewhere: classic.ClassicConnection, console: Any) -> None:
    out, err = console("first\nsecond\n")
    there = elsewhere.modules.sys
    before = there.stdout
    timeout = elsewhere.root.getconn()._config["sync_request_timeout"]
    with classic.redirected_stdio(elsewhere):
        elsewhere.execute("import sys\nprint(input('? '))\nsys.stderr.write('oops')\nprint([*sys.stdin], flush=True)")
        assert elsewhere.root.getconn()._config["sync_request_timeout"] is None
        with pytest.raises(io.UnsupportedOperation):
            there.stdin.fileno()
        there.stdin.close()
    assert (out.getvalue(), err.getvalue()) == ("? first\n['second\\n']\n", "oops")
    assert sys.stdin.closed is False
    assert there.stdout == before
    assert elsewhere.root.getconn()._config["sync_request_timeout"] == timeout


def test_streams_are_not_given_back_to_a_side_that_has_gone(console: Any) -> None:
    console("")
    conn = classic.connect_subproc()
    with classic.redirected_stdio(conn):
        conn.close()
    assert conn.proc.wait(SECONDS) == 0


def test_a_prompt_of_the_other_side(elsewhere: classic.ClassicConnection, console: Any) -> None:
    out, err = console(
        """\
        import os
        print(os.getpid())
        given + 1
        conn.closed
        exit()
        """
    )
    classic.interact(elsewhere, {"given": 41})
    assert out.getvalue() == f">>> >>> {elsewhere.proc.pid}\n>>> 42\n>>> False\n>>> "
    assert "InteractiveConsole" in err.getvalue()


def test_the_other_sides_debugger(elsewhere: classic.ClassicConnection, console: Any) -> None:
    with pytest.raises(ZeroDivisionError):
        elsewhere.execute("def fail(number):\n    secret = number + 1\n    return 1 / 0\nfail(6)")
    out, _ = console("p secret\nup\nq\n")
    classic.pm(elsewhere)
    assert "fail()" in out.getvalue()
    assert "(Pdb) 7" in out.getvalue()


def test_nothing_to_debug(conn: classic.ClassicConnection) -> None:
    with pytest.raises(ValueError, match="nothing has failed"):
        classic.pm(conn)


def test_a_mock_does_it_all_here(tmp_path: Path, console: Any) -> None:
    mock = classic.MockClassicConnection()
    there: Any = mock
    assert there.modules.os is os
    there.execute("x = 1")
    assert there.eval("x + 1") == 2
    assert there.namespace["x"] == 1
    assert classic.deliver(mock, [1]) == classic.obtain([1]) == [1]
    assert there.teleport(lambda: 5)() == 5
    (tmp_path / "one").write_text("text")
    classic.upload(mock, tmp_path / "one", str(tmp_path / "two"))
    assert (tmp_path / "two").read_text() == "text"
    out, _ = console("conn\n")
    classic.interact(mock)
    assert "MockClassicConnection" in out.getvalue()


def test_a_client_that_gives_nothing_away_can_do_most(tmp_path: Path) -> None:
    with classic.connect_thread(classic.ClassicClient) as conn:
        assert classic.obtain(classic.deliver(conn, [1])) == [1]
        (tmp_path / "one").write_text("text")
        classic.upload(conn, tmp_path / "one", str(tmp_path / "two"))
        assert (tmp_path / "two").read_text() == "text"
        assert conn.teleport(lambda: 5)() == 5


def test_a_command_may_be_given() -> None:
    program = "from anycore.server.classic import serve_stdio\nserve_stdio()"
    with classic.connect_subproc([sys.executable, "-c", program]) as conn:
        conn.execute(
            "import sys, os\nprint('stray')\nos.write(1, b'stray')\nos.write(2, b'stray')\nsys.stderr.write('stray')"
        )
        assert conn.modules.os.getpid() == conn.proc.pid
        assert conn.modules.sys.stdin.read() == ""


def test_the_ports_are_rpycs() -> None:
    assert (connecting.DEFAULT_PORT, connecting.DEFAULT_SSL_PORT) == (18812, 18821)
