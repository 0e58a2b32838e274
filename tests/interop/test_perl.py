"""Perl's RPC::XML::Client and Frontier::Client. The second knows the types of the original specification only."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from anycore.wire import faults

if TYPE_CHECKING:
    from collections.abc import Callable

Report = dict[str, Any]
Values = dict[str, dict[str, Any]]
STRUCT = "{'born': {'year': 1815}, 'more': {}, 'name': 'Ada'}"


@pytest.fixture(scope="module")
def rpc_xml(perl: Callable[..., Report], values: Values) -> Report:
    return perl("RPC::XML::Client", "rpc_xml.pl", *values["VALUES"])


@pytest.fixture(scope="module")
def frontier(perl: Callable[..., Report], values: Values) -> Report:
    return perl("Frontier::Client", "frontier.pl", *values["SCALARS"], *values["COMPOUNDS"])


def typed(value: Any) -> list[Any]:
    """How rpc_xml.pl shows a value."""
    match value:
        case bool():
            return ["boolean", str(int(value))]
        case int():
            return ["int" if -(2**31) <= value < 2**31 else "i8", str(value)]
        case float():
            return ["double", value]
        case bytes():
            return ["base64", value.hex()]
        case datetime():
            return ["dateTime.iso8601", value.strftime("%Y%m%dT%H:%M:%S")]
        case None:
            return ["nil"]
        case list():
            return ["array", [typed(item) for item in value]]
        case dict():
            return ["struct", {key: typed(item) for key, item in value.items()}]
    return ["string", value]


def untyped(value: Any) -> Any:
    """How frontier.pl shows a value."""
    match value:
        case bool():
            return ["boolean", str(int(value))]
        case float():
            return {1e-7: "0.0000001", 1.5e20: "150000000000000000000.0"}.get(value, str(value))
        case bytes():
            return ["base64", base64.b64encode(value).decode()]
        case datetime():
            return ["datetime", value.strftime("%Y%m%dT%H:%M:%S")]
        case list():
            return [untyped(item) for item in value]
        case dict():
            return {key: untyped(item) for key, item in value.items()}
    return str(value)


class TestRpcXml:
    def test_every_value_is_received(self, rpc_xml: Report, values: Values) -> None:
        assert rpc_xml["give"] == {name: typed(value) for name, value in values["VALUES"].items()}

    def test_every_type_is_sent(self, rpc_xml: Report) -> None:
        assert rpc_xml["describe"] == {
            "int": "-5",
            "i4": "2147483647",
            "i8": "-9223372036854775808",
            "boolean": "True",
            "double": "-0.125",
            "string": "'<Zürich & 😀>\\n'",
            "empty string": "''",
            "date": "datetime.datetime(1998, 7, 17, 14, 8, 55)",
            "date with zone": "datetime.datetime(1998, 7, 17, 14, 8, 55, 250000, tzinfo=datetime.timezone.utc)",
            "base64": repr(bytes(range(256))),
            "empty base64": "b''",
            "nil": "None",
            "array": "[1, 'two', [3.5, []]]",
            "struct": STRUCT,
        }

    def test_every_type_comes_back(self, rpc_xml: Report) -> None:
        assert rpc_xml["echo"] == {
            "int": ["int", "-5"],
            "i4": ["int", "2147483647"],
            "i8": ["i8", "-9223372036854775808"],
            "boolean": ["boolean", "1"],
            "double": ["double", -0.125],
            "string": ["string", "<Zürich & 😀>\n"],
            "empty string": ["string", ""],
            "date": ["dateTime.iso8601", "19980717T14:08:55"],
            "date with zone": ["dateTime.iso8601", "19980717T14:08:55"],
            "base64": ["base64", bytes(range(256)).hex()],
            "empty base64": ["base64", ""],
            "nil": ["nil"],
            "array": typed([1, "two", [3.5, []]]),
            "struct": typed({"name": "Ada", "more": {}, "born": {"year": 1815}}),
        }

    def test_calls(self, rpc_xml: Report) -> None:
        assert rpc_xml["add"] == [["int", "-1"], ["int", "5"]]

    def test_faults(self, rpc_xml: Report) -> None:
        found = rpc_xml["faults"]
        assert found["own"] == ["fault", 42, "nö <&>"]
        assert found["crash"] == ["fault", faults.APPLICATION_ERROR, "interop.crash: ValueError: the café is closed"]
        assert found["method"][:2] == ["fault", faults.METHOD_NOT_FOUND]
        assert found["params"][:2] == ["fault", faults.INVALID_PARAMS]
        assert found["result"][:2] == ["fault", faults.RESULT_NOT_ENCODABLE]
        assert "result.rooms[1]" in found["result"][2]

    def test_introspection(self, rpc_xml: Report) -> None:
        assert {"interop.add", "system.multicall"} <= set(rpc_xml["methods"])
        assert rpc_xml["signature"] == [["int", "int", "int"]]
        assert rpc_xml["help"] == "Return the sum.\n\nGrößen: ganze Zahlen."

    def test_multicall(self, rpc_xml: Report) -> None:
        assert rpc_xml["multicall"] == [["3"], ["7"], {"faultCode": "7", "faultString": "seven"}]

    def test_compressed_requests(self, rpc_xml: Report) -> None:
        assert rpc_xml["compressed"] is True

    def test_requests_from_a_file(self, rpc_xml: Report) -> None:
        assert rpc_xml["from file"] is True


class TestFrontier:
    def test_every_value_is_received(self, frontier: Report, values: Values) -> None:
        sent = {**values["SCALARS"], **values["COMPOUNDS"]}
        assert frontier["give"] == {name: untyped(value) for name, value in sent.items()}

    def test_every_type_is_sent(self, frontier: Report) -> None:
        assert frontier["describe"] == {
            "int": "-5",
            "wide int": "2147483647",
            "boolean": "True",
            "double": "-0.125",
            "string": "'<Zürich & 漢字>'",
            "number text": "'42'",
            "empty string": "''",
            "date": "datetime.datetime(1998, 7, 17, 14, 8, 55)",
            "base64": repr(b"\x00\x01\x02\xff"),
            "array": "[1, 'two', [3.5, []]]",
            "struct": STRUCT,
        }

    def test_every_type_comes_back(self, frontier: Report) -> None:
        assert frontier["echo"] == {
            "int": "-5",
            "wide int": "2147483647",
            "boolean": ["boolean", "1"],
            "double": "-0.125",
            "string": "<Zürich & 漢字>",
            "number text": "42",
            "empty string": "",
            "date": ["datetime", "19980717T14:08:55"],
            "base64": ["base64", "AAEC/w=="],
            "array": ["1", "two", ["3.5", []]],
            "struct": {"name": "Ada", "more": {}, "born": {"year": "1815"}},
        }

    def test_calls(self, frontier: Report) -> None:
        assert frontier["add"] == ["-1", "5"]

    def test_a_fault(self, frontier: Report) -> None:
        assert frontier["fault"] == ["died", "Fault returned from XML RPC Server, fault code 42: on purpose\n"]

    def test_introspection(self, frontier: Report) -> None:
        assert {"interop.add", "system.multicall"} <= set(frontier["methods"])
        assert frontier["signature"] == [["int", "int", "int"]]
        assert frontier["help"] == "Return the sum.\n\nGrößen: ganze Zahlen."

    def test_multicall(self, frontier: Report) -> None:
        assert frontier["multicall"] == [["3"], {"faultCode": "7", "faultString": "seven"}]
