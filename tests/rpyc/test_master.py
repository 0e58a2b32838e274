from __future__ import annotations

import os
import queue
from collections.abc import Callable
from typing import Any

import pytest

from anycore.objects.connection import Connection
from anycore.rpyc import classic
from anycore.rpyc.master import ClassicClient, ClassicService, FakeSlaveService, MasterService, ModuleNamespace
from anycore.rpyc.slave import SlaveService

Connect = Callable[..., Connection]
SECONDS = 10


@pytest.fixture
def master(connect: Connect) -> Any:
    return connect(SlaveService, service=MasterService)


def test_a_master_gets_the_slaves_parts(master: Any) -> None:
    master.execute("x = 20")
    assert master.eval("x + 1") == 21
    assert master.namespace["x"] == 20
    assert master.builtins.len([1, 2]) == 2
    assert master.builtin is master.builtins
    assert master.teleport(lambda: 4)() == 4


def test_modules_are_had_by_attribute_and_by_item(master: Any) -> None:
    modules = master.modules
    assert modules.os.getpid() == os.getpid()
    assert modules["os.path"].join("a", "b") == "a/b"
    assert modules["os", "path"] is modules["os.path"]
    assert modules.os.path.sep == os.sep
    assert "os" in repr(modules)


def test_modules_are_asked_for_once() -> None:
    asked: list[str] = []

    def getmodule(name: str) -> object:
        asked.append(name)
        return object()

    modules = ModuleNamespace(getmodule)
    assert modules.abc is modules["abc"]
    assert asked == ["abc"]


def test_modules_that_are_not_there(master: Any) -> None:
    assert "json" in master.modules
    assert "json.decoder" in master.modules
    for name in ("no_such_module", "json.no_such_module", "no_such_module.inner"):
        assert name not in master.modules
        with pytest.raises(ImportError):
            master.modules[name]
    with pytest.raises(AttributeError, match="no module 'no_such_module'"):
        _ = master.modules.no_such_module


def test_connecting_takes_few_round_trips(connect: Connect) -> None:
    replies = 0

    class Counting(MasterService):
        def on_connect(self, conn: Any) -> None:
            settle = conn.settle

            def counted(*args: Any, **kwargs: Any) -> Any:
                nonlocal replies
                replies += 1
                return settle(*args, **kwargs)

            conn.settle = counted
            super().on_connect(conn)

    connect(SlaveService, service=Counting)
    assert replies <= 8  # the root and its type, the five parts, one proxy given back


def test_both_sides_may_be_both(connect: Connect) -> None:
    connection: Any = connect(ClassicService, service=ClassicService)
    connection.execute("conn = None")
    connection.namespace["conn"] = connection.root.getconn()
    assert connection.eval("conn.modules.os.getpid()") == os.getpid()
    assert connection.eval("conn.eval('6 * 7')") == 42


def test_a_classic_client_gives_nothing_away(connect: Connect) -> None:
    found: queue.SimpleQueue[Any] = queue.SimpleQueue()

    class Curious(SlaveService):
        def on_connect(self, conn: Any) -> None:
            super().on_connect(conn)
            found.put(conn.root.getmodule)
            for name in ("modules", "on_connect", "__class__"):
                try:
                    found.put(getattr(conn.root, name + " ".rstrip()))
                except AttributeError as error:
                    found.put(type(error).__mro__[1])

    connection: Any = connect(Curious, service=ClassicClient)
    assert connection.modules.os.getpid() == os.getpid()
    assert found.get(timeout=SECONDS) is None
    assert connection.config["allow_all_attrs"] is False
    assert FakeSlaveService.exposed_eval is None


def test_classic_connect_is_a_master_and_a_slave(serve: Callable[..., int]) -> None:
    with classic.connect("127.0.0.1", serve(SlaveService)) as connection:
        assert connection.config["allow_all_attrs"] is True
        assert connection.eval("1 + 1") == 2
