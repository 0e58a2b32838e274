"""The original against ours: its client and our server, our client and its server, in both dialects, with and without bound threads."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any, Self

import pytest

from anycore.objects.exceptions import GenericException
from anycore.objects.proxy import is_proxy
from anycore.rpyc.connecting import connect
from anycore.rpyc.service import Service
from anycore.wire import rpyc_constants as wire

if TYPE_CHECKING:
    from collections.abc import Callable


class Foo:
    """A class of the service's own."""

    def __init__(self, x: Any) -> None:
        self.x = x

    def exposed_get(self) -> Any:
        return self.x

    def __len__(self) -> int:
        return 7

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> bool:
        self.x = None if kind is None else kind.__name__
        return kind is ValueError


class DemandingError(Exception):
    """An exception whose constructor wants two arguments."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


class Everything(Service):
    """What their client calls."""

    exposed_x = 5

    def __init__(self) -> None:
        self.events: list[str] = []

    def on_connect(self, conn: Any) -> None:
        self.events.append("hello")

    def on_disconnect(self, conn: Any) -> None:
        self.events.append("bye")

    def exposed_add(self, a: Any, b: Any = 1) -> Any:
        return a + b

    def exposed_items(self) -> list[int]:
        return list(range(1000))

    def exposed_foo(self) -> Foo:
        return Foo(3)

    def exposed_call(self, function: Any, *args: Any) -> Any:
        return function(*args)

    def exposed_fail(self) -> None:
        raise ValueError("oops", 7)

    def exposed_demand(self) -> None:
        raise DemandingError(5, "because")

    def exposed_echo(self, value: Any) -> Any:
        return value

    def exposed_down(self, other: Any, depth: int) -> int:
        return 0 if depth == 0 else int(other(depth - 1)) + 1

    def exposed_table(self) -> dict[str, int]:
        return {"a": 1}


def test_their_client_notices_nothing(their_client: Callable[[int], str], serving: Callable[..., Any]) -> None:
    roots: list[Everything] = []

    def root() -> Everything:
        roots.append(Everything())
        return roots[-1]

    with serving(root) as port:
        seen = json.loads(their_client(port))
    assert seen == {
        "add": 3,
        "x": 5,
        "items": 499500,
        "len": 7,
        "get": 3,
        "callback": 20,
        "fail": ["ValueError", ["oops", 7], True, False],
        "demand": [f"{__name__}.DemandingError", [5, "because"], True, False],
        "denied": True,
        "same": True,
        "mixed": True,
        "list": [3, True, "[0, 1,", True, True, True],
        "buffiter": 499500,
        "down": 20,
        "async": 9,
        "hash": True,
        "dir": True,
        "with": None,
        "raised with": "ValueError",
        "iterate": ["a"],
        "deep": 50,
    }
    assert [root.events for root in roots] == [["hello", "bye"]]


def test_our_client_with_their_server(their_server: tuple[int, dict[str, Any], int]) -> None:
    port, config, dialect = their_server
    with connect("127.0.0.1", port, config=config, dialect=dialect) as conn:
        root = conn.root
        assert (root.add(1, b=2), root.x, sum(root.items()), len(root.foo()), root.foo().get()) == (3, 5, 499500, 7, 3)
        assert root.call(lambda n: n * 2, 10) == 20
        with pytest.raises(ValueError, match=r"Remote Traceback \(1\)") as failed:
            root.fail()
        assert failed.value.args == ("oops", 7)
        assert "version" not in str(failed.value)
        with pytest.raises(GenericException) as demanded:
            root.demand()
        assert (demanded.value.code, demanded.value.reason) == (5, "because")  # type: ignore[attr-defined]
        assert type(demanded.value).__name__ == "__main__.DemandingError"
        with pytest.raises(StopIteration):
            root.stop()
        with pytest.raises(AttributeError, match="cannot access"):
            _ = root.secret
        same = object()
        assert root.echo(same) is same
        assert root.echo((1, [2], "x"))[1] == [2]
        items = root.items()
        assert (items[3], repr(items)[:6], items.__class__, isinstance(items, list)) == (3, "[0, 1,", list, True)
        assert items == root.echo(items)
        assert is_proxy(items)
        with root.foo() as foo:
            pass
        assert foo.get() is None
        assert isinstance(hash(root), int) and "exposed_add" in dir(root)
        assert conn.async_request(wire.CALL, root.add, (4, 5), ()).value == 9

        def deep(depth: int) -> int:
            return int(root.down(deep, depth))

        assert root.down(deep, 50) == 50
        conn.ping()
    assert conn.closed and conn.fileno() == -1


def test_threads_on_one_connection_to_their_server(their_server: tuple[int, dict[str, Any], int]) -> None:
    port, config, dialect = their_server
    wrong: list[Any] = []
    with connect("127.0.0.1", port, config=config, dialect=dialect) as conn:
        add, foo = conn.root.add, conn.root.foo

        def work(mine: int) -> None:
            for n in range(30):
                if add(mine, n) != mine + n or len(foo()) != 7:
                    wrong.append((mine, n))  # noqa: PERF401 - looks only for what is wrong

        threads = [threading.Thread(target=work, args=(number * 1000,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert not wrong and not any(thread.is_alive() for thread in threads)


def test_their_table_is_left_empty(their_server: tuple[int, dict[str, Any], int]) -> None:
    port, config, dialect = their_server
    with connect("127.0.0.1", port, config=config, dialect=dialect) as conn:
        foo = conn.root.foo
        for _ in range(50):
            foo()
            conn.root.echo([1])
        conn.ping()
        conn.ping()
        assert len(conn.table) == 0  # they have dropped all of ours
