from __future__ import annotations

from typing import Any

import pytest

from anycore.kernel.plugin import Exposure, Plugin, exposed, exposure_of, snake_case


@pytest.mark.parametrize(
    ("written", "named"),
    [
        ("Thermostat", "thermostat"),
        ("HTTPProbe", "http_probe"),
        ("RoomTwo", "room_two"),
        ("V2Api", "v2_api"),
        ("a", "a"),
    ],
)
def test_a_plugin_is_named_after_its_class(written: str, named: str) -> None:
    assert snake_case(written) == named
    made: Any = type(written, (Plugin,), {})
    assert made.name == named


def test_a_subclass_has_a_name_of_its_own_unless_it_sets_one() -> None:
    class Base(Plugin):
        name = "set"

    class Derived(Base):
        pass

    assert (Base.name, Derived.name) == ("set", "derived")


def test_the_log_of_a_plugin_has_its_name() -> None:
    class Shop(Plugin):
        pass

    assert Shop().log.name == "anycore.plugin.shop"


def test_exposed_marks_and_changes_nothing() -> None:
    def plain() -> int:
        return 1

    def detailed() -> int:
        return 2

    assert exposed(plain) is plain
    assert exposed(name="x", quick=True, aliases=("a.b",), types={"return": int})(detailed) is detailed
    assert exposure_of(plain) == Exposure()
    assert exposure_of(detailed) == Exposure("x", True, ("a.b",), {"return": int})
    assert exposure_of(len) is None


@pytest.mark.parametrize("aliases", ["rpc.discover", (1,)])
def test_aliases_are_several(aliases: Any) -> None:
    with pytest.raises(TypeError, match=r"^@exposed\(aliases=.*\): expected a tuple of full names"):
        exposed(aliases=aliases)


def test_a_name_is_text() -> None:
    wrong: Any = 5
    with pytest.raises(TypeError, match=r"^@exposed\(name=5\): expected .* as text"):
        exposed(name=wrong)


def test_only_functions_can_be_exposed() -> None:
    with pytest.raises(TypeError, match=r"^@exposed cannot mark <property .*put it on a function"):

        class _Room(Plugin):
            @exposed  # type: ignore[prop-decorator]
            @property
            def celsius(self) -> int:
                return 20


def test_start_and_stop_do_nothing_by_themselves() -> None:
    class Room(Plugin):
        pass

    room = Room()
    assert room.start() is None
    assert room.stop() is None
