from __future__ import annotations

import datetime as dt
import enum
import uuid
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec
import pytest

from anycore.conversations.plain import plain
from anycore.wire import jsonrpc, xmlrpc


class Colour(enum.Enum):
    RED = "red"


class Pair(NamedTuple):
    a: int
    b: int


@dataclass
class Room:
    name: str
    built: dt.date
    picture: bytes
    opened: dt.datetime


class Point(msgspec.Struct):
    x: int
    at: Colour = Colour.RED


DAY = dt.date(2024, 5, 6)
MOMENT = dt.datetime(2024, 5, 6, 7, 8, 9, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Room("a", DAY, b"p", MOMENT), {"name": "a", "built": DAY, "picture": b"p", "opened": MOMENT}),
        (Point(1), {"x": 1, "at": "red"}),
        (Colour.RED, "red"),
        (Decimal("1.50"), "1.50"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (dt.time(1, 2, 3), "01:02:03"),
        (dt.timedelta(seconds=90), "PT90S"),
        (MappingProxyType({"a": 1}), {"a": 1}),
        (Counter("aa"), {"a": 2}),
        (frozenset([1]), [1]),
        ({"a": 1}.keys(), ["a"]),
    ],
)
def test_values_become_what_wires_know(value: Any, expected: Any) -> None:
    assert plain(value) == expected


@pytest.mark.parametrize("value", [object(), deque([1]), lambda: None])
def test_there_is_no_form_for_other_values(value: Any) -> None:
    with pytest.raises(TypeError):
        plain(value)


def over_xml(value: Any) -> Any:
    return xmlrpc.decode_response(xmlrpc.encode_response(value, default=plain))


def over_json(value: Any) -> Any:
    return jsonrpc.decode_response(jsonrpc.encode_result(1, value, default=plain))[1][0].value


@pytest.mark.parametrize(
    ("over", "expected"),
    [
        (over_xml, {"name": "a", "built": dt.datetime(2024, 5, 6), "picture": b"p", "opened": MOMENT.replace(tzinfo=None)}),  # noqa: DTZ001
        (over_json, {"name": "a", "built": "2024-05-06", "picture": "cA==", "opened": "2024-05-06T07:08:09Z"}),
    ],
)  # fmt: skip
def test_both_wires_carry_them_also_inside_of_others(over: Callable[[Any], Any], expected: Any) -> None:
    assert over({"rooms": [Room("a", DAY, b"p", MOMENT)]}) == {"rooms": [expected]}
    assert over([Point(1), Pair(1, 2), {3}, Colour.RED]) == [{"x": 1, "at": "red"}, [1, 2], [3], "red"]
