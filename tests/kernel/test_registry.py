from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec
import pytest

from anycore.kernel.plugin import Plugin, Role, exposed
from anycore.kernel.registry import Entry, PluginRefusedError, Registry, verify


class Greeter(Role):
    """A role of these tests."""


class Other(Role):
    """Another one."""


class Room(Plugin):
    @exposed(aliases=("heat",))
    def celsius(self) -> int:
        return 20

    @exposed(name="open")
    def open_door(self) -> bool:
        return True

    def private(self) -> None:
        """Not exposed."""


def refusals(plugin: Any, settings: dict[str, Any] | None = None) -> list[str]:
    with pytest.raises(PluginRefusedError) as caught:
        verify(plugin, "here.py", settings)
    assert str(caught.value) == "\n".join(caught.value.reasons)
    return list(caught.value.reasons)


def registry_of(*plugins: Plugin) -> Registry:
    registry = Registry()
    registry.commit(verify(plugin, f"{plugin.name}.py") for plugin in plugins)
    return registry


def test_methods_are_found_by_their_full_names_and_aliases() -> None:
    registry = registry_of(Room())

    assert sorted(registry.methods) == ["heat", "room.celsius", "room.open"]
    assert registry.methods["heat"] is registry.methods["room.celsius"]
    assert registry.methods["room.open"].function() is True
    assert registry.entries["room"].origin == "room.py"


def test_an_entry_knows_how_many_of_its_calls_run() -> None:
    entry = verify(Room(), "here.py")
    for method in entry.methods:
        method.statistics.begin()

    assert entry.running == 2


def test_static_and_class_methods_can_be_exposed_in_any_order_of_decorators() -> None:
    class Mixed(Plugin):
        @exposed
        @staticmethod
        def one(a: int) -> int:
            return a

        @staticmethod
        @exposed
        def two(a: int) -> int:
            return a

        @exposed
        @classmethod
        def three(cls, a: int) -> int:
            return a

        @classmethod
        @exposed
        def four(cls, a: int) -> int:
            return a

    methods = verify(Mixed(), "here.py").methods

    assert sorted(method.name for method in methods) == ["mixed.four", "mixed.one", "mixed.three", "mixed.two"]
    assert {str(method.signature) for method in methods} == {"(a: int) -> int"}


def test_inherited_methods_are_exposed_and_overriding_ones_say_so_themselves() -> None:
    class Heated(Room):
        def celsius(self) -> int:
            return 25

    assert [method.name for method in verify(Heated(), "here.py").methods] == ["heated.open"]


def test_a_plugin_that_only_takes_on_a_role_is_enough() -> None:
    class Silent(Plugin, Greeter):
        pass

    assert verify(Silent(), "here.py").methods == ()


class BadName(Plugin):
    name = "no-hyphens"

    @exposed
    def one(self) -> None: ...


class Empty(Plugin):
    pass


class Numbered(Plugin):
    name: ClassVar[Any] = 5

    @exposed
    def one(self) -> None: ...


class Spaced(Plugin):
    @exposed(name="two words")
    def one(self) -> None: ...


class Underscored(Plugin):
    @exposed
    def _one(self) -> None: ...


class Aliased(Plugin):
    @exposed(aliases=("good.name", "bad name"))
    def one(self) -> None: ...


class Hasty(Plugin):
    @exposed(quick=True)
    async def one(self) -> None: ...


class Generating(Plugin):
    @exposed
    def one(self) -> Iterator[int]:
        yield 1


class Streaming(Plugin):
    @exposed
    async def one(self) -> AsyncIterator[int]:
        yield 1


class Unchecked(Plugin):
    @exposed
    def one(self, a: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821


class Twice(Plugin):
    @exposed(name="same")
    def one(self) -> None: ...

    @exposed(name="same")
    def two(self) -> None: ...


class Hiding(Plugin):
    @exposed
    def stop(self) -> None: ...


class Marked:
    """An object that carries the mark and cannot be called."""


class Uncallable(Plugin):
    one = exposed(Marked())  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("plugin", "reason"),
    [
        (BadName, "plugin 'no-hyphens' from here.py is refused: its name must be letters, digits and underscores; set the class attribute `name`"),
        (Empty, "plugin 'empty' from here.py is refused: it exposes no method and takes on no role; mark a method with @exposed"),
        (Spaced, "plugin 'spaced' from here.py is refused: its method 'one' would answer to 'two words'; a name is letters, digits and underscores"),
        (Underscored, "plugin 'underscored' from here.py is refused: its method '_one' would answer to '_one'; names that start with an underscore stay private, so give it another one"),
        (Aliased, "plugin 'aliased' from here.py is refused: its method 'one' has the alias 'bad name'; an alias is names of letters, digits and underscores joined by dots"),
        (Hasty, "plugin 'hasty' from here.py is refused: its method 'one' is `async def` and marked quick; remove one of the two"),
        (Generating, "plugin 'generating' from here.py is refused: its method 'one' is a generator, which no wire can carry; return a list instead"),
        (Streaming, "plugin 'streaming' from here.py is refused: its method 'one' is a generator, which no wire can carry; return a list instead"),
        (Unchecked, "plugin 'unchecked' from here.py is refused: its method 'one' cannot be exposed: an annotation cannot be resolved (name 'Nowhere' is not defined); import the name it uses, or correct it"),
        (Twice, "plugin 'twice' from here.py is refused: its method 'two' has the name 'same' of another one; give one of them another name"),
        (Hiding, "plugin 'hiding' from here.py is refused: its method 'stop' hides what the server itself uses under that name; rename the function, and give it @exposed(name='stop') to keep the name that callers use"),
        (Uncallable, "plugin 'uncallable' from here.py is refused: its method 'one' is not callable; expose functions only"),
    ],
)  # fmt: skip
def test_a_refusal_is_one_full_sentence(plugin: type[Plugin], reason: str) -> None:
    assert refusals(plugin()) == [reason]


def test_a_name_that_is_no_text_is_refused_too() -> None:
    assert "its name must be letters" in refusals(Numbered())[0]


def test_all_reasons_are_given_at_once() -> None:
    class Bad(Plugin):
        name = "b-d"

        @exposed
        def _one(self) -> None: ...

        @exposed(quick=True)
        async def two(self) -> None: ...

    reasons = refusals(Bad(), {"unknown": 1})

    assert len(reasons) == 4
    assert [reason.partition("is refused: ")[2].split()[0] for reason in reasons] == ["its", "its", "its", "the"]


class HeaterSettings(msgspec.Struct, rename="kebab"):
    max_heat: int = 30
    rooms: list[str] = []


class Heater(Plugin):
    Settings: ClassVar[type | None] = HeaterSettings

    @exposed
    def heat(self) -> int:
        return int(self.settings.max_heat)


@dataclass
class EvenSettings:
    number: int = 2

    def __post_init__(self) -> None:
        if self.number % 2:
            message = "an even number was expected"
            raise ValueError(message)
        if self.number > 100:
            raise LookupError(self.number)


class Even(Heater):
    Settings = EvenSettings


@dataclass
class LostSettings:
    number: Nowhere = 2  # type: ignore[name-defined]  # noqa: F821


class Lost(Heater):
    Settings = LostSettings


class Loose(Heater):
    Settings = dict


def test_settings_are_converted_before_the_plugin_starts() -> None:
    plain, set_ = Heater(), Heater()
    verify(plain, "here.py")
    verify(set_, "here.py", {"max-heat": 5, "rooms": ["a"]})

    assert plain.settings == HeaterSettings()
    assert set_.settings == HeaterSettings(5, ["a"])


@pytest.mark.parametrize(
    ("plugin", "settings", "reason"),
    [
        (Room, {"a": 1}, "the configuration has a table [plugin.room], but it takes no settings; remove the table"),
        (
            Heater,
            {"max_heat": 1},
            "[plugin.heater] has the unknown key 'max_heat'; the known ones are: max-heat, rooms",
        ),
        (Heater, {"rooms": [1]}, "[plugin.heater] is wrong: Expected `str`, got `int` - at `$.rooms[0]`"),
        (Even, {"number": 3}, "[plugin.even] is wrong: an even number was expected"),
        (Even, {"number": 102}, "[plugin.even] cannot be checked: LookupError: 102; correct its Settings"),
        (Lost, {}, "its Settings cannot be read (name 'Nowhere' is not defined); use a dataclass or msgspec.Struct"),
        (Loose, {}, "its Settings cannot be read ('DictType' object has no attribute 'fields'); use a dataclass"),
    ],
)
def test_wrong_settings_are_refused(plugin: type[Plugin], settings: dict[str, Any], reason: str) -> None:
    (found,) = refusals(plugin(), settings)

    assert found.startswith(f"plugin {plugin.name!r} from here.py is refused: {reason}")


def test_an_empty_table_is_no_setting() -> None:
    verify(Room(), "here.py", {})


def test_two_plugins_of_one_name_are_refused_and_nothing_is_half_registered() -> None:
    class Hall(Plugin):
        @exposed
        def length(self) -> int:
            return 1

    registry = registry_of(Room())
    before = dict(registry.entries), dict(registry.methods)
    with pytest.raises(PluginRefusedError) as caught:
        registry.commit([verify(Hall(), "hall.py"), verify(Room(), "second.py")])

    assert caught.value.reasons == (
        (
            "plugin 'room' from second.py is refused: room.py has a plugin of that name already; set the class attribute"
            " `name` of one of them to another name"
        ),
    )
    assert (registry.entries, registry.methods) == before


def test_two_methods_of_one_name_are_refused() -> None:
    class Stove(Plugin):
        @exposed(aliases=("heat",))
        def cook(self) -> int:
            return 1

    registry = registry_of(Room())
    with pytest.raises(PluginRefusedError) as caught:
        registry.commit([verify(Stove(), "stove.py")])

    assert caught.value.reasons == (
        (
            "plugin 'stove' from stove.py is refused: its method 'stove.cook' answers to 'heat', and so does 'room.celsius';"
            " rename one of them"
        ),
    )
    assert list(registry.entries) == ["room"]


def test_a_swap_replaces_the_tables_and_changes_none_in_place() -> None:
    registry = registry_of(Room())
    methods, entries = registry.methods, registry.entries
    registry.commit([verify(Room(), "new.py")], without=["room"])

    assert registry.entries["room"].origin == "new.py"
    assert entries["room"].origin == "room.py"
    assert registry.methods["heat"] is not methods["heat"]


def test_plugins_of_a_role_come_by_order_then_by_name() -> None:
    def made(name: str, order: int, *roles: type) -> Entry:
        return verify(type(name, (Plugin, *roles), {"order": order})(), "here.py")

    registry = Registry()
    registry.commit(
        [made("B", 500, Greeter), made("A", 500, Greeter, Other), made("Z", 100, Greeter), made("Y", 1, Other)]
    )

    assert [plugin.name for plugin in registry.plugins_with(Greeter)] == ["z", "a", "b"]  # type: ignore[attr-defined]
    assert [plugin.name for plugin in registry.plugins_with(Other)] == ["y", "a"]  # type: ignore[attr-defined]
