"""RPyC's peers and the objects that plugins hand out: the tricks of the trade, over a real connection, and the rules about attributes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from anycore.rpyc.connecting import connect
from anycore.server.application import Server
from anycore.settings.sources import load_settings

PLUGIN = """
from anycore import Plugin, exposed

SECRET = "swordfish"


class Base:
    def public_of_base(self):
        return "base"


class Sensor(Base):
    colour = "red"

    def __init__(self):
        self.exposed_celsius = 20.0
        self._hidden = SECRET

    def exposed_read(self):
        return 21

    def public(self):
        return SECRET

    def __call__(self):
        return "called"

    def __getitem__(self, key):
        return key

    def __str__(self):
        return "a sensor"


def helper():
    return "helped"


class Thermostat(Plugin):
    @exposed
    def sensor(self):
        return Sensor()

    @exposed
    def function(self):
        return helper

    @exposed
    def bound(self):
        return Sensor().public

    @exposed
    def kind(self):
        return Sensor

    @exposed
    def numbers(self):
        return iter([1, 2, 3])

    @exposed
    def hidden(self):
        return SECRET
"""


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[str], Server]]:
    started: list[tuple[Server, threading.Thread]] = []

    def start(text: str) -> Server:
        (tmp_path / "thermostat.py").write_text(PLUGIN)
        head = '[server]\ncore = "threaded"\nplugins = ["thermostat.py"]\n[[listen]]\nurl = "rpyc://127.0.0.1:0"\n'
        (tmp_path / "anycore.toml").write_text(head + text)
        ready = threading.Event()
        server = Server(
            load_settings(file=str(tmp_path / "anycore.toml"), environment={}), announce=lambda _: ready.set()
        )
        thread = threading.Thread(target=server.run, kwargs={"signals": False}, daemon=True)
        thread.start()
        started.append((server, thread))
        assert ready.wait(30)
        return server

    yield start
    for server, thread in started:
        server.stop()
        thread.join(30)
        assert not thread.is_alive()


@contextmanager
def peer(server: Server) -> Iterator[Any]:
    host, port = server.urls[0].removeprefix("rpyc://").split(":")
    connection = connect(host, int(port))
    try:
        yield connection.root
    finally:
        connection.close()


def refused(action: Callable[[], object]) -> bool:
    """Whether an action is refused by the other side, and nothing of the secret comes with the refusal."""
    try:
        said = repr(action())
    except (AttributeError, PermissionError, TypeError, ValueError) as error:
        said, denied = str(error), True
    else:
        denied = False
    assert "swordfish" not in said
    return denied


NAMES = [
    "__class__", "__dict__", "__globals__", "__code__", "__closure__", "__func__", "__self__", "__reduce__", "__reduce_ex__", "__subclasses__",
    "__bases__", "__mro__", "__init__", "__getattribute__", "__setattr__", "__delattr__", "__module__", "__builtins__", "__call__", "__wrapped__",
    "_hidden", "public", "colour", "gi_frame", "f_globals", "_rpyc_getattr", "exposed_", "", "public\0", "PUBLIC",
]  # fmt: skip


def raw(proxy: Any, name: str) -> Any:
    """Ask the peer for an attribute, also for those names that a proxy answers itself."""
    from anycore.wire import rpyc_constants as wire

    connection = object.__getattribute__(proxy, "____conn__")
    return connection.sync_request(wire.GETATTR, proxy, name)


@pytest.mark.parametrize(
    "rules", ["", '[[access.rule]]\nallow_attributes = ["thermostat.Sensor.nothing"]\nto = ["*"]\n']
)
def test_tricks_with_attributes_get_nothing(serve: Callable[[str], Server], rules: str) -> None:
    with peer(serve(rules)) as root:
        sensor, function, bound, kind = (
            getattr(root.thermostat, name)() for name in ("sensor", "function", "bound", "kind")
        )
        assert sensor.read() == 21
        assert sensor.celsius == 20.0
        for victim in (sensor, function, kind, root, root.thermostat, root.thermostat.sensor):
            assert [name for name in NAMES if not refused(lambda name=name, victim=victim: raw(victim, name))] == []  # type: ignore[misc]
        assert (
            bound() == "swordfish"
        )  # a function that was handed out may be called: that is what it was handed out for
        for name in ("__globals__", "__func__", "__self__", "__class__", "__code__"):
            assert refused(lambda name=name: raw(bound, name))  # type: ignore[misc]
        assert refused(lambda: setattr(sensor, "colour", "blue"))
        assert refused(lambda: setattr(sensor, "exposed_celsius", 1.0))
        assert refused(lambda: delattr(sensor, "exposed_celsius"))
        assert refused(lambda: setattr(root, "thermostat", sensor))


def test_neither_pickle_nor_comparison_nor_slicing_leads_elsewhere(serve: Callable[[str], Server]) -> None:
    from anycore.wire import rpyc_constants as wire

    with peer(serve("")) as root:
        sensor = root.thermostat.sensor()
        request = object.__getattribute__(sensor, "____conn__").sync_request
        assert refused(lambda: request(wire.PICKLE, sensor, 2))
        for name in ("__class__", "__init_subclass__", "__subclasses__", "mro", "__getattribute__"):
            assert refused(lambda name=name: request(wire.CMP, sensor, sensor, name))  # type: ignore[misc]
            assert refused(lambda name=name: request(wire.CALLATTR, sensor, name, ()))  # type: ignore[misc]
            assert refused(lambda name=name: request(wire.OLDSLICING, sensor, name, name, 0, 1, ()))  # type: ignore[misc]
        assert refused(lambda: request(wire.GETATTR, sensor, b"__class__"))
        assert refused(lambda: request(wire.GETATTR, sensor, 5))


def test_rules_open_public_names_and_nothing_that_begins_with_an_underscore(serve: Callable[[str], Server]) -> None:
    rules = '[[access.rule]]\nallow_attributes = ["thermostat.Sensor"]\nto = ["local"]\n'
    with peer(serve(rules)) as root:
        sensor = root.thermostat.sensor()
        assert sensor.colour == "red"
        assert sensor.public() == "swordfish"
        assert sensor.read() == 21
        assert sensor[5] == 5
        for name in ("__class__", "_hidden", "__dict__", "__init__", "__reduce_ex__"):
            assert refused(lambda name=name: raw(sensor, name))  # type: ignore[misc]
        assert refused(lambda: setattr(sensor, "colour", "blue"))
        assert root.thermostat.kind().colour == "red"  # the class is its objects' class
        assert refused(lambda: raw(root.thermostat.function(), "__globals__"))


def test_a_rule_about_a_class_holds_for_classes_that_derive_from_it(serve: Callable[[str], Server]) -> None:
    with peer(serve('[[access.rule]]\nallow_attributes = ["thermostat.Base.*"]\nto = ["*"]\n')) as root:
        sensor = root.thermostat.sensor()
        assert sensor.public_of_base() == "base"
        assert sensor.colour == "red"


def test_rules_close_what_is_exposed_and_calls_too(serve: Callable[[str], Server]) -> None:
    rules = """
        [[access.rule]]
        deny_attributes = [
            "thermostat.Sensor.read", "thermostat.Sensor.__call__", "thermostat.Sensor.__getitem__", "thermostat.Sensor.__str__",
            "thermostat.Sensor.public", "thermostat.helper", "builtins.list_iterator.__next__",
        ]
        to = ["*"]
        """
    with peer(serve(rules)) as root:
        sensor = root.thermostat.sensor()
        assert sensor.celsius == 20.0
        assert refused(lambda: sensor.read)
        assert refused(lambda: raw(sensor, "exposed_read"))
        assert refused(sensor)
        assert refused(lambda: sensor[5])
        assert refused(lambda: str(sensor))
        assert refused(root.thermostat.function())
        assert refused(root.thermostat.bound())
        numbers = root.thermostat.numbers()
        assert refused(lambda: next(numbers))


def test_without_rules_these_are_open(serve: Callable[[str], Server]) -> None:
    with peer(serve("")) as root:
        sensor = root.thermostat.sensor()
        assert (sensor.read(), sensor(), sensor[5], str(sensor)) == (21, "called", 5, "a sensor")
        assert (root.thermostat.function()(), root.thermostat.bound()()) == ("helped", "swordfish")
        assert next(root.thermostat.numbers()) == 1


def test_everything_closed_leaves_the_plugins_reachable(serve: Callable[[str], Server]) -> None:
    with peer(serve('[[access.rule]]\ndeny_attributes = ["**"]\nto = ["*"]\n')) as root:
        assert root.thermostat.hidden() == "swordfish"  # a method: the rules about calls judge it
        sensor = root.thermostat.sensor()
        assert refused(lambda: sensor.read)
        assert refused(lambda: sensor.celsius)
        assert refused(sensor)


def test_rules_go_by_who_it_is_and_take_effect_on_connections_that_are_open(
    serve: Callable[[str], Server], tmp_path: Path
) -> None:
    server = serve('[[access.rule]]\ndeny_attributes = ["thermostat.Sensor.read"]\nto = ["user:bob"]\n')
    with peer(server) as root:
        sensor = root.thermostat.sensor()
        assert sensor.read() == 21
        path = tmp_path / "anycore.toml"
        path.write_text(path.read_text().replace("user:bob", "anonymous"))
        server.access.look()
        assert refused(lambda: sensor.read)


def test_methods_that_may_not_be_called_are_not_there(serve: Callable[[str], Server]) -> None:
    rules = '[access]\ndefault = "deny"\n[[access.rule]]\nallow = ["thermostat.sensor"]\nto = ["*"]\n'
    with peer(serve(rules)) as root:
        assert dir(root) == ["thermostat"]
        assert dir(root.thermostat) == ["sensor"]
        assert root.thermostat.sensor().read() == 21
        for name in ("hidden", "function", "missing"):
            assert refused(lambda name=name: getattr(root.thermostat, name)())  # type: ignore[misc]
        assert refused(lambda: root.system)
        assert refused(lambda: root.debug)
