"""The effective configuration: it loads to the settings that it was made from."""

from __future__ import annotations

import math
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anycore.settings.keys import keys
from anycore.settings.render import render
from anycore.settings.sources import load_settings
from anycore.settings.tables import Settings
from anycore.settings.values import bare, toml

TEXT = """
[server]
core = "threaded"
plugins = ["p.py", "json"]
[[listen]]
url = "http://127.0.0.1:1"
hosts = ['a "quoted" name']
[[listen]]
url = "unix+http:///tmp/x"
mode = "660"
[limits]
idle_time = 0.5
[plugin.thermostat]
unit = "C"
since = 2024-01-02T03:04:05Z
"odd key" = {a = [1, 2.5, true]}
"""


@pytest.fixture(autouse=True)
def _in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def plain(loaded: Settings) -> Settings:
    return msgspec.structs.replace(loaded, file="", origins={})


def test_the_defaults_load_to_the_defaults() -> None:
    Path("anycore.toml").write_text(render(Settings()), encoding="utf-8")
    assert plain(load_settings(environment={})) == Settings()


def test_what_was_loaded_loads_again_from_anywhere(tmp_path: Path) -> None:
    Path("a.toml").write_text(TEXT, encoding="utf-8")
    Path("p.py").touch()
    first = load_settings(file="a.toml", options={"limits.body": "5"}, environment={})
    other = tmp_path / "elsewhere" / "b.toml"
    other.parent.mkdir()
    other.write_text(render(first), encoding="utf-8")
    second = load_settings(file=str(other), environment={})
    assert second.server.plugins == (str(tmp_path / "p.py"), "json")
    server = msgspec.structs.replace(second.server, plugins=first.server.plugins)
    assert plain(msgspec.structs.replace(second, server=server)) == plain(first)


def test_every_key_is_explained_once_with_its_option_and_variable() -> None:
    text = render(load_settings(options={"listen.url": ["http://127.0.0.1:1", "http://127.0.0.1:2"]}, environment={}))
    for key in keys().values():
        assert text.count(f"# {key.option}, {key.variable}; default: ") >= 1, key.path
        assert text.count(f"# {key.help}.\n") == text.count(f"# {key.help}.") >= 1, key.path
    assert 'url = "http://127.0.0.1:2"' in text


def test_where_a_value_came_from_is_said() -> None:
    text = render(load_settings(environment={"ANYCORE_LIMITS_BODY": "5"}))
    assert "; default: 16777216; from environment variable ANYCORE_LIMITS_BODY\nbody = 5\n" in text


values = st.recursive(
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.text()
    | st.datetimes()
    | st.dates()
    | st.times(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and math.isnan(one):
        return isinstance(other, float) and math.isnan(other)
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    return type(one) is type(other) and one == other


@settings(max_examples=200, deadline=None)
@given(st.text(), values)
def test_any_value_is_written_so_that_it_is_read_again(name: str, value: Any) -> None:
    assert same(tomllib.loads(f"{bare(name)} = {toml(value)}\n"), {name: value})


def test_rules_are_written_as_they_were() -> None:
    Path("one.toml").write_text(
        '[access]\ndefault = "deny"\n[access.groups]\nops = ["cn:alice"]\n'
        '[[access.rule]]\nallow = ["a.*"]\nto = ["group:ops"]\nvalid_until = 2030-01-01T00:00:00Z\n'
        '[[access.rule]]\ndeny_read = ["/x"]\nto = ["*"]\n'
    )
    once = load_settings(file="one.toml", environment={})
    Path("two.toml").write_text(render(once))
    again = load_settings(file="two.toml", environment={})
    assert again.rules == once.rules
    assert again.access == once.access
    assert len(again.rules["rule"]) == 2
