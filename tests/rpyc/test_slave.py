from __future__ import annotations

import os
import sys
import threading
import types
from collections.abc import Callable
from typing import Any

import pytest

from anycore.objects.connection import Connection
from anycore.objects.proxy import is_proxy
from anycore.rpyc.classic import MockClassicConnection
from anycore.rpyc.slave import OPEN, Slave, SlaveService

Connect = Callable[..., Connection]
SECONDS = 10
STAND_INS = ("rpyc", "rpyc.lib", "rpyc.lib.compat", "rpyc.utils", "rpyc.utils.classic", "rpyc.utils.teleportation")


@pytest.fixture
def without_rpyc(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine where RPyC and distutils are not installed."""
    for name in list(sys.modules):
        if name.partition(".")[0] in ("rpyc", "distutils", "_distutils_hack"):
            monkeypatch.delitem(sys.modules, name)
    for name in ("rpyc", "distutils"):
        monkeypatch.setitem(sys.modules, name, None)


def test_a_slave_runs_what_it_is_told(connect: Connect) -> None:
    root = connect(SlaveService).root
    root.execute("import math\ndef area(r): return round(math.pi * r * r)")
    assert root.eval("area(2)") == 13
    assert root.namespace["area"](1) == 3
    assert root.getmodule("os").getpid() == os.getpid()
    assert root.getmodule("os.path") is root.getmodule(("os", "path"))


def test_the_connection_is_open_at_the_slaves_end_only(connect: Connect) -> None:
    connection = connect(SlaveService)
    end = connection.root.getconn()
    assert {name: end._config[name] for name in OPEN} == OPEN
    assert connection.config["allow_all_attrs"] is False
    assert len(end._local_root.namespace) == 0
    assert end.closed is False
    assert "connection" in repr(end)


def test_attributes_are_read_set_and_deleted(connect: Connect) -> None:
    root = connect(SlaveService).root
    root.execute("class Thing:\n  _hidden = 1\nthing = Thing()")
    thing = root.namespace["thing"]
    assert thing._hidden == 1
    thing.more = 2
    assert root.eval("thing.more") == 2
    del thing.more
    assert root.eval("hasattr(thing, 'more')") is False


def test_exceptions_of_the_slave_have_their_classes(connect: Connect) -> None:
    connection = connect(SlaveService)
    with pytest.raises(ZeroDivisionError, match="division by zero"):
        connection.root.execute("1 / 0")
    assert "<string>" in connection.root.getmodule("traceback").format_tb(connection.root.getconn()._last_traceback)[-1]


def test_the_slave_takes_its_streams_back_from_a_master_that_has_gone(connect: Connect) -> None:
    ended = threading.Event()

    class Watched(SlaveService):
        def on_disconnect(self, conn: Any) -> None:
            super().on_disconnect(conn)
            ended.set()

    before = sys.stdout
    try:
        connection = connect(Watched)
        connection.root.getmodule("sys").stdout = connection
        assert is_proxy(sys.stdout)
        connection.close()
        assert ended.wait(SECONDS)
    finally:
        found, sys.stdout = sys.stdout, before
    assert found is sys.__stdout__


@pytest.mark.usefixtures("without_rpyc")
@pytest.mark.parametrize("name", [*STAND_INS, "distutils.sysconfig"])
def test_modules_that_clients_expect_are_there_without_rpyc(name: str) -> None:
    found = Slave().getmodule(name)
    assert isinstance(found, types.ModuleType)
    assert Slave().getmodule(name) is found


@pytest.mark.usefixtures("without_rpyc")
def test_the_stand_ins_do_what_clients_want_of_them() -> None:
    slave = Slave()
    pickle = slave.getmodule("rpyc.lib.compat").pickle
    assert pickle.loads(pickle.dumps([1])) == [1]
    directory = slave.getmodule("distutils.sysconfig").get_python_lib
    assert directory().endswith("site-packages")
    assert directory(standard_lib=True) in os.__file__
    assert directory(prefix="/elsewhere").startswith("/elsewhere/")
    there: Any = slave.getmodule("rpyc")
    assert there.classic.connect is slave.getmodule("rpyc.utils.classic").connect
    assert there.utils.teleportation is slave.getmodule("rpyc.utils.teleportation")
    assert there.__version__.startswith("6.")


def test_real_modules_come_first() -> None:
    import rpyc

    assert Slave().getmodule("rpyc") is rpyc


def test_modules_that_nobody_expects_are_missing() -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        Slave().getmodule("no_such_module")
    with pytest.raises(ModuleNotFoundError, match=r"rpyc\.nonsense"):
        Slave().getmodule("rpyc.nonsense")


def test_a_slave_without_a_connection_has_none() -> None:
    assert Slave().getconn() is None
    assert MockClassicConnection().root.getconn() is None
