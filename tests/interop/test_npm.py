"""The npm packages xmlrpc, jayson and json-rpc-2.0."""

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
EVERY_BYTE = base64.b64encode(bytes(range(256))).decode()


@pytest.fixture(scope="module")
def xmlrpc(node: Callable[..., Report], values: Values) -> Report:
    return node("xmlrpc.js", *values["VALUES"])


@pytest.fixture(scope="module")
def jayson(node: Callable[..., Report], values: Values) -> Report:
    return node("jayson.js", *values["VALUES"])


@pytest.fixture(scope="module")
def json_rpc_2_0(node: Callable[..., Report]) -> Report:
    return node("json_rpc_2_0.js")


def encoded(value: bytes) -> str:
    return base64.b64encode(value).decode()


class TestXmlrpc:
    def test_every_value_is_received(self, xmlrpc: Report, values: Values) -> None:
        """The package gives 64-bit integers as text."""

        def shown(value: Any) -> Any:
            match value:
                case bytes():
                    return {"base64": encoded(value)}
                case datetime():
                    return {"date": value.isoformat() + ".000Z"}
            return value if value not in (-(2**63), 2**63 - 1) else str(value)

        assert xmlrpc["give"] == {name: shown(value) for name, value in values["VALUES"].items()}

    def test_every_type_is_sent(self, xmlrpc: Report) -> None:
        assert xmlrpc["describe"] == {
            "int": "-5",
            "double": "-0.125",
            "boolean": "True",
            "string": "'<Zürich & 😀>]]>'",
            "empty string": "''",
            "date": "datetime.datetime(1998, 7, 17, 14, 8, 55)",
            "base64": repr(bytes(range(256))),
            "nil": "None",
            "array": "[1, 'two', [3.5, []]]",
            "struct": STRUCT,
        }

    def test_every_type_comes_back(self, xmlrpc: Report) -> None:
        assert xmlrpc["echo"] == {
            "int": -5,
            "double": -0.125,
            "boolean": True,
            "string": "<Zürich & 😀>]]>",
            "empty string": "",
            "date": {"date": "1998-07-17T14:08:55.000Z"},
            "base64": {"base64": EVERY_BYTE},
            "nil": None,
            "array": [1, "two", [3.5, []]],
            "struct": {"born": {"year": 1815}, "more": {}, "name": "Ada"},
        }

    def test_calls_on_one_connection(self, xmlrpc: Report) -> None:
        assert xmlrpc["add"] == [-1, 5]
        assert xmlrpc["together"] == [2, 4, 6, 8, 10]
        assert xmlrpc["connections"] == 1

    def test_faults(self, xmlrpc: Report) -> None:
        found = {name: answer["error"] for name, answer in xmlrpc["faults"].items()}
        assert found["own"] == [42, "nö <&>"]
        assert found["crash"] == [faults.APPLICATION_ERROR, "interop.crash: ValueError: the café is closed"]
        assert found["method"][0] == faults.METHOD_NOT_FOUND
        assert found["params"][0] == faults.INVALID_PARAMS
        assert found["result"][0] == faults.RESULT_NOT_ENCODABLE
        assert "result.rooms[1]" in found["result"][1]

    def test_introspection(self, xmlrpc: Report) -> None:
        assert {"interop.add", "system.multicall"} <= set(xmlrpc["methods"])
        assert xmlrpc["signature"] == [["int", "int", "int"]]
        assert xmlrpc["help"] == "Return the sum.\n\nGrößen: ganze Zahlen."

    def test_multicall(self, xmlrpc: Report) -> None:
        assert xmlrpc["multicall"] == [[3], [7], {"faultCode": 7, "faultString": "seven"}]


class TestJayson:
    def test_every_value_is_received(self, jayson: Report, values: Values) -> None:
        """JavaScript rounds 64-bit integers; bytes come as base64 and moments as ISO 8601."""

        def shown(value: Any) -> Any:
            match value:
                case bytes():
                    return encoded(value)
                case datetime():
                    return value.isoformat()
            return pytest.approx(value, rel=1e-15) if value in (-(2**63), 2**63 - 1) else value

        assert jayson["give"] == {name: shown(value) for name, value in values["VALUES"].items()}

    def test_every_type_is_sent(self, jayson: Report) -> None:
        assert jayson["describe"] == {
            "int": "-5",
            "large int": "9007199254740991",
            "double": "-0.125",
            "exponent": "1e-07",
            "boolean": "True",
            "string": repr('<Zürich & 😀>\0\u2028"\\'),
            "empty string": "''",
            "nil": "None",
            "array": "[1, 'two', [3.5, []], None]",
            "struct": "{'': 1, " + STRUCT[1:],
        }

    def test_every_type_comes_back(self, jayson: Report) -> None:
        assert jayson["echo"] == {
            "int": -5,
            "large int": 2**53 - 1,
            "double": -0.125,
            "exponent": 1e-7,
            "boolean": True,
            "string": '<Zürich & 😀>\0\u2028"\\',
            "empty string": "",
            "nil": None,
            "array": [1, "two", [3.5, []], None],
            "struct": {"born": {"year": 1815}, "more": {}, "name": "Ada", "": 1},
        }

    def test_calls(self, jayson: Report) -> None:
        assert jayson["whole"] == {"jsonrpc": "2.0", "id": "an id", "result": -1}
        assert jayson["async"] == 5
        assert jayson["named"] == "Bonjour, Ada!!"

    def test_typed_parameters(self, jayson: Report) -> None:
        assert jayson["typed"] == ["1999-07-17T14:08:55", encoded(b"\xff\x02\x01\x00"), [2.0, 5.0], {"on": False}]

    def test_faults(self, jayson: Report) -> None:
        found = jayson["faults"]
        assert found["own"] == {
            "jsonrpc": "2.0", "id": 0, "error": {"code": 42, "message": "nö", "data": {"hint": "on purpose"}},
        }  # fmt: skip
        assert found["crash"]["error"]["message"] == "interop.crash: ValueError: the café is closed"
        assert {name: answer["error"]["code"] for name, answer in found.items()} == {
            "own": 42,
            "crash": faults.APPLICATION_ERROR,
            "method": faults.METHOD_NOT_FOUND,
            "params": faults.INVALID_PARAMS,
            "result": faults.RESULT_NOT_ENCODABLE,
        }
        assert "'c'" in found["params"]["error"]["message"]
        assert "result.rooms[1]" in found["result"]["error"]["message"]

    def test_a_notification_has_no_answer_but_an_effect(self, jayson: Report) -> None:
        assert (jayson["notification"], jayson["noted"]) == ("nothing", True)

    def test_a_batch(self, jayson: Report) -> None:
        answers = {answer["id"]: answer for answer in jayson["batch"]}
        assert answers == {
            "first": {"jsonrpc": "2.0", "id": "first", "result": 3},
            "second": {
                "jsonrpc": "2.0", "id": "second", "error": {"code": 7, "message": "seven", "data": {"hint": "on purpose"}},
            },
            "third": {"jsonrpc": "2.0", "id": "third", "result": "Hello, Ada!"},
        }  # fmt: skip
        assert len(jayson["batch"]) == 3
        assert jayson["noted in a batch"] is True

    def test_a_batch_of_notifications_has_no_answer(self, jayson: Report) -> None:
        assert jayson["notifications"] == "nothing"

    def test_introspection(self, jayson: Report) -> None:
        assert {"interop.add", "rpc.discover"} <= set(jayson["methods"])

    def test_openrpc(self, jayson: Report) -> None:
        document = jayson["discovered"]
        methods = {method["name"]: method for method in document["methods"]}
        assert document["openrpc"].startswith("1.")
        assert {"title", "version"} <= set(document["info"])
        assert [(param["name"], param["schema"]["type"]) for param in methods["interop.add"]["params"]] == [
            ("a", "integer"), ("b", "integer"),
        ]  # fmt: skip
        assert methods["interop.add"]["result"]["schema"] == {"type": "integer"}
        assert methods["interop.add"]["summary"] == "Return the sum."
        greeting = {param["name"]: param for param in methods["interop.greet"]["params"]}["greeting"]
        assert (greeting["required"], greeting["schema"]["default"]) == (False, "Hello")

    def test_the_older_style(self, jayson: Report) -> None:
        older = jayson["older"]
        assert older["add"] == {"id": 1, "result": 5, "error": None}
        assert (older["fail"]["id"], older["fail"]["result"]) == (2, None)
        assert (older["fail"]["error"]["code"], older["fail"]["error"]["message"]) == (42, "nö")
        assert (older["notification"], older["noted"]) == ("nothing", True)


class TestJsonRpc20:
    def test_calls(self, json_rpc_2_0: Report) -> None:
        assert (json_rpc_2_0["add"], json_rpc_2_0["named"]) == (-1, 5)
        assert json_rpc_2_0["together"] == [1, 2, 3, 4, 5]

    def test_a_fault(self, json_rpc_2_0: Report) -> None:
        assert json_rpc_2_0["fault"] == {"code": 42, "message": "nö", "data": {"hint": "on purpose"}}

    def test_a_batch(self, json_rpc_2_0: Report) -> None:
        first, second = sorted(json_rpc_2_0["batch"], key=lambda answer: answer["id"])
        assert first == {"jsonrpc": "2.0", "id": "x", "result": 3}
        assert (second["id"], second["error"]["code"]) == ("y", faults.METHOD_NOT_FOUND)

    def test_fetch_sees_204_for_a_notification_and_undoes_gzip(self, json_rpc_2_0: Report) -> None:
        assert json_rpc_2_0["noted"] is True
        assert json_rpc_2_0["length"] == 100_000
        assert json_rpc_2_0["statuses"] == [[204, None], [200, None], [200, "gzip"]]
