from __future__ import annotations

import queue
import socket
from collections.abc import Callable
from typing import Any

import pytest
import rpyc

from anycore.objects.connection import Connection
from anycore.rpyc import connecting
from anycore.rpyc.service import Service, VoidService, classpartial, exposed, service

Connect = Callable[..., Connection]
Serve = Callable[..., int]
SECONDS = 10


class Counter(Service):
    """Tells a queue about its connections."""

    exposed_unit = "items"

    def __init__(self, events: queue.SimpleQueue[str], start: int = 0) -> None:
        self.events = events
        self.count = start

    def on_connect(self, conn: Any) -> None:
        self.events.put("connect")

    def on_disconnect(self, conn: Any) -> None:
        self.events.put("disconnect")

    def exposed_add(self, number: int) -> int:
        self.count += number
        return self.count

    def exposed_close(self) -> None:
        message = "not so"
        raise ConnectionError(message)

    def secret(self) -> str:
        return "secret"


@service
class Marked:
    @exposed
    class Inner:
        def __init__(self, value: int) -> None:
            self.value = value

        @exposed
        def get(self) -> int:
            return self.value

        def hidden(self) -> int:
            return self.value

    @exposed
    def plain(self) -> str:
        return "plain"

    @exposed  # type: ignore[prop-decorator]
    @property
    def shown(self) -> str:
        return "shown"

    @exposed
    @staticmethod
    def fixed() -> str:
        return "fixed"

    @exposed
    @classmethod
    def called(cls) -> str:
        return cls.__name__

    @exposed("other_")
    def prefixed(self) -> str:
        return "prefixed"

    def secret(self) -> str:
        return "secret"


def test_the_name_of_a_service_is_that_of_its_class() -> None:
    class FooService(Service):
        pass

    class Named(Service):
        ALIASES = ("foo", "Bar")

    assert FooService.get_service_name() == "FOO"
    assert Service.get_service_aliases() == ("SERVICE",)
    assert Named.get_service_aliases() == ("FOO", "BAR")
    assert Named().exposed_get_service_name() == "FOO"


def test_exposed_members_are_reached_with_and_without_the_prefix(connect: Connect) -> None:
    root = connect(classpartial(Counter, queue.SimpleQueue(), start=3)).root
    assert root.add(2) == 5
    assert root.exposed_add(2) == 7
    assert root.unit == "items"
    assert root.get_service_name() == "COUNTER"


@pytest.mark.parametrize("name", ["secret", "count", "events", "_rpyc_setattr", "__dict__", "__init__"])
def test_what_is_not_exposed_is_not_there(connect: Connect, name: str) -> None:
    root = connect(classpartial(Counter, queue.SimpleQueue())).root
    if name in ("__dict__", "__init__"):
        name = f"{name} "
    with pytest.raises(AttributeError, match="cannot access"):
        getattr(root, name)


def test_attributes_of_a_service_are_not_set_and_not_deleted(connect: Connect) -> None:
    root = connect(classpartial(Counter, queue.SimpleQueue()), {"allow_setattr": True, "allow_delattr": True}).root
    with pytest.raises(AttributeError, match="access denied"):
        root.exposed_unit = 1
    with pytest.raises(AttributeError, match="access denied"):
        del root.exposed_unit


def test_marked_members_are_reached(connect: Connect) -> None:
    root = connect(Marked).root
    assert (root.plain(), root.shown, root.fixed(), root.called()) == ("plain", "shown", "fixed", "Marked")
    assert root.Inner(5).get() == 5
    with pytest.raises(AttributeError, match="cannot access"):
        root.Inner(5).hidden()
    with pytest.raises(AttributeError, match="cannot access"):
        root.secret()
    with pytest.raises(AttributeError, match="cannot access"):
        root.prefixed()
    assert connect(Marked, {"exposed_prefix": "other_"}).root.prefixed() == "prefixed"


def test_a_class_is_made_for_each_connection_and_an_instance_is_shared(serve: Serve) -> None:
    made = serve(classpartial(Counter, queue.SimpleQueue()))
    shared = serve(Counter(queue.SimpleQueue()))
    for port, second in ((made, 1), (shared, 2)):
        with connecting.connect("127.0.0.1", port) as one, connecting.connect("127.0.0.1", port) as two:
            assert one.root.add(1) == 1
            assert two.root.add(1) == second


def test_classpartial_keeps_the_name() -> None:
    made: Any = classpartial(Counter, queue.SimpleQueue(), 7)
    assert made().count == 7
    assert made.get_service_name() == "COUNTER"


def _close(connection: Connection) -> None:
    connection.close()


def _vanish(connection: Connection) -> None:
    raw: socket.socket = connection.link.socket  # type: ignore[attr-defined]
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    raw.shutdown(socket.SHUT_RDWR)
    connection.close()


def _talk_nonsense(connection: Connection) -> None:
    connection.link.send(b"\0\0\0\1\0\xff\n")
    with pytest.raises(EOFError):
        connection.ping()


@pytest.mark.parametrize("end", [_close, _vanish, _talk_nonsense])
def test_a_service_is_told_once_of_the_end_however_it_comes(
    connect: Connect, end: Callable[[Connection], None]
) -> None:
    events: queue.SimpleQueue[str] = queue.SimpleQueue()
    connection = connect(classpartial(Counter, events))
    assert connection.root.add(1) == 1
    assert events.get(timeout=SECONDS) == "connect"
    end(connection)
    assert events.get(timeout=SECONDS) == "disconnect"
    assert events.empty()


def _raise(_: Connection) -> None:
    message = "not today"
    raise PermissionError(message)


@pytest.mark.parametrize("refuse", [_close, _raise])
def test_a_service_may_refuse_a_connection_and_is_told_of_its_end(
    connect: Connect, refuse: Callable[[Connection], None]
) -> None:
    events: queue.SimpleQueue[str] = queue.SimpleQueue()

    class Refusing(Counter):
        def on_connect(self, conn: Any) -> None:
            super().on_connect(conn)
            refuse(conn)

    connection = connect(classpartial(Refusing, events))
    connection.serve_all()
    with pytest.raises(EOFError):
        connection.ping()
    assert [events.get(timeout=SECONDS), events.get(timeout=SECONDS)] == ["connect", "disconnect"]


def test_the_clients_service_is_told_as_well(connect: Connect) -> None:
    events: queue.SimpleQueue[str] = queue.SimpleQueue()
    connection = connect(VoidService, service=Counter(events))
    assert events.get(timeout=SECONDS) == "connect"
    connection.close()
    assert events.get(timeout=SECONDS) == "disconnect"


def test_a_service_may_ask_the_client_when_it_connects(connect: Connect) -> None:
    found: queue.SimpleQueue[str] = queue.SimpleQueue()

    class Curious(Service):
        def on_connect(self, conn: Any) -> None:
            found.put(conn.root.unit)

    connection = connect(Curious, service=Counter(queue.SimpleQueue()))
    connection.ping()  # the client answers while it waits for something itself
    while found.empty():
        connection.poll(0.01)
    assert found.get() == "items"


def test_a_service_written_for_rpyc_is_served_unchanged(connect: Connect) -> None:
    events: queue.SimpleQueue[str] = queue.SimpleQueue()

    @rpyc.service
    class MathService(rpyc.Service):
        ALIASES = ("calc",)
        exposed_pi = 3

        def on_connect(self, conn: Any) -> None:
            events.put("connect")

        def on_disconnect(self, conn: Any) -> None:
            events.put("disconnect")

        def exposed_apply(self, function: Any, *args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        @rpyc.exposed
        def double(self, number: int) -> int:
            return 2 * number

        def secret(self) -> None:
            pass

    connection = connect(MathService)
    root = connection.root
    assert (root.pi, root.double(4), root.get_service_aliases()) == (3, 8, ("CALC",))
    assert root.apply(lambda a, b: (a, b), 1, b=2) == (1, 2)
    with pytest.raises(AttributeError):
        root.secret()
    with pytest.raises(AttributeError, match="access denied"):
        root.exposed_pi = 4
    connection.close()
    assert [events.get(timeout=SECONDS), events.get(timeout=SECONDS)] == ["connect", "disconnect"]


def test_rpycs_client_uses_a_service_of_ours(serve: Serve) -> None:
    connection = rpyc.connect("127.0.0.1", serve(Marked))
    try:
        assert connection.root.plain() == "plain"
        assert connection.root.Inner(5).get() == 5
    finally:
        connection.close()
