"""The other maker's end, run by the Python that has it: serves a service, or calls one and prints what it saw as JSON."""

from __future__ import annotations

import json
import sys
from typing import Any

import rpyc
from rpyc.utils.server import ThreadedServer


class Foo:
    """A class of the service's own."""

    def __init__(self, x: Any) -> None:
        self.x = x

    def exposed_get(self) -> Any:
        return self.x

    def __len__(self) -> int:
        return 7

    def __enter__(self) -> Any:
        return self

    def __exit__(self, kind: Any, error: object, trace: object) -> Any:  # noqa: PYI036 - runs without annotations too
        self.x = None if kind is None else kind.__name__
        return kind is ValueError


class DemandingError(Exception):
    """An exception whose constructor wants two arguments."""

    def __init__(self, code: Any, reason: Any) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


class Everything(rpyc.Service):
    """What both sides' tests call."""

    exposed_x = 5

    def exposed_add(self, a: Any, b: Any = 1) -> Any:
        return a + b

    def exposed_items(self) -> Any:
        return list(range(1000))

    def exposed_foo(self) -> Any:
        return Foo(3)

    def exposed_call(self, function: Any, *args: Any) -> Any:
        return function(*args)

    def exposed_fail(self) -> Any:
        raise ValueError("oops", 7)

    def exposed_demand(self) -> Any:
        raise DemandingError(5, "because")

    def exposed_stop(self) -> Any:
        raise StopIteration

    def exposed_echo(self, value: Any) -> Any:
        return value

    def exposed_down(self, other: Any, depth: Any) -> Any:
        return 0 if depth == 0 else other(depth - 1) + 1

    def exposed_table(self) -> Any:
        return {"a": 1}


def use(conn: Any) -> dict[str, Any]:
    """Call everything over a connection of rpyc's."""
    root = conn.root
    seen = {
        "add": root.add(1, b=2),
        "x": root.x,
        "items": sum(root.items()),
        "len": len(root.foo()),
        "get": root.foo().get(),
    }
    seen["callback"] = root.call(lambda n: n * 2, 10)
    for name in ("fail", "demand"):
        try:
            getattr(root, name)()
        except Exception as error:  # noqa: BLE001 - looked at below
            seen[name] = [
                type(error).__name__,
                list(error.args),
                "Remote Traceback (1)" in str(error),
                "WARNING" in str(error),
            ]
    try:
        _ = root.secret
    except AttributeError as error:
        seen["denied"] = "cannot access" in str(error)
    same = object()
    seen["same"] = root.echo(same) is same
    seen["mixed"] = root.echo((1, [2], "x"))[1] == [2]
    items = root.items()
    seen["list"] = [
        items[3],
        items == root.echo(items),
        repr(items)[:6],
        items.__class__ is list,
        isinstance(items, list),
        items != 5,
    ]
    seen["buffiter"] = sum(rpyc.buffiter(items))
    seen["down"] = root.down(lambda depth: root.down(None, 0) + depth, 20)
    seen["async"] = rpyc.async_(root.add)(4, 5).value
    seen["hash"] = isinstance(hash(root), int)
    seen["dir"] = "exposed_add" in dir(root)
    with root.foo() as foo:
        pass
    seen["with"] = foo.get()
    with root.foo() as foo:
        raise ValueError("inside")
    seen["raised with"] = foo.get()
    seen["iterate"] = sorted(root.table())
    conn.ping()

    def deep(depth: Any) -> Any:
        return root.down(deep, depth)

    seen["deep"] = root.down(deep, 50)
    conn.close()
    return seen


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        server = ThreadedServer(
            Everything, hostname="127.0.0.1", port=0, protocol_config={"include_local_traceback": True}
        )
        serving = server._start_in_thread()
        sys.stdout.write(f"{server.port}\n")
        sys.stdout.flush()
        serving.join()
    else:
        sys.stdout.write(json.dumps(use(rpyc.connect("127.0.0.1", int(sys.argv[2])))))
