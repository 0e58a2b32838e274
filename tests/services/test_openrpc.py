from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
import pytest

from anycore.kernel.plugin import Plugin, exposed
from anycore.kernel.registry import verify
from anycore.services.openrpc import document
from anycore.wire import jsonvalue


@dataclass
class Room:
    name: str
    doors: list[int]


def another_room() -> Any:
    return msgspec.defstruct("Room", [("celsius", float)], module="elsewhere")


OTHER_ROOM = another_room()


@dataclass
class LostResult:
    field: Nowhere  # type: ignore[name-defined]  # noqa: F821


class Broken:
    def __reduce__(self) -> str:
        raise RuntimeError


class House(Plugin):
    @exposed(aliases=("short",))
    def open(self, room: Room, wide: bool = True, mode: Literal["in", "out"] = "in") -> list[Room]:
        """Open a room.

        With all its doors.
        """
        raise NotImplementedError

    @exposed(types={"other": OTHER_ROOM, "return": OTHER_ROOM | None})
    def other(self, other: Any) -> Any:
        return other

    @exposed
    def named(self, a: int, *, b: Annotated[int, msgspec.Meta(ge=3)]) -> None: ...

    @exposed
    def placed(self, a: int, /, *more: int) -> None: ...

    @exposed
    def untyped(self, a, **more) -> None: ...  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN003

    @exposed
    def limits(self, most: float = float("inf"), what: Any = Broken, when: bytes = b"x") -> LostResult:
        raise NotImplementedError

    @exposed
    def strange(self, a: complex = 1j) -> [int]:  # type: ignore[valid-type, misc]
        raise NotImplementedError


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return document(verify(House(), "test").methods, "1.2")


def method(document: dict[str, Any], name: str) -> dict[str, Any]:
    (one,) = [method for method in document["methods"] if method["name"] == name]
    return dict(one)


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def test_the_document_keeps_the_rules_of_the_meta_schema(found: dict[str, Any]) -> None:
    """The rules of OpenRPC 1.3.2 that its meta schema states, for the members that are used."""
    assert set(found) == {"openrpc", "info", "methods", "components"}
    assert re.fullmatch(r"1\.3\.\d+", found["openrpc"])
    assert found["info"] == {"title": "Anycore", "version": "1.2"}
    names = [one["name"] for one in found["methods"]]
    assert len(set(names)) == len(names)
    for one in found["methods"]:
        assert set(one) <= {"name", "params", "result", "paramStructure", "tags", "summary", "description"}
        assert one["paramStructure"] in ("by-name", "by-position", "either")
        assert [set(tag) for tag in one["tags"]] == [{"name"}]
        required = [parameter["required"] for parameter in one["params"]]
        assert required == sorted(required, reverse=True) or one["paramStructure"] == "by-name"
        assert len({parameter["name"] for parameter in one["params"]}) == len(one["params"])
        for descriptor in (*one["params"], one["result"]):
            assert set(descriptor) <= {"name", "required", "schema"}
            assert isinstance(descriptor["schema"], dict)
    for name in found["components"]["schemas"]:
        assert re.fullmatch(r"[a-zA-Z0-9._-]+", name)


def test_every_reference_leads_somewhere(found: dict[str, Any]) -> None:
    schemas = found["components"]["schemas"]
    targets = set(references(found))

    assert targets == {f"#/components/schemas/{name}" for name in schemas}


def test_json_can_carry_it(found: dict[str, Any]) -> None:
    jsonvalue.encode(found)


def test_a_method_is_described_by_its_annotations_and_docstring(found: dict[str, Any]) -> None:
    one = method(found, "house.open")

    assert one["summary"] == "Open a room."
    assert one["description"] == "Open a room.\n\nWith all its doors."
    assert one["tags"] == [{"name": "house"}]
    assert one["paramStructure"] == "either"
    assert [parameter["name"] for parameter in one["params"]] == ["room", "wide", "mode"]
    assert one["params"][1] == {"name": "wide", "required": False, "schema": {"type": "boolean", "default": True}}
    assert one["params"][2]["schema"] == {"enum": ["in", "out"], "default": "in"}
    assert one["result"]["schema"]["type"] == "array"
    assert {**method(found, "short"), "name": "house.open"} == one


def test_two_types_of_one_name_are_told_apart(found: dict[str, Any]) -> None:
    def properties(schema: dict[str, Any]) -> list[str]:
        (target,) = references(schema)
        return sorted(found["components"]["schemas"][target.rpartition("/")[2]]["properties"])

    assert properties(method(found, "house.open")["params"][0]["schema"]) == ["doors", "name"]
    assert properties(method(found, "house.other")["params"][0]["schema"]) == ["celsius"]
    assert properties(method(found, "house.other")["result"]["schema"]) == ["celsius"]


@pytest.mark.parametrize(
    ("name", "structure", "parameters"),
    [
        ("named", "by-name", [("a", True, {"type": "integer"}), ("b", True, {"type": "integer", "minimum": 3})]),
        ("placed", "by-position", [("a", True, {"type": "integer"})]),
        ("untyped", "either", [("a", True, {})]),
        ("limits", "either", [("most", False, {"type": "number"}), ("what", False, {}),
                              ("when", False, {"type": "string", "contentEncoding": "base64", "default": "eA=="})]),
        ("strange", "either", [("a", False, {})]),
    ],
)  # fmt: skip
def test_parameters(
    found: dict[str, Any], name: str, structure: str, parameters: list[tuple[str, bool, dict[str, Any]]]
) -> None:
    one = method(found, f"house.{name}")

    assert one["paramStructure"] == structure
    assert [(each["name"], each["required"], each["schema"]) for each in one["params"]] == parameters


def test_what_cannot_be_described_is_anything(found: dict[str, Any]) -> None:
    assert method(found, "house.limits")["result"] == {"name": "result", "schema": {}}
    assert method(found, "house.strange")["result"] == {"name": "result", "schema": {}}


def test_a_server_without_methods_has_a_document_too() -> None:
    assert document([], "1")["methods"] == []


def test_types_that_nothing_tells_apart_do_not_spoil_the_document() -> None:
    class Twins(Plugin):
        @exposed(types={"a": another_room(), "b": another_room()})
        def compare(self, a: Any, b: Any) -> bool:
            return bool(a == b)

    found = document(verify(Twins(), "test").methods, "1")

    assert set(references(found)) == {f"#/components/schemas/{name}" for name in found["components"]["schemas"]}
