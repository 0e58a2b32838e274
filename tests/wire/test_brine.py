"""Brine: what the original writes, what it would read, what nobody may send, and what the limits do."""

from __future__ import annotations

import enum
import math
import pickle
import struct
import sys
from typing import Any, NamedTuple

import pytest
from rpyc.core import brine as original

from anycore.wire import brine
from anycore.wire.brine import Encoded
from anycore.wire.errors import LocalProtocolError, RemoteProtocolError
from anycore.wire.faults import PARSE_ERROR

# Written by rpyc 6.0.2.
GOLDEN: list[tuple[Any, str]] = [
    (None, "00"),
    (b"", "01"),
    ((), "02"),
    (True, "03"),
    (False, "04"),
    (NotImplemented, "05"),
    (..., "06"),
    (-48, "20"),
    (-1, "4f"),
    (0, "50"),
    (159, "ef"),
    (160, "1603313630"),
    (-49, "16032d3439"),
    (18446744073709551616, "16143138343436373434303733373039353531363136"),
    (-1000000000000000000000000000000, "16202d31303030303030303030303030303030303030303030303030303030303030"),
    (0.0, "180000000000000000"),
    (-0.0, "188000000000000000"),
    (1.5, "183ff8000000000000"),
    (math.inf, "187ff0000000000000"),
    (-math.inf, "18fff0000000000000"),
    (1j, "1b00000000000000003ff0000000000000"),
    ((-2.5 + 0.5j), "1bc0040000000000003fe0000000000000"),
    ("", "0801"),
    ("a", "080a61"),
    ("abcd", "080d61626364"),
    ("abcde", "080e056162636465"),
    ("é", "080bc3a9"),
    ("日本", "080e06e697a5e69cac"),
    ("xxx", "080c787878"),
    (b"\x00", "0a00"),
    (b"abcd", "0d61626364"),
    (b"abcde", "0e056162636465"),
    (slice(None), "1912000000"),
    (slice(1, -1, 2), "1912514f52"),
    (frozenset(), "1a02"),
    (frozenset({7}), "1a1057"),
    ((1,), "1051"),
    ((1, 2, 3, 4), "1351525354"),
    ((1, 2, 3, 4, 5), "14055152535455"),
    (((((),),),), "10101002"),
    (("a", (b"b", (1.0, None))), "11080a61110a6211183ff000000000000000"),
    ((0, (3, ())), "1150115302"),
    (
        (12, (7, (2, ((3, ("builtins.method", 140406761493184, 140406741308864)), (1, (2, 3)), (1, ()))))),
        "115c1157115212115312080e0f6275696c74696e732e6d6574686f64160f313430343036373631343933313834160f3134303430363734313330383836341151115253115102",
    ),
]
MEMBERS = tuple(range(40))
SIZED: list[Any] = [
    *("x" * size for size in (1, 4, 5, 127, 128, 254, 255, 256, 70_000)),
    *("é" * size for size in (2, 3, 127, 128)),
    *(bytes([165]) * size for size in (1, 4, 5, 127, 128, 255, 256, 70_000)),
    *(MEMBERS[:1] * size for size in (1, 4, 5, 255, 256, 1000)),
    *(sign * 10**digits for sign in (1, -1) for digits in (1, 2, 3, 17, 18, 19, 253, 254, 255, 256, 4200)),
    *((number, 5.5, "name", b"data") for number in range(-60, 170)),
    (frozenset(), slice("a", b"b", (1, 2)), 2.5 - 1j, None, ..., NotImplemented, True, False),
]


class Color(enum.IntEnum):
    RED = 1


class Pair(NamedTuple):
    a: int
    b: int


class Text(str):
    __slots__ = ()


def same(a: Any, b: Any) -> bool:
    """Tell whether two values are equal to the bit; -0.0 and True are not 0.0 and 1."""
    return repr(a) == repr(b) and type(a) is type(b)


def refused(data: bytes, why: str, **limits: int) -> None:
    with pytest.raises(RemoteProtocolError, match=why) as caught:
        brine.load(data, **limits)
    assert caught.value.code == PARSE_ERROR


@pytest.mark.parametrize(("value", "text"), GOLDEN)
def test_encoding_is_that_of_the_original(value: Any, text: str) -> None:
    data = bytes.fromhex(text)
    assert brine.dump(value) == data
    assert same(brine.load(data), value)
    assert original.dump(value) == data
    for end in range(len(data)):
        refused(data[:end], "in the middle of a value|not UTF-8|digits were expected")
    refused(data + b"P", "goes on for 1 bytes behind the value")


@pytest.mark.parametrize("value", SIZED, ids=range(len(SIZED)))
def test_every_length_has_the_form_of_the_original(value: Any) -> None:
    data = original.dump(value)
    assert brine.dump(value) == data
    assert brine.load(data) == value
    assert brine.dumpable(value)


def test_frozensets_go_both_ways() -> None:
    value = frozenset({"a", 1, (2, b"c"), None})
    assert original.load(brine.dump(value)) == value
    assert brine.load(original.dump(value)) == value


def test_not_a_number_keeps_its_bits() -> None:
    data = b"\x18" + struct.pack("!Q", 0x7FF8_0000_0000_1234)
    assert brine.dump(brine.load(data)) == data


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"\x0e\x00", b""),
        (b"\x0e\x01a", b"a"),
        (b"\x0f\0\0\0\x01a", b"a"),
        (b"\x08\x0e\x01a", "a"),
        (b"\x08\x0f\0\0\0\x01a", "a"),
        (b"\x14\x00", ()),
        (b"\x14\x02QR", (1, 2)),
        (b"\x15\0\0\0\x03QRS", (1, 2, 3)),
        (b"\x16\x01\x35", 5),
        (b"\x16\x03007", 7),
        (b"\x17\0\0\0\x02-5", -5),
        (b"\x19\x14\x03PQR", slice(0, 1, 2)),
        (b"\x1a\x12QQR", frozenset({1, 2})),
    ],
)
def test_forms_that_the_original_would_not_choose_are_read(data: bytes, value: Any) -> None:
    assert same(brine.load(data), value)
    assert same(brine.load(b"\x10" + data), (value,))
    assert same(brine.load(b"\x14\x07" + data * 7), (value,) * 7)
    assert original.load(data) == value


@pytest.mark.parametrize("tag", [0x07, 0x09, 0x1C, 0x1D, 0x1E, 0x1F, *range(0xF0, 0x100)])
def test_unassigned_tags_are_refused(tag: int) -> None:
    for data in (bytes([tag]), bytes([0x12, 0x50, tag, 0x50]), bytes([0x14, 5, tag, 0, 0, 0, 0])):
        refused(data, f"no tag 0x{tag:02x}")


@pytest.mark.parametrize(
    "digits", [b"", b"-", b"+1", b" 1", b"1 ", b"1_0", b"--1", b"1-", b"0x1", b"\xb2", b"1.0", b"\0"]
)
def test_integers_are_ascii_digits(digits: bytes) -> None:
    for head in (b"\x16" + bytes([len(digits)]), b"\x17" + struct.pack("!L", len(digits))):
        for before in (b"", b"\x10", b"\x11P", b"\x12PP", b"\x12P", b"\x14\x01"):
            after = b"P" if before == b"\x12P" else b""
            refused(before + head + digits + after, "decimal digits were expected")


@pytest.mark.parametrize("text", [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xc0\x80", b"abcd\xf5\x80\x80\x80"])
def test_text_is_utf8(text: bytes) -> None:
    for form in (brine.dump(text), b"\x0f" + struct.pack("!L", len(text)) + text):
        refused(b"\x08" + form, "not UTF-8")
        refused(b"\x14\x01\x08" + form, "not UTF-8")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x08P", "where bytes were expected"),
        (b"\x08\x08\x01", "where bytes were expected"),
        (b"\x19\x11PP", "a slice of 2 parts"),
        (b"\x19P", "not a tuple"),
        (b"\x1aP", "not a tuple"),
        (b"\x1a\x1a\x02", "not a tuple"),
        (b"", "in the middle"),
    ],
)
def test_structures_are_checked(data: bytes, why: str) -> None:
    refused(data, why)


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="slices have a hash")
def test_a_slice_is_in_no_frozenset() -> None:
    refused(b"\x1a\x10" + brine.dump(slice(1)), "cannot be in one")


def test_depth_is_limited_without_recursion() -> None:
    assert brine.load(b"\x10" * 100 + b"P") is not None
    refused(b"\x10" * 101 + b"P", "deeper")
    refused(b"\x10" * 3 + b"P", "deeper", max_depth=2)
    refused(b"\x14\x01" * 3 + b"P", "deeper", max_depth=2)
    for opening in (
        b"\x10",
        b"\x11P",
        b"\x12PP",
        b"\x13PPP",
        b"\x14\x01",
        b"\x15\0\0\0\x01",
        b"\x1a\x10",
        b"\x19\x12PP",
    ):
        refused(opening * 100_000, "deeper")
    for opening in (b"\x08", b"\x19", b"\x1a"):
        refused(opening * 100_000, "behind it")


def test_a_full_stack_is_no_crash() -> None:
    deep = b"\x10" * 90 + b"P"

    def down(left: int) -> Any:
        return down(left - 1) if left else brine.load(deep)

    with pytest.raises((RemoteProtocolError, RecursionError)):
        for left in range(sys.getrecursionlimit()):
            try:
                down(left)
            except RecursionError:
                continue  # the stack was full before the codec was there


def test_counts_and_lengths_are_bounded_by_what_is_there() -> None:
    for head in (
        b"\x15\xff\xff\xff\xff",
        b"\x0f\xff\xff\xff\xff",
        b"\x17\xff\xff\xff\xff",
        b"\x08\x0f\xff\xff\xff\xff",
    ):
        refused(head, "in the middle|decimal")
        refused(head + b"5" * 100, "in the middle")
    refused(b"\x14\xff" + b"P" * 254, "in the middle")


def test_digits_are_limited() -> None:
    assert brine.load(original.dump(10**4299)) == 10**4299
    refused(b"\x17" + struct.pack("!L", 4301) + b"1" * 4301, "more than 4300 digits")
    refused(b"\x17" + struct.pack("!L", 10**6) + b"1" * 10**6, "more than 4300 digits")
    refused(b"\x16\x04" + b"1234", "more than 3 digits", max_digits=3)
    refused(b"\x14\x01\x16\x04" + b"1234", "more than 3 digits", max_digits=3)
    # More than Python itself is set to convert.
    refused(b"\x17" + struct.pack("!L", 10_000) + b"1" * 10_000, "cannot be", max_digits=10_000)


def test_values_are_counted() -> None:
    value = (
        (1, 2),
        ("abc", b"de", "", "x" * 10, 1000, 5.5, 1j),
        slice(1, 2, 3),
        frozenset({1}),
        "y" * 300,
        (None,) * 300,
        10**300,
    )
    count = 1 + 3 + 8 + 5 + 3 + 2 + 301 + 1 + 1  # text and its bytes are two; a slice and its tuple as well
    data = brine.dump(value)
    total = next(limit for limit in range(2000) if _taken(data, limit))
    assert abs(total - count) < 10
    assert brine.load(data, max_items=total) == value
    refused(data, f"more than {total - 1} values", max_items=total - 1)
    refused(b"\x15\0\x20\0\0" + b"\x10\x02" * 2**20, "more than 1000000 values")
    assert brine.load(brine.dump(b"x" * 3_000_000)) == b"x" * 3_000_000


def _taken(data: bytes, limit: int) -> bool:
    try:
        brine.load(data, max_items=limit)
    except RemoteProtocolError:
        return False
    return True


def test_members_of_a_frozenset_may_not_collide() -> None:
    modulus = sys.hash_info.modulus
    refused(brine.dump(tuple(number * modulus for number in range(3000))).join((b"\x1a", b"")), "collide")
    fair = frozenset(range(3000))
    assert brine.load(brine.dump(fair)) == fair


@pytest.mark.parametrize(
    "value", [[], {}, set(), bytearray(), object(), Color.RED, Pair(1, 2), Text("a"), int, range(3), pickle]
)
def test_other_types_do_not_travel(value: Any) -> None:
    for whole, path in (
        (value, "value"),
        ((1, (2, value)), r"value\[1\]\[1\]"),
        ((1, 2, 3, 4, 5, value), r"value\[5\]"),
        (slice(None, value), r"value\.stop"),
        (slice((value,)), r"value\.stop\[0\]"),
    ):
        assert not brine.dumpable(whole)
        assert not original.dumpable(whole)
        with pytest.raises(LocalProtocolError, match=f"^{path}: .* does not travel by value"):
            brine.dump(whole)
    assert not brine.dumpable(frozenset({1, Pair}))
    with pytest.raises(LocalProtocolError, match=r"builtins\.type does not travel"):
        brine.dump(frozenset({1, Pair}))


@pytest.mark.parametrize("value", [value for value, _ in GOLDEN])
def test_dumpable_agrees_with_the_original(value: Any) -> None:
    assert brine.dumpable(value)
    assert brine.dumpable((value, (value,)))
    assert original.dumpable(value)


def test_what_python_cannot_write_is_our_own_fault() -> None:
    with pytest.raises(LocalProtocolError, match="lone surrogate"):
        brine.dump(("a", "\ud800"))
    with pytest.raises(LocalProtocolError, match="integer is too long"):
        brine.dump((10**5000,))
    deep: Any = ()
    for _ in range(100_000):
        deep = (deep,)
    with pytest.raises(LocalProtocolError, match="nested deeper"):
        brine.dump(deep)
    assert brine.dumpable(deep)


def test_an_encoded_value_stands_for_itself() -> None:
    pack = ("builtins.list", 140406761550656, 140406741612992)
    ready = Encoded(pack)
    assert brine.dumpable((ready, 1))
    assert brine.dump((3, ready)) == brine.dump((3, pack))
    assert brine.dump(ready) == brine.dump(pack)
    assert repr(ready) == f"Encoded({pack!r})"
    with pytest.raises(LocalProtocolError):
        Encoded([])


@pytest.mark.parametrize("large", [b"\xa5" * 40_000, "a" * 40_000, "é" * 40_000, b"b" * 32_768, "c" * 32_768])
def test_large_content_is_encoded_the_same_way(large: Any) -> None:
    for value in (
        large,
        (1, (1, large)),
        (1, 2, 3, 4, 5, "short", large, large, 10**300, b"", ()),
        (large,) * 300,
        frozenset({large}),
        slice(None, (large, True), 2.5),
    ):
        assert brine.dump(value) == original.dump(value)
        assert brine.dump((7, Encoded(value))) == original.dump((7, value))
        assert brine.load(brine.dump(value)) == value
    with pytest.raises(LocalProtocolError, match=r"^value\[1\]: builtins.list does not travel"):
        brine.dump((large, []))
    with pytest.raises(LocalProtocolError, match="lone surrogate"):
        brine.dump((large, "\udc80" * 40_000))
