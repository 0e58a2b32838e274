"""Calls of an object with values, and answers that are values, as nearly all messages are: in one go, without boxed forms in between.

It speaks the newer dialect, without thread ids, in short messages: where a `MessageCodec` says that it is `flat`. It only accepts: whatever is
of another form, or wrong, is left to the long way, `MessageCodec.decode` and `encode_*`, which has the words for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeVar

from anycore.wire._brine_decode import FAILURES, LOADERS, MISSING, ONE_BYTE
from anycore.wire._brine_encode import ENCODERS, INTEGERS, UNENCODABLE, Encoded, encode_tuple
from anycore.wire.rpyc_constants import COMPRESS_ABOVE

T = TypeVar("T")

# What stands between the number of a request and its arguments: (CALL, (TUPLE, (the object, (VALUE, arguments), no keywords))).
_LEAD: Final = "\x11\x57\x11\x52\x12"
_LOCAL: Final = "\x11\x53"
_ARGUMENTS: Final = "\x11\x51"
_NO_KEYWORDS: Final = b"\x11\x51\x02"
_MANY: Final = 160  # numbers below are one byte, and for those above a table has to be asked that makes them
_AT_NAME: Final = 10  # from the lead to the length of the name in the object's id pack
LONGEST: Final = COMPRESS_ABOVE
"""Bytes of a payload that is looked at here; longer ones may have to be compressed."""
_CHARS: Final = tuple(map(chr, range(256)))


def call_key(reference: Encoded) -> bytes:
    """Return by what `flat_call` knows an object.

    Args:
        reference: What the peer was sent for it: label and id pack.
    """
    return f"{_LEAD}{_LOCAL}{reference.text[2:]}{_ARGUMENTS}".encode("latin-1")


def flat_call(payload: bytes, known: Mapping[bytes, T], max_depth: int, max_digits: int) -> tuple[int, T, Any] | None:
    """Decode the call of a known object with values and without named arguments.

    Args:
        payload: A message that begins with the byte of a request.
        known: Objects by `call_key`.
        max_depth: How deep tuples may nest in the message.
        max_digits: How many digits an integer may have.

    Returns:
        The number of the request, the object, and what should be a tuple of arguments; None for everything else.
    """
    if len(payload) > LONGEST:
        return None
    try:
        tag = payload[2]
        if tag == 0x16:
            at = 4 + payload[3]
            digits = payload[4:at]
            if not digits.isdigit():
                return None
            seq = int(digits)
        elif 0x50 <= tag < 0xF0:
            at = 3
            seq = tag - 0x50
        else:
            return None
        end = at + _AT_NAME + 1 + payload[at + _AT_NAME]
        end += payload[end + 1] + 2 if payload[end] == 0x16 else 1
        end += payload[end + 1] + 4 if payload[end] == 0x16 else 3
        target = known.get(payload[at:end])
        if target is None or payload[1] != 0x11:
            return None
        args, end = LOADERS[payload[end]](payload, end + 1, max_depth - 1, max_digits)
    except FAILURES:
        return None
    return (seq, target, args) if payload[end:] == _NO_KEYWORDS else None


def flat_answer(payload: bytes, max_depth: int, max_digits: int) -> tuple[int, Any] | None:
    """Decode an answer that is a value.

    Args:
        payload: A message that begins with the byte of a reply.
        max_depth: As for `flat_call`.
        max_digits: As for `flat_call`.

    Returns:
        The number of the request and the value; None for everything else.
    """
    if len(payload) > LONGEST:
        return None
    try:
        tag = payload[2]
        if tag == 0x16:
            at = 4 + payload[3]
            digits = payload[4:at]
            if not digits.isdigit():
                return None
            seq = int(digits)
        elif 0x50 <= tag < 0xF0:
            at = 3
            seq = tag - 0x50
        else:
            return None
        if payload[1] != 0x11 or payload[at] != 0x11 or payload[at + 1] != 0x51:
            return None
        tag = payload[at + 2]
        at += 3
        value = ONE_BYTE[tag]
        if value is MISSING:
            value, at = LOADERS[tag](payload, at, max_depth - 1, max_digits)
    except FAILURES:
        return None
    return (seq, value) if at == len(payload) else None


def encode_flat_call(seq: int, reference: Encoded, args: tuple[Any, ...]) -> bytes | None:
    """Encode the call of an object of the peer with values into a frame.

    Args:
        seq: The number of the request.
        reference: Label and id pack of the object.
        args: The arguments.

    Returns:
        None where there is an argument that does not travel by value, or much of it.
    """
    try:
        content = encode_tuple(args)
    except UNENCODABLE:
        return None
    number = INTEGERS[seq] if seq < _MANY else f"\x16{_CHARS[len(digits := str(seq))]}{digits}"
    text = f"\x01\x11{number}{_LEAD}{reference.text}{_ARGUMENTS}{content}\x11\x51\x02"
    size = len(text)
    return f"\0\0{_CHARS[size >> 8]}{_CHARS[size & 255]}\0{text}\n".encode("latin-1") if size <= LONGEST else None


def encode_flat_answer(seq: int, value: Any) -> bytes | None:
    """Encode an answer that is a value into a frame; otherwise as `encode_flat_call`."""
    try:
        content = ENCODERS[type(value)](value)
    except UNENCODABLE:
        return None
    number = INTEGERS[seq] if seq < _MANY else f"\x16{_CHARS[len(digits := str(seq))]}{digits}"
    text = f"\x02\x11{number}\x11\x51{content}"
    size = len(text)
    return f"\0\0{_CHARS[size >> 8]}{_CHARS[size & 255]}\0{text}\n".encode("latin-1") if size <= LONGEST else None
