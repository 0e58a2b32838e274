"""The page about RPyC has every key of a connection, every request and every limit, with the names and numbers that the code has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from anycore.objects import extensions, policy, table
from anycore.objects.config import BUSY_POLL_TIME, SAFE_ATTRS, make_config
from anycore.objects.exceptions import VERSION, VERSION_5
from anycore.objects.handlers import HANDLERS, MAX_CHUNK
from anycore.settings.keys import of_section
from anycore.wire import rpyc_constants as wire

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "rpyc.md").read_text(encoding="utf-8")
READ_ELSEWHERE = {"max_frame": wire.MAX_FRAME, "busy_poll_time": BUSY_POLL_TIME}
FROM_THE_ENVIRONMENT = {"bind_threads": False}
NO_BOUNDS = {"keepalive"}  # of the table [rpyc]
ROW = re.compile(r"^\| (\d+) \| `([A-Z_]+)` \|", re.MULTILINE)


def section(title: str) -> str:
    found = re.search(rf"^#+ {title}\n(.*?)(?=^#+ |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


def keys() -> dict[str, object]:
    config = {**make_config(), **READ_ELSEWHERE, **FROM_THE_ENVIRONMENT}
    del config["safe_attrs"]
    return config


@pytest.mark.parametrize("key", keys())
def test_every_key_has_its_default(key: str) -> None:
    assert f"\n| `{key}` | `{keys()[key]!r}` | " in PAGE


def test_no_key_that_does_not_exist() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", section("Keys of RPyC") + section("Keys of Anycore"), re.MULTILINE)
    assert sorted(rows) == sorted([*keys(), "safe_attrs"])


def test_every_safe_attribute() -> None:
    block = re.search(r"```text\n(.*?)```", section("Safe attributes"), re.DOTALL)
    assert block is not None
    assert set(block[1].split()) == SAFE_ATTRS


def test_every_request() -> None:
    rows = {int(number): name for number, name in ROW.findall(section("Requests"))}
    assert rows == {number: name for number, name in rows.items() if getattr(wire, name) == number}
    assert set(rows) == set(HANDLERS) == set(range(1, 21))


def test_every_extension() -> None:
    text = section("Extensions")
    rows = {int(number): name for number, name in ROW.findall(text)}
    assert rows == {number: name for number, name in rows.items() if getattr(extensions, name) == number}
    assert set(rows) == set(extensions.EXTENSIONS)
    assert f"`{extensions.QUESTION}`" in text
    assert f"`{extensions.ANSWER}`" in text


def test_every_bound() -> None:
    text = section("Limits")
    bounds = (wire.MAX_FRAME, wire.MAX_INFLATED, wire.MAX_DEPTH, wire.MAX_ITEMS, wire.MAX_DIGITS, MAX_CHUNK)
    assert [bound for bound in bounds if f" | {bound} | " not in text] == []
    settings = set(of_section("rpyc")) - NO_BOUNDS
    assert sorted(name for name in settings if f"[`{name}`](#setting-rpyc.{name})" not in text) == []
    assert f"`{table.TableFullError.__name__}`" in text


def test_what_permit_is_asked_about() -> None:
    text = section("Keys of Anycore")
    assert [use for use in policy._SPECIAL if f"`{use}`" not in text] == []


def test_compression_and_versions() -> None:
    assert f"more than {wire.COMPRESS_ABOVE} bytes are compressed, at level {wire.COMPRESSION_LEVEL}," in PAGE
    assert f"RPyC {VERSION}, in dialect 5 with {VERSION_5}:" in PAGE
    assert f"at port {wire.REGISTRY_PORT}," in PAGE
    assert f"in at most {wire.MAX_DATAGRAM} bytes" in PAGE
