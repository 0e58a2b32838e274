"""JSON-RPC under mutated bytes and generated values: one of two exceptions, or the value itself."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anycore.wire import jsonrpc, jsonvalue
from anycore.wire.errors import LocalProtocolError, RemoteProtocolError
from anycore.wire.faults import Fault
from anycore.wire.jsonrpc import Invalid, Request

SEEDS = [
    b'{"jsonrpc": "2.0", "method": "subtract", "params": [42, -2.5e3, "caf\xc3\xa9", null, true], "id": 1}',
    b'{"jsonrpc":"2.0","method":"m","params":{"a":{"b":[[[]]]},"\\u00e9\\ud83d\\ude00":""},"id":1.50}',
    b'{"method": "echo", "params": ["Hello"], "id": null}',
    b'[{"jsonrpc":"2.0","method":"sum","id":"1"},{"method":"m","id":2.5},{"foo":"boo"},1,[]]',
    b'[{"jsonrpc":"2.0","result":7,"id":"2"},{"result":null,"error":{"code":-1,"message":"x","data":[1]},"id":1}]',
    b"\xef\xbb\xbf[]",
]
PIECES = [
    b'"',
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\xff",
    b"\xed\xa0\x80",
    b"\\ud800",
    b"1e999",
    b"9" * 4400,
    b"-",
]
PIECES += [b"null", b'"id":', b'"jsonrpc":', b"\x00", b"[" * 3000, b"0.1", b"1e-99999999999999999999", b"NaN"]


def mutate(chance: random.Random, body: bytes) -> bytes:
    for _ in range(chance.randint(1, 3)):
        start = chance.randrange(len(body) + 1)
        end = min(len(body), start + chance.choice([0, 0, 1, 1, 2, 8]))
        filling = chance.choice([b"", bytes([chance.randrange(256)]), chance.choice(PIECES), chance.choice(SEEDS)[:20]])
        body = body[:start] + filling + body[end:]
    return body


@pytest.mark.parametrize("seed", range(8))
def test_any_bytes_are_calls_or_one_exception(seed: int) -> None:
    chance = random.Random(seed)
    refused = 0
    for _ in range(1000):
        body = mutate(chance, chance.choice(SEEDS))
        try:
            _, calls = jsonrpc.decode(body, max_batch=4, max_values=chance.choice([10, 1000]))
        except RemoteProtocolError as error:
            jsonrpc.encode_error(None, Fault(error.code, error.message))
        else:
            answer_all(calls)
        try:
            jsonrpc.decode_response(body)
        except RemoteProtocolError:
            refused += 1
    assert refused


def answer_all(calls: list[Request | Invalid]) -> None:
    assert calls
    for call in calls:
        if isinstance(call, Invalid):
            json.loads(jsonrpc.encode_error(call.id, call.fault, call.version))
        else:
            json.loads(jsonrpc.encode_result(call.id, call.params, call.version))


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(SCALARS | TEXTS, lambda some: st.lists(some) | st.dictionaries(TEXTS, some), max_leaves=20)
ANYTHING = st.recursive(
    SCALARS | st.text() | st.floats() | st.binary() | st.complex_numbers(),
    lambda some: st.lists(some) | st.dictionaries(st.text() | SCALARS, some) | st.tuples(some),
    max_leaves=20,
)


@settings(max_examples=150, deadline=None)
@given(ident=st.text(st.characters(exclude_categories=["Cs"])) | st.integers(), method=TEXTS, params=st.lists(VALUES))
def test_calls_and_answers_come_back(ident: Any, method: str, params: list[Any]) -> None:
    assert jsonrpc.decode(jsonrpc.encode_request(ident, method, params)) == (False, [Request(ident, method, params)])
    batch = jsonrpc.encode_batch([jsonrpc.encode_result(ident, params, style) for style in ("1.0", "2.0")])
    assert [(answer.id, answer.value) for answer in jsonrpc.decode_response(batch)[1]] == [(ident, params)] * 2


@settings(max_examples=150, deadline=None)
@given(value=ANYTHING)
def test_any_value_is_json_or_one_exception(value: Any) -> None:
    try:
        text = jsonvalue.encode(value)
    except LocalProtocolError as error:
        path = error.path
    else:
        assert jsonvalue.decode(text) == json.loads(text)
        path = "result"
    assert path.startswith("result")


@settings(max_examples=100, deadline=None)
@given(value=VALUES)
def test_the_count_of_values_is_exact(value: Any) -> None:
    def count(part: Any) -> int:
        if isinstance(part, dict):
            return 1 + sum(map(count, part.values())) + (not part)
        return 1 + sum(map(count, part)) + (not part) if isinstance(part, list) else 1

    body = jsonvalue.encode(value)
    upper = count(value)  # an empty array or object counts twice: nothing has been read, so nothing is known of it
    assert jsonvalue.decode(body, max_values=upper) == value
