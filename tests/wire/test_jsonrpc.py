"""JSON-RPC: the examples of both specifications, the limits, and what JSON cannot carry."""

from __future__ import annotations

import dataclasses
import enum
import json
import math
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest

from anycore.wire import jsonrpc, jsonvalue
from anycore.wire.errors import LocalProtocolError, RemoteProtocolError
from anycore.wire.faults import APPLICATION_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, PARSE_ERROR, Fault
from anycore.wire.jsonrpc import Invalid, Request

BIG = 2**200 + 1


def one(body: bytes) -> Request | Invalid:
    batch, calls = jsonrpc.decode(body)
    assert not batch
    (call,) = calls
    return call


def invalid(body: bytes) -> Invalid:
    call = one(body)
    assert isinstance(call, Invalid)
    assert call.fault.code == INVALID_REQUEST
    return call


def text_of(fault: Fault | None) -> str:
    assert fault is not None
    return fault.message


# JSON-RPC 2.0, section 7, and the 1.0 specification


@pytest.mark.parametrize(
    ("body", "request_"),
    [
        (b'{"jsonrpc": "2.0", "method": "subtract", "params": [42, 23], "id": 1}', Request(1, "subtract", [42, 23])),
        (
            b'{"jsonrpc": "2.0", "method": "subtract", "params": {"subtrahend": 23, "minuend": 42}, "id": 3}',
            Request(3, "subtract", {"subtrahend": 23, "minuend": 42}),
        ),
        (b'{"jsonrpc": "2.0", "method": "foobar"}', Request(None, "foobar", [], "2.0", notification=True)),
        (b'{"jsonrpc": "2.0", "method": "foobar", "id": "1"}', Request("1", "foobar", [])),
        (b'{"jsonrpc": "2.0", "method": "foobar", "id": null}', Request(None, "foobar", [])),
        (b'{"method": "echo", "params": ["Hello"], "id": 1}', Request(1, "echo", ["Hello"], "1.0")),
        (b'{"method": "echo", "params": [], "id": null}', Request(None, "echo", [], "1.0", notification=True)),
        (b'{"method": "echo", "id": "99"}', Request("99", "echo", [], "1.0")),
        (b'{"jsonrpc": "2.0", "method": "m", "id": 1, "more": {"\\u00e9": 1}}', Request(1, "m", [])),
        (b'{"method": "m", "id": 1, "version": "1.1"}', Request(1, "m", [], "1.0")),
        (b'\xef\xbb\xbf{"jsonrpc": "2.0", "method": "m", "id": 1.5}', Request(Decimal("1.5"), "m", [])),
    ],
)
def test_decodes_a_call(body: bytes, request_: Request) -> None:
    assert jsonrpc.decode(body) == (False, [request_])


@pytest.mark.parametrize("ident", ["0", "-7", str(BIG), "1.0", "1.50", "-0.0", "1E-7", "0.1000000000000000000001"])
def test_numeric_ids_come_back_exactly(ident: str) -> None:
    call = one(b'{"jsonrpc": "2.0", "method": "m", "id": %b}' % ident.encode())
    assert isinstance(call, Request)
    reply = jsonrpc.encode_result(call.id, None)
    assert json.loads(reply, parse_float=Decimal)["id"] == Decimal(ident)
    assert reply.endswith(b'"id":%b}' % ident.encode())


def test_fractional_ids_come_back_exactly_within_a_batch() -> None:
    batch, calls = jsonrpc.decode(b'\xef\xbb\xbf[1, {"jsonrpc": "2.0", "method": "m", "id": 2.50}]')
    assert batch
    assert [call.id for call in calls] == [None, Decimal("2.50")]


@pytest.mark.parametrize(
    ("body", "ident", "hint"),
    [
        (b'{"jsonrpc": "2.0", "method": 1, "params": "bar"}', None, "not a number"),
        (b'{"jsonrpc": "2.0", "method": null, "id": 4}', 4, "not null"),
        (b'{"jsonrpc": "2.0", "method": ["m"], "id": 4}', 4, "not an array"),
        (b'{"jsonrpc": "2.0", "params": [], "id": "x"}', "x", '"method" is missing'),
        (b'{"jsonrpc": "2.0", "method": "m", "params": "bar", "id": 4}', 4, "not text"),
        (b'{"jsonrpc": "2.0", "method": "m", "params": null, "id": 4}', 4, "leave it out"),
        (b'{"jsonrpc": "2.0", "method": "m", "id": true}', None, "not a boolean"),
        (b'{"jsonrpc": "2.0", "method": "m", "id": [1]}', None, "not an array"),
        (b'{"jsonrpc": "2.0", "method": "m", "id": {}}', None, "not an object"),
        (b'{"jsonrpc": "2.0", "method": "m", "id": 1e-9999999999999999999}', None, "not a boolean"),
        (b'{"jsonrpc": "1.0", "method": "m", "id": 4}', 4, "leave it out for the 1.0 style"),
        (b'{"jsonrpc": 2.0, "method": "m", "id": 4}', 4, 'must be "2.0"'),
        (b'{"foo": "boo"}', None, '"method" is missing'),
        (b"[]", None, "the batch is empty"),
        (b"1", None, "not a number"),
        (b'"text"', None, "not text"),
        (b"null", None, "not null"),
    ],
)
def test_what_is_no_call_is_invalid(body: bytes, ident: Any, hint: str) -> None:
    call = invalid(body)
    assert call.id == ident
    assert call.version == "2.0"
    assert hint in call.fault.message


@pytest.mark.parametrize(
    ("body", "ident"),
    [(b'{"method": "m"}', None), (b'{"method": 1, "id": 2}', 2), (b'{"method": "m", "id": []}', None)],
)
def test_what_is_no_call_of_the_old_style_is_answered_in_it(body: bytes, ident: Any) -> None:
    call = invalid(body)
    reply = json.loads(jsonrpc.encode_error(call.id, call.fault, call.version))
    assert set(reply) == {"result", "error", "id"}
    assert reply["id"] == ident
    assert reply["result"] is None


def test_the_batch_of_the_specification() -> None:
    batch, calls = jsonrpc.decode(b"""[
        {"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},
        {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]},
        {"jsonrpc": "2.0", "method": "subtract", "params": [42,23], "id": "2"},
        {"foo": "boo"},
        {"jsonrpc": "2.0", "method": "foo.get", "params": {"name": "myself"}, "id": "5"},
        {"jsonrpc": "2.0", "method": "get_data", "id": "9"}
    ]""")
    assert batch
    assert calls[:3] == [
        Request("1", "sum", [1, 2, 4]),
        Request(None, "notify_hello", [7], "2.0", notification=True),
        Request("2", "subtract", [42, 23]),
    ]
    assert isinstance(calls[3], Invalid)
    assert calls[3].id is None
    assert calls[4:] == [Request("5", "foo.get", {"name": "myself"}), Request("9", "get_data", [])]


def test_a_good_batch_and_an_invalid_one() -> None:
    call = b'{"jsonrpc":"2.0","method":"m","params":[],"id":1}'
    assert jsonrpc.decode(jsonrpc.encode_batch([call, call])) == (True, [Request(1, "m", [])] * 2)
    batch, calls = jsonrpc.decode(b"[1,2,3]")
    assert batch
    assert all(isinstance(call, Invalid) and call.id is None for call in calls)
    assert len(calls) == 3


@pytest.mark.parametrize("item", [b"1", b'{"jsonrpc":"2.0","method":"m"}'])
def test_a_batch_has_a_limit(item: bytes) -> None:
    assert len(jsonrpc.decode(jsonrpc.encode_batch([item] * 5), max_batch=5)[1]) == 5
    batch, calls = jsonrpc.decode(jsonrpc.encode_batch([item] * 6), max_batch=5)
    assert not batch
    assert isinstance(calls[0], Invalid)
    assert "6 calls, the limit is 5" in calls[0].fault.message


# Broken text


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"   ",
        b'{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]',
        b'[{"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"}, {"jsonrpc": "2.0", "method"]',
        b'{"method": "m", "id": 1}x',
        b'{"method": "m", "params": ["\xff"], "id": 1}',
        b'{"method": "m", "unknown": "\xff", "id": 1}',
        b'{"method": "m", "params": ["\\ud800"], "id": 1}',
        b'{"method": "m", "params": [NaN], "id": 1}',
        b'{"method": "m", "params": [1e400], "id": 1}',
        b'{"method": "m", "params": [%b], "id": 1}' % (b"9" * 5000),
        b'{"method": "m", "params": [01], "id": 1}',
        b'{"method": "m", "params": %b, "id": 1}' % (b"[" * 50_000 + b"]" * 50_000),
        b"[" * 100_000,
        '{"method": "m", "id": 1}'.encode("utf-16"),
        '{"method": "m", "id": 1}'.encode("utf-32"),
        b"<methodCall/>",
    ],
)
def test_broken_text_is_a_parse_error(body: bytes) -> None:
    for decode in (jsonrpc.decode, jsonrpc.decode_response, jsonvalue.decode):
        with pytest.raises(RemoteProtocolError) as caught:
            decode(body)
        assert caught.value.code == PARSE_ERROR


def test_the_number_of_values_has_a_limit() -> None:
    body = b'{"method":"m","params":[1,[2],{"a":3},""],"id":1}'  # 10 values
    assert len(jsonrpc.decode(body, max_values=10)[1]) == 1
    with pytest.raises(RemoteProtocolError, match="more than 9 values") as caught:
        jsonrpc.decode(body, max_values=9)
    assert caught.value.code == PARSE_ERROR


def test_commas_and_brackets_in_text_are_no_values() -> None:
    body = json.dumps({"method": "m", "params": [',[{"\\' * 1000], "id": 1}).encode()
    assert isinstance(jsonrpc.decode(body, max_values=20)[1][0], Request)
    with pytest.raises(RemoteProtocolError, match="not JSON"):
        jsonrpc.decode(b'["' + b'\\",' * 1_000_000, max_values=3000)


# Answers


def test_encodes_answers() -> None:
    assert jsonrpc.encode_result(1, 19) == b'{"jsonrpc":"2.0","result":19,"id":1}'
    assert jsonrpc.encode_result("a\u00e9", None) == '{"jsonrpc":"2.0","result":null,"id":"a\u00e9"}'.encode()
    assert jsonrpc.encode_result(-1, [], "1.0") == b'{"result":[],"error":null,"id":-1}'
    assert jsonrpc.encode_result(BIG, BIG) == b'{"jsonrpc":"2.0","result":%d,"id":%d}' % (BIG, BIG)
    fault = Fault(METHOD_NOT_FOUND, "Method not found")
    text = b'"error":{"code":-32601,"message":"Method not found"}'
    assert jsonrpc.encode_error("1", fault) == b'{"jsonrpc":"2.0",%b,"id":"1"}' % text
    assert jsonrpc.encode_error(None, fault) == b'{"jsonrpc":"2.0",%b,"id":null}' % text
    assert jsonrpc.encode_error(1, fault, "1.0") == b'{"result":null,%b,"id":1}' % text
    with_data = jsonrpc.encode_error(1, Fault(5, "no", {"a": [1]}))
    assert json.loads(with_data)["error"] == {"code": 5, "message": "no", "data": {"a": [1]}}


def test_a_message_is_always_sent() -> None:
    reply = json.loads(jsonrpc.encode_error(1, Fault(1, "no file caf\udce9")))
    assert reply["error"]["message"] == "no file caf\\udce9"


def test_encodes_requests() -> None:
    assert jsonrpc.encode_request(1, "m", [1]) == b'{"jsonrpc":"2.0","method":"m","params":[1],"id":1}'
    assert jsonrpc.encode_request(1, "m", (), "1.0") == b'{"method":"m","params":[],"id":1}'
    assert jsonrpc.encode_notification("m", {"a": 1}) == b'{"jsonrpc":"2.0","method":"m","params":{"a":1}}'
    assert jsonrpc.encode_notification("m", [], "1.0") == b'{"method":"m","params":[],"id":null}'


def test_decodes_answers() -> None:
    decode = jsonrpc.decode_response
    assert decode(jsonrpc.encode_result(1, [BIG]))[1][0].value == [BIG]
    assert decode(jsonrpc.encode_result(1, None, "1.0"))[1][0].fault is None
    batch, answers = decode(b'[{"jsonrpc":"2.0","result":7,"id":"2"},{"result":null,"error":{"code":1},"id":1}]')
    assert batch
    assert [answer.id for answer in answers] == ["2", 1]
    assert answers[1].fault is not None
    fault = decode(b'{"jsonrpc":"2.0","result":null,"error":{"code":-32000,"message":"x","data":[1]},"id":1}')[1][
        0
    ].fault
    assert fault is not None
    assert (fault.code, fault.message, fault.data) == (-32000, "x", [1])


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (b'"it broke"', APPLICATION_ERROR, "it broke"),
        (b'{"code": "E1", "message": "it broke"}', APPLICATION_ERROR, "it broke"),
        (b'{"code": 7}', 7, "without a message"),
        (b'{"code": true, "message": 1}', APPLICATION_ERROR, "without a message"),
        (b"[1]", APPLICATION_ERROR, "without a message"),
    ],
)
def test_a_fault_of_any_form_is_one(error: bytes, code: int, message: str) -> None:
    fault = jsonrpc.decode_response(b'{"result":null,"error":%b,"id":1}' % error)[1][0].fault
    assert message in text_of(fault)
    assert fault is not None
    assert fault.code == code


@pytest.mark.parametrize("error", [b"null", b"false", b"0", b'""', b"{}"])
def test_an_old_error_that_is_empty_is_none(error: bytes) -> None:
    assert jsonrpc.decode_response(b'{"result":5,"error":%b,"id":1}' % error)[1][0].value == 5


@pytest.mark.parametrize(
    "body",
    [b"1", b"[1]", b"{}", b'{"id":1}', b'{"error":null,"id":1}', b'{"result":1,"id":[]}', b'{"result":1,"id":true}'],
)
def test_what_is_no_answer_is_refused(body: bytes) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        jsonrpc.decode_response(body)
    assert caught.value.code == INVALID_REQUEST


# Values


@dataclasses.dataclass
class Room:
    name: str
    celsius: float


class House(msgspec.Struct):
    rooms: list[Room]
    cellar: Room | msgspec.UnsetType = msgspec.UNSET


class Mode(enum.Enum):
    HEAT = "heat"


class Text(str):
    __slots__ = ()


class Whole(int):
    pass


class Real(float):
    pass


class Octets(bytes):
    pass


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2**64, b"18446744073709551616"),
        ((1, {2}, frozenset()), b"[1,[2],[]]"),
        ({"a": 1, 2: 3, 1.5: 4}, b'{"a":1,"2":3,"1.5":4}'),
        (House([Room("hall", 21.5)]), b'{"rooms":[{"name":"hall","celsius":21.5}]}'),
        (Mode.HEAT, b'"heat"'),
        (datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC), b'"2024-05-06T07:08:09Z"'),
        (Decimal("1.10"), b'"1.10"'),
        (UUID(int=1), b'"00000000-0000-0000-0000-000000000001"'),
        (b"abc", b'"YWJj"'),
        ([Text("x"), Whole(5), Real(1.5), Octets(b"abc")], b'["x",5,1.5,"YWJj"]'),
        ({Text("x"): 1}, b'{"x":1}'),
        ([None, "null", math.pi, {"a": None}, House([])], b'[null,"null",3.141592653589793,{"a":null},{"rooms":[]}]'),
    ],
)
def test_encodes_python_values(value: Any, text: bytes) -> None:
    assert jsonvalue.encode(value) == text


def cyclic() -> list[Any]:
    value: list[Any] = [1]
    value.append({"again": value})
    return value


def deep(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "path", "hint"),
    [
        (math.nan, "result", "nan"),
        ({"rooms": [1, 2, {"celsius": math.inf}]}, "result.rooms[2].celsius", "inf"),
        (House([Room("a", 1.0), Room("b", -math.inf)]), "result.rooms[1].celsius", "-inf"),
        ((None, {"a b": [Real("nan")]}), "result[1]['a b'][0]", "nan"),
        ({"x": {1: {math.nan}}}, "result.x[1][0]", "nan"),
        (["good", "\ud800"], "result[1]", "surrogate"),
        ({"a": {"\udfff": 1}}, "result.a", "key"),
        ({"a": {None: 1}}, "result.a", "key None"),
        ({"a": {(1, 2): 1}}, "result.a", "use text"),
        ([1, object()], "result[1]", "builtins.object"),
        ([1, 1j], "result[1]", "complex"),
        ([10**5000], "result[0]", "digits"),
        (cyclic(), "result[1].again", "contains itself"),
        (deep(100_000), "result[0][0][0][0][0][0][0][0][0]...[0][0][0][0][0]", "flatter"),
    ],
)
def test_what_json_cannot_carry_is_named(value: Any, path: str, hint: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        jsonrpc.encode_result(1, value)
    assert caught.value.path == path
    assert hint in caught.value.message
    assert str(caught.value).startswith(path)


def test_the_path_starts_with_what_was_encoded() -> None:
    with pytest.raises(LocalProtocolError, match=r"^params\[0\]: "):
        jsonrpc.encode_request(1, "m", [math.nan])
    with pytest.raises(LocalProtocolError, match=r"^params\.a: "):
        jsonrpc.encode_notification("m", {"a": object()})
    with pytest.raises(LocalProtocolError, match=r"^method: "):
        jsonrpc.encode_request(1, "\ud800")
    with pytest.raises(LocalProtocolError, match=r"^error\.data\.x: "):
        jsonrpc.encode_error(1, Fault(1, "m", {"x": math.nan}))
    with pytest.raises(LocalProtocolError, match=r"^id: "):
        jsonrpc.encode_result("\ud800", 1)
    with pytest.raises(LocalProtocolError, match=r"^error\.code: "):
        jsonrpc.encode_error(1, Fault(10**5000, "m"))


def test_default_converts_other_types() -> None:
    def default(value: Any) -> Any:
        if isinstance(value, range):
            return list(value)
        if isinstance(value, complex):
            return {"re": value.real, "im": value.imag}
        raise TypeError("only ranges and complex numbers")

    assert jsonvalue.encode([range(3), None], default=default) == b"[[0,1,2],null]"
    assert jsonrpc.encode_result(1, Text("x"), default=default) == b'{"jsonrpc":"2.0","result":"x","id":1}'
    with pytest.raises(LocalProtocolError) as caught:
        jsonvalue.encode([1, [complex(math.nan, 2)]], default=default)
    assert caught.value.path == "result[1][0].re"
    with pytest.raises(LocalProtocolError, match=r"^result\[1\]: only ranges"):
        jsonvalue.encode([1, object()], default=default)


def test_a_default_that_fails_or_never_ends_is_our_own_error() -> None:
    def broken(value: Any) -> Any:
        raise ZeroDivisionError

    with pytest.raises(LocalProtocolError, match=r"^result\[0\]: ZeroDivisionError"):
        jsonvalue.encode([object()], default=broken)
    with pytest.raises(LocalProtocolError, match="flatter"):
        jsonvalue.encode(object(), default=lambda value: [object()])
