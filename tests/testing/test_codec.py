"""The kit must find each kind of fault, so each kind is built in here."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from anycore.testing.codec import Report, check_codec
from anycore.testing.mutation import Mutator


class RefusedError(Exception):
    pass


def decode_length(data: bytes) -> bytes:
    """A byte that is a length, then so many bytes: the smallest codec there is."""
    if not data or len(data) != data[0] + 1:
        raise RefusedError(len(data))
    return data[1:]


EXAMPLES = (b"\x00", b"\x03abc", b"\x10" + bytes(range(16)))


def check(decode: Callable[[bytes], object], **options: Any) -> Report:
    return check_codec(decode, EXAMPLES, **{"error": RefusedError, "mutations": 500, "complete": True, **options})


def test_a_sound_codec_passes_and_is_counted() -> None:
    report = check(decode_length)
    assert report.accepted > len(EXAMPLES)
    assert report.refused > 300
    assert report.accepted + report.refused >= 500
    assert 0 < report.slowest < 1
    assert 0 < report.peak_memory < 100_000


def test_the_same_seed_makes_the_same_inputs() -> None:
    def inputs(seed: int) -> list[bytes]:
        mutator = Mutator(EXAMPLES, (b"token",), seed)
        return [mutator.next() for _ in range(200)]

    assert inputs(1) == inputs(1)
    assert inputs(1) != inputs(2)
    assert any(b"token" in data for data in inputs(1))
    assert len(set(inputs(1))) > 150


def test_another_exception_is_found_and_its_input_is_short() -> None:
    def decode(data: bytes) -> bytes:
        if 0xFF in data:
            raise KeyError("found")
        return decode_length(data)

    with pytest.raises(AssertionError, match=r"KeyError\('found'\).*input: b'\\xff'$"):
        check(decode)


def test_several_exceptions_may_be_permitted() -> None:
    check_codec(json.loads, [b'{"a": [1, 2.5, null, "x"]}'], error=(ValueError, RecursionError), mutations=500)


def test_an_exception_outside_of_exception_passes_through() -> None:
    def decode(_data: bytes) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check(decode)


def test_a_refused_example_is_reported() -> None:
    with pytest.raises(AssertionError, match=r"valid example was refused with RefusedError\(3\): b'\\x07ab'"):
        check_codec(decode_length, [b"\x07ab"], error=RefusedError)


def test_no_examples_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="at least one example"):
        check_codec(decode_length, [], error=RefusedError)


def test_a_prefix_taken_for_the_whole_is_found() -> None:
    with pytest.raises(AssertionError, match=r"cut at byte 1 of 4 was accepted: b'\\x03'"):
        check(lambda data: decode_length(data) if data != b"\x03" else b"")


def test_trailing_junk_taken_is_found() -> None:
    def decode(data: bytes) -> bytes:
        return decode_length(data[: data[0] + 1] if data else data)

    with pytest.raises(AssertionError, match=r"followed by b'\\x00' was accepted"):
        check(decode)
    check(decode, complete=False)


def test_white_space_at_the_end_may_be_cut_and_added() -> None:
    check_codec(json.loads, [b"[1]\n"], error=(ValueError, RecursionError), mutations=10, complete=True)


def test_an_endless_loop_is_interrupted() -> None:
    def decode(data: bytes) -> bytes:
        while b"abc" in data and len(data) == 4:
            pass
        return decode_length(data)

    with pytest.raises(AssertionError, match=r"an example took more than 0.05 s: b'\\x03abc'"):
        check(decode, max_seconds=0.05)


def test_an_endless_loop_that_swallows_exceptions_is_interrupted() -> None:
    def decode(data: bytes) -> bytes:
        while len(data) == 4:
            try:
                sum(range(100))
            except Exception:  # noqa: BLE001
                continue
        return decode_length(data)

    with pytest.raises(AssertionError, match=r"took more than 0.05 s"):
        check(decode, max_seconds=0.05)


def test_much_memory_is_found() -> None:
    def decode(data: bytes) -> bytes:
        if len(data) == 4:
            bytearray(data[0] * 1_000_000)
        return decode_length(data)

    with pytest.raises(AssertionError, match=r"took 3\d{6} bytes, more than 100000"):
        check(decode, max_memory=100_000)


def test_long_examples_are_cut_at_a_bounded_number_of_places() -> None:
    cuts: list[int] = []
    check_codec(lambda data: cuts.append(len(data)), [bytes(100_000)], error=RefusedError, mutations=0)
    assert 4096 < len(cuts) < 4120
    assert len(set(cuts)) > 4000
