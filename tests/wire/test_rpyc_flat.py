"""The short way for calls with values and answers that are values says what the long way says, or nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anycore.testing.codec import check_codec
from anycore.wire.brine import Encoded
from anycore.wire.errors import RemoteProtocolError
from anycore.wire.rpyc import FrameDecoder, MessageCodec
from anycore.wire.rpyc_constants import COMPRESS_ABOVE, LOCAL_REF, REMOTE_REF, TUPLE, VALUE
from anycore.wire.rpyc_flat import LONGEST, call_key, encode_flat_answer, encode_flat_call, flat_answer, flat_call

PACKS = [
    ("builtins.method", 7, 12),
    ("builtins.method", 140406761493184, 140406741308864),
    ("x" * 5, 159, 160),
    ("app.Thing\x11\x51\x02", 1, 2),  # what a call ends with, in a name
    ("é.Ding", 0, 10**30),
]
KNOWN = {call_key(Encoded((REMOTE_REF, pack))): pack for pack in PACKS}
ARGS: list[tuple[Any, ...]] = [
    (),
    (2, 3),
    ("text", b"bytes", None),
    (1.5, -(10**40), (1, (2,)), True, 2j),
    ("x" * 300,),
]
NUMBERS = [0, 159, 160, 1000000, 10**20]
VALUES = [
    None,
    5,
    -1,
    12345,
    "text",
    "",
    "é",
    b"",
    b"bytes",
    1.5,
    2j,
    True,
    (1, ("a",)),
    frozenset({1}),
    slice(1, 2),
    ...,
]


def call(seq: int, pack: Any, args: Any, kwargs: Any = ()) -> bytes:
    boxed = (TUPLE, ((LOCAL_REF, pack), (VALUE, args), (VALUE, kwargs)))
    return MessageCodec(6, bind_threads=False).encode_request(seq, 7, boxed)


def answer(seq: int, value: Any) -> bytes:
    return MessageCodec(6, bind_threads=False).encode_reply(seq, (VALUE, value))


def payload_of(frame: bytes | None) -> bytes:
    assert frame is not None
    (payload,) = FrameDecoder().feed(frame)
    return payload


@pytest.mark.parametrize("seq", NUMBERS)
@pytest.mark.parametrize("pack", PACKS)
@pytest.mark.parametrize("args", ARGS)
def test_calls_go_there_and_back(seq: int, pack: Any, args: tuple[Any, ...]) -> None:
    frame = call(seq, pack, args)
    assert encode_flat_call(seq, Encoded((LOCAL_REF, pack)), args) == frame
    assert flat_call(payload_of(frame), KNOWN, 100, 4300) == (seq, pack, args)


@pytest.mark.parametrize("seq", NUMBERS)
@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_answers_go_there_and_back(seq: int, value: Any) -> None:
    frame = answer(seq, value)
    assert encode_flat_answer(seq, value) == frame
    assert flat_answer(payload_of(frame), 100, 4300) == (seq, value)


@pytest.mark.parametrize(
    "frame",
    [
        call(1, ("builtins.method", 7, 13), (2, 3)),  # an object that is not known
        call(1, PACKS[0], (2, 3), (("a", 1),)),
        call(1, PACKS[0], ("x" * LONGEST,)),
        call(-1, PACKS[0], ()),
        call(10**300, PACKS[0], ()),
        MessageCodec(6, bind_threads=False).encode_request(1, 3, (VALUE, ())),
        MessageCodec(6, bind_threads=False).encode_request(1, 8, (TUPLE, ((LOCAL_REF, PACKS[0]), (VALUE, "a")))),
    ],
)
def test_other_calls_go_the_long_way(frame: bytes) -> None:
    assert flat_call(payload_of(frame), KNOWN, 100, 4300) is None


@pytest.mark.parametrize(
    "frame",
    [
        answer(-1, 5),
        answer(10**300, 5),
        answer(1, "x" * LONGEST),
        MessageCodec(6, bind_threads=False).encode_reply(1, (REMOTE_REF, PACKS[0])),
        MessageCodec(6, bind_threads=False).encode_reply(1, (TUPLE, ((VALUE, 1), (REMOTE_REF, PACKS[0])))),
    ],
)
def test_other_answers_go_the_long_way(frame: bytes) -> None:
    assert flat_answer(payload_of(frame), 100, 4300) is None


UNFIT = [[], {}, object(), ([],), "\udc80", 10**5000, "x" * 100_000, "x" * LONGEST, b"y" * LONGEST]


@pytest.mark.parametrize("value", UNFIT, ids=map(str, range(len(UNFIT))))
def test_what_is_no_short_value_is_not_encoded(value: Any) -> None:
    assert encode_flat_answer(1, value) is None
    assert encode_flat_call(1, Encoded((LOCAL_REF, PACKS[0])), (value,)) is None


def test_what_is_encoded_is_never_so_long_that_it_might_be_compressed() -> None:
    size = next(size for size in range(LONGEST, 0, -1) if encode_flat_answer(1, "x" * size) is not None)
    assert len(payload_of(encode_flat_answer(1, "x" * size))) == LONGEST == COMPRESS_ABOVE


def test_a_codec_says_whether_the_short_way_is_open() -> None:
    assert MessageCodec(6, bind_threads=False).flat
    for closed in (
        MessageCodec(5, bind_threads=False),
        MessageCodec(6, bind_threads=True),
        MessageCodec(6),
        MessageCodec(6, bind_threads=False, compress_above=100),
        MessageCodec(6, bind_threads=False, max_items=100),
        MessageCodec(6, bind_threads=False, max_digits=100),
    ):
        assert not closed.flat
    speaking = MessageCodec()
    speaking.decode(payload_of(answer(1, 2)))
    assert speaking.flat


EXAMPLES = [payload_of(call(seq, pack, args)) for seq in NUMBERS[1:4] for pack in PACKS for args in ARGS] + [
    payload_of(answer(seq, value)) for seq in NUMBERS[1:4] for value in VALUES
]
TOKENS = [b"\x11\x51", b"\x11\x51\x02", b"\x11\x53", b"\x16\x03123", b"\x16\x02\xb2\xb3", b"\x08\x0e", b"\x12", *KNOWN]


def test_mutated_messages_are_what_the_long_way_says_or_nothing() -> None:
    long_way = MessageCodec(6, bind_threads=False)
    taken = {"calls": 0, "answers": 0}

    def compare(payload: bytes) -> None:
        if payload[:1] == b"\x01" and (found := flat_call(payload, KNOWN, 100, 4300)) is not None:
            seq, pack, args = found
            message = long_way.decode(payload)
            assert (message.kind, message.seq, message.args[0]) == (1, seq, 7)
            assert repr(message.args[1]) == repr((TUPLE, ((LOCAL_REF, pack), (VALUE, args), (VALUE, ()))))
            taken["calls"] += 1
        if payload[:1] == b"\x02" and (told := flat_answer(payload, 100, 4300)) is not None:
            message = long_way.decode(payload)
            assert (message.kind, message.seq) == (2, told[0])
            assert repr(message.args) == repr((VALUE, told[1]))
            taken["answers"] += 1

    check_codec(compare, EXAMPLES, error=RemoteProtocolError, tokens=TOKENS, seed=4, mutations=20_000)
    assert min(taken.values()) > 200


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=20)
    | st.binary(max_size=20)
    | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=5).map(tuple),
    max_leaves=15,
)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**12), st.sampled_from(PACKS), st.lists(values, max_size=5).map(tuple))
def test_any_values_are_written_as_the_long_way_writes_them(seq: int, pack: Any, args: tuple[Any, ...]) -> None:
    frame = encode_flat_call(seq, Encoded((LOCAL_REF, pack)), args)
    assert frame == call(seq, pack, args)
    assert encode_flat_answer(seq, args) == answer(seq, args)
    assert flat_call(payload_of(frame), KNOWN, 100, 4300) == (seq, pack, args)
