from __future__ import annotations

import datetime as dt
import enum
import typing
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple, NewType, Optional, TypedDict

import msgspec
import pytest

from anycore.kernel.method import Signature
from anycore.services.xmlrpc_types import signature_of, type_of


@dataclass
class Room:
    name: str


class Point(msgspec.Struct):
    x: int


class Pair(NamedTuple):
    a: int
    b: int


class Table(TypedDict):
    a: int


class Text(str):
    __slots__ = ()


Colour = enum.Enum("Colour", {"RED": "red"})
Size = enum.IntEnum("Size", "SMALL BIG")
Mixed = enum.Enum("Mixed", {"A": 1, "B": "b"})
Celsius = NewType("Celsius", float)


@pytest.mark.parametrize(
    ("annotation", "name"),
    [
        (int, "int"),
        (bool, "boolean"),
        (float, "double"),
        (str, "string"),
        (Text, "string"),
        (bytes, "base64"),
        (bytearray, "base64"),
        (dt.datetime, "dateTime.iso8601"),
        (dt.date, "string"),
        (dt.time, "string"),
        (dt.timedelta, "string"),
        (Decimal, "string"),
        (uuid.UUID, "string"),
        (None, "nil"),
        (type(None), "nil"),
        (list, "array"),
        (list[int], "array"),
        (tuple[int, ...], "array"),
        (set[int], "array"),
        (frozenset, "array"),
        (Sequence[int], "array"),
        (typing.List[int], "array"),  # noqa: UP006 - people still write it
        (Pair, "array"),
        (dict, "struct"),
        (dict[str, int], "struct"),
        (Mapping[str, int], "struct"),
        (Room, "struct"),
        (Point, "struct"),
        (Table, "struct"),
        (Colour, "string"),
        (Size, "int"),
        (Mixed, "any"),
        (Literal["a", "b"], "string"),
        (Literal[1, "b"], "any"),
        (int | None, "int"),
        (Optional[list[int]], "array"),  # noqa: UP045 - people still write it
        (int | str, "any"),
        (int | str | None, "any"),
        (Annotated[int, msgspec.Meta(ge=0)], "int"),
        (Celsius, "double"),
        (Any, "any"),
        (object, "any"),
        ([int], "any"),
        (typing.TypeVar("T"), "any"),
    ],
)
def test_each_annotation_has_a_name_on_the_wire(annotation: Any, name: str) -> None:
    assert type_of(annotation) == name


def plain(a: int, b: str = "", *, c: int = 0) -> dt.datetime: ...  # type: ignore[empty-body]
def nothing(): ...  # type: ignore[no-untyped-def]  # noqa: ANN201
def day(a: dt.date) -> dt.date: ...  # type: ignore[empty-body]


@pytest.mark.parametrize(
    ("function", "signatures"),
    [
        (plain, [["dateTime.iso8601", "int"], ["dateTime.iso8601", "int", "string"]]),
        (nothing, [["any"]]),
        (day, [["dateTime.iso8601", "string"]]),
    ],
)
def test_there_is_a_signature_for_each_number_of_arguments(function: Any, signatures: list[list[str]]) -> None:
    assert signature_of(Signature.of(function)) == signatures
