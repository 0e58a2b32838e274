# ruff: noqa: DTZ001 - XML-RPC has no time zones
"""XML-RPC, encoded: each type, what the wire cannot carry and where it stood, and what other programs read."""

from __future__ import annotations

import enum
import xmlrpc.client
from collections import OrderedDict
from datetime import date, datetime, timedelta, timezone
from typing import Any, NamedTuple

import pytest

from anycore.wire import xmlrpc as codec
from anycore.wire.errors import LocalProtocolError
from anycore.wire.faults import Fault

ZONE = timezone(timedelta(hours=5, minutes=30))


class Colour(enum.StrEnum):
    RED = "red & hot"


class Level(enum.IntEnum):
    HIGH = 3


class Loud(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "LOUD"


class Celsius(float):
    def __repr__(self) -> str:
        return "hot"


class Pair(NamedTuple):
    one: int
    two: int


@pytest.mark.parametrize(
    ("value", "xml"),
    [
        (5, "<int>5</int>"),
        (-(2**31), "<int>-2147483648</int>"),
        (2**31, "<i8>2147483648</i8>"),
        (-(2**63), "<i8>-9223372036854775808</i8>"),
        (True, "<boolean>1</boolean>"),
        (False, "<boolean>0</boolean>"),
        (None, "<nil/>"),
        (1.0, "<double>1.0</double>"),
        (-0.1, "<double>-0.1</double>"),
        (1e22, "<double>10000000000000000000000.0</double>"),
        (1.5e-7, "<double>0.00000015</double>"),
        ("a<b>&]]>\r\n\t", "<string>a&lt;b&gt;&amp;]]&gt;&#13;\n\t</string>"),
        ("\x7f\x80\U0001f600", "<string>\x7f\x80\U0001f600</string>"),
        (b"hello", "<base64>aGVsbG8=</base64>"),
        (bytearray(b"hello"), "<base64>aGVsbG8=</base64>"),
        (memoryview(b"hheelllloo")[::2], "<base64>aGVsbG8=</base64>"),
        (b"", "<base64></base64>"),
        (datetime(1998, 7, 17, 14, 8, 55, 999), "<dateTime.iso8601>19980717T14:08:55</dateTime.iso8601>"),
        (datetime(1, 1, 1), "<dateTime.iso8601>00010101T00:00:00</dateTime.iso8601>"),
        (datetime(1998, 7, 17, 5, 30, tzinfo=ZONE), "<dateTime.iso8601>19980717T00:00:00</dateTime.iso8601>"),
        (date(1998, 7, 17), "<dateTime.iso8601>19980717T00:00:00</dateTime.iso8601>"),
        ([], "<array><data></data></array>"),
        ((1, "a"), "<array><data><value><int>1</int></value><value><string>a</string></value></data></array>"),
        (Pair(1, 2), "<array><data><value><int>1</int></value><value><int>2</int></value></data></array>"),
        ({}, "<struct></struct>"),
        (
            OrderedDict({"a b": 1, "<": None}),
            (
                "<struct><member><name>a b</name><value><int>1</int></value></member>"
                "<member><name>&lt;</name><value><nil/></value></member></struct>"
            ),
        ),
        ({Colour.RED: 1}, "<struct><member><name>red &amp; hot</name><value><int>1</int></value></member></struct>"),
        (Colour.RED, "<string>red &amp; hot</string>"),
        (Loud("quiet"), "<string>quiet</string>"),
        (Level.HIGH, "<int>3</int>"),
        (Celsius(1.5), "<double>1.5</double>"),
    ],
)
def test_values_are_encoded(value: Any, xml: str) -> None:
    assert codec.encode_value(value) == f"<value>{xml}</value>"


CYCLE: list[Any] = [1]
CYCLE.append({"again": CYCLE})


@pytest.mark.parametrize(
    ("value", "path", "message"),
    [
        (2**63, "result", "64 bits"),
        (float("nan"), "result", "nan cannot be carried"),
        ({"rooms": [1, 2, {"celsius": float("inf")}]}, "result.rooms[2].celsius", "inf cannot be carried"),
        ([["a\x00b"]], "result[0][0]", "U\\+0000 cannot"),
        (["\ud800"], "result[0]", "U\\+D800"),
        (["a", "\uffff"], "result[1]", "U\\+FFFF"),
        (["\r", "\x0b"], "result[1]", "U\\+000B"),
        ({"a": {"k\x01": 1}}, "result.a", "U\\+0001"),
        ({"a": {5: 1}}, "result.a", "key 5 is of type int"),
        ({"my rooms": [object()]}, "result['my rooms'][0]", "no type for object"),
        ({1, 2}, "result", "no type for set"),
        (CYCLE, "result[1].again", "contains itself"),
        (datetime(1, 1, 1, tzinfo=ZONE), "result", "out of range in UTC"),
    ],
)
def test_what_xml_rpc_cannot_carry_is_refused_with_its_place(value: Any, path: str, message: str) -> None:
    with pytest.raises(LocalProtocolError, match=message) as caught:
        codec.encode_response(value)
    assert caught.value.path == path


def test_the_depth_of_what_is_sent_is_bounded() -> None:
    value: Any = 1
    for _ in range(64):
        value = [value]
    assert codec.decode_response(codec.encode_response(value)) == value
    for deep in ([value], {"a": value}):
        with pytest.raises(LocalProtocolError, match="nested too deep") as caught:
            codec.encode_response(deep)
        assert caught.value.path.endswith("[0]" * 63)
    assert codec.decode_response(codec.encode_response([value], max_depth=65), max_depth=65) == [value]


def test_a_depth_beyond_the_stack_cannot_be_sent_either() -> None:
    value: Any = 1
    for _ in range(700):
        value = [value]
    with pytest.raises(LocalProtocolError):
        codec.encode_response(value, max_depth=100_000)


def test_other_types_are_converted_by_default() -> None:
    def default(value: Any) -> Any:
        if isinstance(value, set):
            return sorted(value)
        if isinstance(value, complex):
            return [value.real, float("nan")]
        raise TypeError("what is that?")

    assert codec.decode_response(codec.encode_response([{2, 1}], default=default)) == [[1, 2]]
    with pytest.raises(LocalProtocolError, match=r"result\[0\]: .* range: what is that\?"):
        codec.encode_response([range(3)], default=default)
    with pytest.raises(LocalProtocolError, match=r"result\[0\]\[1\]: nan"):
        codec.encode_response([1j], default=default)
    with pytest.raises(LocalProtocolError, match="contains itself"):
        codec.encode_response(1j, default=lambda value: value)
    with pytest.raises(LocalProtocolError, match="nested too deep"):
        codec.encode_response(1j, default=lambda value: value + 1)


def test_the_path_of_parameters_and_pieces() -> None:
    with pytest.raises(LocalProtocolError, match=r"^params\[1\]\.x: ") as caught:
        codec.encode_call("m", [1, {"x": object()}])
    assert caught.value.path == "params[1].x"
    with pytest.raises(LocalProtocolError, match=r"^results\[3\]\[0\]: "):
        codec.encode_value([object()], path="results[3]")
    for name in ("", "\x00"):
        with pytest.raises(LocalProtocolError, match=r"^method: "):
            codec.encode_call(name, [])


def test_calls_are_encoded() -> None:
    body = codec.encode_call("a.b<c>", (2, "ä\r"))
    assert codec.decode_call(body) == ("a.b<c>", [2, "ä\r"])
    assert xmlrpc.client.loads(body) == ((2, "ä\r"), "a.b<c>")
    assert codec.decode_call(codec.encode_call("m", [])) == ("m", [])


def test_a_multicall_is_put_together_from_pieces() -> None:
    pieces = [codec.join_values([codec.encode_value(1)]), codec.encode_value({"faultCode": 4, "faultString": "x"})]
    body = codec.wrap_response(codec.join_values(pieces))
    assert codec.decode_response(body) == [[1], {"faultCode": 4, "faultString": "x"}]
    assert codec.join_values([]) == codec.encode_value([])


def test_a_fault_always_gets_through() -> None:
    with pytest.raises(Fault, match="bad \ufffd\ufffd\ufffd and \r\n"):
        codec.decode_response(codec.encode_fault(1, "bad \x00\ud800\uffff and \r\n"))
    for code in (2**31, -(2**40), 2**100, "1"):
        with pytest.raises(LocalProtocolError, match="faultCode"):
            codec.encode_fault(code, "x")  # type: ignore[arg-type]


def test_the_standard_library_reads_what_is_written() -> None:
    value = {"a": [1, -2.5, 1e300, "x<&>\r\n", True, None, {"b": b"\x00\xff"}], "when": datetime(2026, 1, 2, 3, 4, 5)}
    (back,), method = xmlrpc.client.loads(codec.encode_response(value), use_builtin_types=True)
    assert (back, method) == (value, None)
    body = xmlrpc.client.dumps((value,), "m", allow_none=True).encode("utf-8", "xmlcharrefreplace")
    assert codec.decode_call(body.replace(b"\r", b"&#13;")) == ("m", [value])
