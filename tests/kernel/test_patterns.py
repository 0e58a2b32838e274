"""What patterns stand for; that they are compared with an interpreter is elsewhere."""

from __future__ import annotations

import pytest

from anycore.kernel.patterns import MAX_NAME, check_name, check_path, compile_parts, parts_of
from anycore.kernel.policy import beyond


def stands(pattern: str, name: str, separator: str = ".", *, exact: bool = False) -> bool:
    parts = parts_of(pattern, separator, exact=exact)
    return not parts or compile_parts(parts, separator, exact=exact).match(name) is not None


@pytest.mark.parametrize(
    ("pattern", "names", "others"),
    [
        (
            "thermostat",
            ["thermostat", "thermostat.set", "thermostat.a.b"],
            ["thermostats", "thermosta", "x.thermostat"],
        ),
        ("thermostat.*", ["thermostat.set", "thermostat.a.b", "thermostat."], ["thermostat", "thermostats.set"]),
        ("thermostat.set", ["thermostat.set", "thermostat.set.x"], ["thermostat.setx", "thermostat"]),
        ("*", ["a", "a.b", "", "a.b.c"], []),
        ("**", ["a", "a.b", ""], []),
        ("*.get_*", ["a.get_x", "b.get_", "a.get_x.y"], ["get_x", "a.b.get_x", "a.xget_"]),
        ("**.get_*", ["get_x", "a.get_x", "a.b.get_x", "a.get_x.b"], ["a.xget_x"]),
        ("a.**.z", ["a.z", "a.b.z", "a.b.c.z", "a.z.z.y"], ["a", "z", "a.b"]),
        ("a?c", ["abc", "axc.d"], ["ac", "a.c", "abbc"]),
        ("*a*b", ["ab", "xaxb", "aab.x"], ["ba", "a.b", "abx"]),
        ("*.*", ["a.b", "a.b.c"], ["a", ""]),
    ],
)
def test_a_pattern_stands_for_names_and_all_below_them(pattern: str, names: list[str], others: list[str]) -> None:
    assert [name for name in names if not stands(pattern, name)] == []
    assert [name for name in others if stands(pattern, name)] == []


def test_an_exact_pattern_stands_for_whole_names_only() -> None:
    assert stands("a.*", "a.b", exact=True)
    assert not stands("a.*", "a.b.c", exact=True)
    assert not stands("a", "a.b", exact=True)
    assert stands("*", "a", exact=True)
    assert not stands("*", "a.b", exact=True)


@pytest.mark.parametrize(
    "name",
    [
        "thermostat.set\n",
        "thermostat.set\0",
        "Thermostat.set",
        "thermostat .set",
        "thermostat\u200b.set",
        "therm\u043estat.set",
    ],
)
def test_look_alikes_are_others(name: str) -> None:
    assert not stands("thermostat.set", name)


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("", "expected letters"),
        ("a b", "expected letters"),
        ("therm\u043estat", "expected letters"),  # a Cyrillic letter
        ("a.", "an empty part"),
        (".a", "an empty part"),
        ("a..b", "an empty part"),
        ("a**", "** is a part of its own"),
        ("a.**b", "** is a part of its own"),
        ("***", "** is a part of its own"),
    ],
)
def test_a_wrong_pattern_of_names(pattern: str, said: str) -> None:
    assert said in check_name(pattern)


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("pub", "begins with a slash"),
        ("/a\0", "begins with a slash"),
        ("/a/../b", "no path that is judged"),
        ("/./a", "no path that is judged"),
        ("/a//b", "an empty part"),
        ("/a/", "an empty part"),
        ("/a**", "** is a part of its own"),
    ],
)
def test_a_wrong_pattern_of_paths(pattern: str, said: str) -> None:
    assert said in check_path(pattern)


def test_right_patterns() -> None:
    assert [p for p in ("a", "*", "**", "a.*.c_?", "**.x") if check_name(p)] == []
    assert [p for p in ("/", "/a", "/a b/*", "/**/x.py", "/\u00e9") if check_path(p)] == []


@pytest.mark.timeout(20)
@pytest.mark.parametrize("pattern", ["*a*a*a*a*a*a*a*b", "**.a.**.a.**.a.**.a.**.b", "*a*.*a*.**.*a*b*c*.d"])
def test_no_pattern_takes_long(pattern: str) -> None:
    for text in ("a" * 4096, "a." * 2048, "a" * 2000 + "." + "ab" * 1000, "ab.c" * 1000):
        stands(pattern, text)
        stands(pattern, text, exact="**" not in pattern)


@pytest.mark.parametrize(
    ("scopes", "within", "outside"),
    [
        ("room", ["room", "room.heat", "room.a.b"], ["rooms", "rooms.heat", "a.room"]),
        ("room.*", ["room.heat"], ["room", "rooms.heat"]),
        ("*.get_*", ["a.get_x"], ["a.b.get_x", "a.set_x"]),
        ("**.get_*", ["a.b.get_x"], ["a.set_x"]),
        ("a b.c", ["a.x", "b.c", "b.c.d"], ["b", "b.d"]),
        ("*", ["a", "a.b"], ["a" * (MAX_NAME + 1)]),
        ("no(pattern) a..b .", [], ["a", "a.b", "no(pattern)", ""]),
    ],
)
def test_scopes_mean_what_rules_mean(scopes: str, within: list[str], outside: list[str]) -> None:
    found = tuple(scopes.split())
    assert [name for name in within if beyond(found, name)] == []
    assert [name for name in outside if not beyond(found, name)] == []
