"""The tag bytes of brine, which both directions share. No code but the table of one-byte values.

Source: the encoding of RPyC 4.1 to 6.0 as seen on the wire. A value is a tag byte and what the tag calls for; 0x07, 0x09,
0x1C to 0x1F and 0xF0 to 0xFF are unassigned.
"""

from __future__ import annotations

from typing import Any, Final

NONE: Final = 0x00
EMPTY_BYTES: Final = 0x01
EMPTY_TUPLE: Final = 0x02
TRUE: Final = 0x03
FALSE: Final = 0x04
NOT_IMPLEMENTED: Final = 0x05
ELLIPSIS: Final = 0x06
TEXT: Final = 0x08  # a bytes value follows, in UTF-8
BYTES_1: Final = 0x0A  # to 0x0D: that many bytes, 1 to 4
BYTES_L1: Final = 0x0E  # length in one byte
BYTES_L4: Final = 0x0F  # length in four bytes, big-endian, as in all L4 forms
TUPLE_1: Final = 0x10  # to 0x13: that many items, 1 to 4
TUPLE_L1: Final = 0x14
TUPLE_L4: Final = 0x15
INT_L1: Final = 0x16  # decimal digits in ASCII
INT_L4: Final = 0x17
FLOAT: Final = 0x18  # a big-endian IEEE 754 double
SLICE: Final = 0x19  # a tuple value of three follows
FROZENSET: Final = 0x1A  # a tuple value follows
COMPLEX: Final = 0x1B  # two doubles
SMALL_INT: Final = 0x50  # this is 0; the integers from -48 to 159 are one byte, 0x20 to 0xEF

SMALL_INTS: Final = range(-0x30, 0xA0)

# What is whole with its tag.
WHOLE: Final[dict[int, Any]] = {
    NONE: None,
    EMPTY_BYTES: b"",
    EMPTY_TUPLE: (),
    TRUE: True,
    FALSE: False,
    NOT_IMPLEMENTED: NotImplemented,
    ELLIPSIS: ...,
} | {SMALL_INT + number: number for number in SMALL_INTS}
