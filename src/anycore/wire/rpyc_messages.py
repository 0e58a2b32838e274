"""RPyC's messages: kind, sequence number and content, in each of the dialects. What to do about them is not decided here.

Source: RPyC 4.1 to 6.0 as seen on the wire. The first byte of a payload tells the dialect:

    first byte   dialect                    payload
    01, 02, 03   6.0 and later              the kind, then brine of (seq, content)
    12           4.1 to 5.3                 brine of (kind, seq, content)
    00           either, with bind_threads  sender's and receiver's thread id, 8 bytes each, then as above

The content of a request is (handler, boxed arguments), of a reply the boxed result, of an exception its dump. Thread ids
are addresses or small numbers, so their first byte is 0; where it is not, both ends have to be told of bind_threads.
"""

from __future__ import annotations

from struct import Struct
from struct import error as StructError  # noqa: N812 - the name of an exception
from typing import Any, Final

import msgspec

from anycore.wire._brine_decode import (
    FAILURES,
    LOADERS,
    MISSING,
    ONE_BYTE,
    check_items,
    load,
    load_tuple_3,
    refusal,
    wrong_end,
)
from anycore.wire._brine_encode import INTEGERS, LargeContent, dump_parts, dump_text
from anycore.wire.errors import LocalProtocolError, RemoteProtocolError
from anycore.wire.faults import PARSE_ERROR
from anycore.wire.rpyc_constants import (
    COMPRESS_ABOVE,
    COMPRESSION_LEVEL,
    DIALECT_5,
    DIALECT_6,
    EXCEPTION,
    LOCAL_REF,
    MAX_DEPTH,
    MAX_DIGITS,
    MAX_ITEMS,
    REPLY,
    REQUEST,
    TUPLE,
    VALUE,
)
from anycore.wire.rpyc_flat import LONGEST
from anycore.wire.rpyc_frames import encode_frame, join_frame

_CHARS: Final = tuple(map(chr, range(256)))
_KINDS: Final = (REQUEST, REPLY, EXCEPTION)
_THREADS: Final = Struct("!QQ")
_THREADS_SIZE: Final = _THREADS.size
_MANY: Final = 160  # numbers below are one byte, and those up to the next have a length of one byte
_HUGE: Final = 10**255
_LONGEST_NUMBER: Final = 255  # digits of an integer whose length is said in one byte
_SHORT: Final = 65536  # bytes; the length of such payloads has two bytes that matter

# How a payload begins, up to its sequence number, by dialect.
_HEADS: Final = {
    DIALECT_6: {bytes((kind, 0x11)): kind for kind in _KINDS},
    DIALECT_5: {bytes((0x12, 0x50 + kind)): kind for kind in _KINDS},
}
_PREFIXES: Final = {
    dialect: {kind: head.decode("latin-1") for head, kind in heads.items()} for dialect, heads in _HEADS.items()
}
_DIALECTS: Final = {head[0]: dialect for dialect, heads in _HEADS.items() for head in heads}
_UNSETTLED: Final[dict[bytes, int]] = {}

# How nearly all requests go on: a pair of handler and arguments, those boxed as a tuple whose first item is a reference
# to an object of ours, its id pack beginning with a name of more than four bytes. Behind the name's length stand the
# name and the ids. Value: handler, number of further arguments.
_TARGETED: Final = {
    bytes((0x11, 0x50 + handler, 0x11, 0x50 + TUPLE, 0x0F + count, 0x11, 0x50 + LOCAL_REF, 0x12, 0x08, 0x0E)): (
        handler,
        count - 1,
    )
    for handler in range(1, 21)
    for count in range(1, 5)
}
_TARGETED_SIZE: Final = 10
_NO_KEYWORDS: Final = b"\x11\x51\x02"  # how nearly all calls end: the empty tuple, by value
# References to objects of ours come again and again, and are not decoded again: how many are remembered on a connection,
# and up to how many bytes.
_TARGETS: Final = 128
_TARGET_SIZE: Final = 160


class Message(msgspec.Struct, gc=False):
    """One message.

    Args:
        kind: REQUEST, REPLY or EXCEPTION.
        seq: The number of the request; a reply and an exception repeat that of the request they answer.
        args: Of a request the pair of handler number and boxed arguments, of a reply the boxed result, of an exception its
            dump. The pair is checked, what is boxed is not.
        sender: The sending thread, with bind_threads; else 0.
        receiver: The thread it is meant for, with bind_threads; else 0, as when it is meant for any.
    """

    kind: int
    seq: int
    args: Any
    sender: int = 0
    receiver: int = 0


class MessageCodec:
    """The messages of one connection, both ways; `decode` takes payloads, `encode_*` return whole frames.

    Args:
        dialect: DIALECT_5 or DIALECT_6; None to speak as the peer does once it has spoken, and DIALECT_6 before.
        bind_threads: Whether messages carry thread ids; None to do as the peer does once it has spoken, and not before.
        compress_above: As `encode_frame` has it.
        level: As `encode_frame` has it.
        max_depth: How deep tuples may nest in a message of the peer.
        max_items: How many values there may be in one.
        max_digits: How many digits an integer may have in one.

    Attributes:
        dialect: As above; no longer None once the peer has spoken.
        bind_threads: As above; no longer None once the peer has spoken.
        max_depth: As above.
        max_digits: As above.
        flat: Whether short messages may go the shorter way, by `rpyc_flat`.
    """

    __slots__ = ("_compress_above", "_head_texts", "_heads", "_level", "_max_items", "_short", "_start", "_targets",
                 "bind_threads", "dialect", "flat", "max_depth", "max_digits")  # fmt: skip

    def __init__(
        self,
        dialect: int | None = None,
        bind_threads: bool | None = None,
        *,
        compress_above: int | None = COMPRESS_ABOVE,
        level: int = COMPRESSION_LEVEL,
        max_depth: int = MAX_DEPTH,
        max_items: int = MAX_ITEMS,
        max_digits: int = MAX_DIGITS,
    ) -> None:
        if dialect not in (None, DIALECT_5, DIALECT_6):
            raise LocalProtocolError(f"there is no dialect {dialect!r}; {DIALECT_5}, {DIALECT_6} and None are known")
        self.dialect = dialect
        self.bind_threads = bind_threads
        self._compress_above = compress_above
        self._level = level
        self.max_depth = max_depth
        self._max_items = max_items
        self.max_digits = max_digits
        self._short = _SHORT if compress_above is None else min(_SHORT, compress_above + 1)
        self._targets: dict[bytes, Any] = {}
        self._settle()

    def decode(self, payload: bytes) -> Message:
        """Decode a message of the peer.

        Raises:
            RemoteProtocolError: It is none, is over a limit, or is of another dialect than the ones before.
        """
        size = len(payload)
        start = self._start
        kind = self._heads.get(payload[start : start + 2])
        if kind is None:
            return self._decode_unusual(payload)
        position = start + 3
        digits = self.max_digits
        try:
            if size > self._max_items:
                check_items(payload, position - 1, self._max_items)
            tag = payload[position - 1]
            seq = ONE_BYTE[tag]
            if seq is MISSING:
                seq, position = LOADERS[tag](payload, position, 0, digits)
            if kind == 1:
                args, position = self._decode_request(payload, position)
            else:
                args, position = LOADERS[payload[position]](payload, position + 1, self.max_depth, digits)
        except FAILURES as error:
            raise refusal(error, size) from error
        if position != size:
            raise wrong_end(position, size)
        if type(seq) is not int:
            raise _no_message(f"a sequence number of the type {type(seq).__name__}; an integer was expected")
        if start:
            return Message(kind, seq, args, *_THREADS.unpack_from(payload))
        return Message(kind, seq, args)

    def encode_request(self, seq: int, handler: int, boxed_args: Any, sender: int = 0, receiver: int = 0) -> bytes:
        """Encode a request into a frame.

        Args:
            seq: Its number.
            handler: What is asked for.
            boxed_args: Label and content; may contain `brine.Encoded`, as may all that is encoded here.
            sender: This thread, where bind_threads is on.
            receiver: The peer's thread to which this one is bound; 0 for none.

        Raises:
            LocalProtocolError: The arguments are not brinable.
        """
        return self._frame(REQUEST, seq, f"\x11{INTEGERS[handler]}", boxed_args, sender, receiver)

    def encode_reply(self, seq: int, boxed: Any, sender: int = 0, receiver: int = 0) -> bytes:
        """Encode a reply into a frame: the number of the request, and label and content of its result.

        Raises:
            LocalProtocolError: The result is not brinable.
        """
        return self._frame(REPLY, seq, "", boxed, sender, receiver)

    def encode_exception(self, seq: int, dump: Any, sender: int = 0, receiver: int = 0) -> bytes:
        """Encode an exception into a frame: the number of the request, and what to raise for it.

        Raises:
            LocalProtocolError: The dump is not brinable.
        """
        return self._frame(EXCEPTION, seq, "", dump, sender, receiver)

    def _frame(self, kind: int, seq: int, lead: str, content: Any, sender: int, receiver: int) -> bytes:
        number = f"\x16{_CHARS[len(digits := str(seq))]}{digits}" if _MANY <= seq < _HUGE else INTEGERS[seq]
        lead = f"{self._head_texts[kind]}{number}{lead}"
        if self._start:
            lead = f"{_thread_text(sender, receiver)}{lead}"
        try:
            text = f"{lead}{dump_text(content)}"
        except LargeContent:
            parts = [lead.encode("latin-1"), *dump_parts(content)]
            return join_frame(parts, compress_above=self._compress_above, level=self._level)
        size = len(text)
        if size < self._short:
            return f"\0\0{_CHARS[size >> 8]}{_CHARS[size & 255]}\0{text}\n".encode("latin-1")
        return encode_frame(text.encode("latin-1"), compress_above=self._compress_above, level=self._level)

    def _settle(self) -> None:
        """Derive what the hot paths need from the dialect, as far as that is known."""
        dialect = self.dialect
        settled = dialect is not None and self.bind_threads is not None
        self._heads = _HEADS[dialect] if settled and dialect is not None else _UNSETTLED
        self._head_texts = _PREFIXES[dialect or DIALECT_6]
        self._start = _THREADS_SIZE if self.bind_threads else 0
        roomy = self._max_items >= LONGEST and self.max_digits >= _LONGEST_NUMBER
        self.flat = settled and dialect == DIALECT_6 and not self._start and roomy and self._short > LONGEST

    def _decode_request(self, payload: bytes, position: int) -> tuple[Any, int]:
        depth, digits = self.max_depth, self.max_digits
        target = _TARGETED.get(payload[position : position + _TARGETED_SIZE])
        if target is None:
            args, position = LOADERS[payload[position]](payload, position + 1, depth, digits)
            return _checked(args), position
        handler, further = target
        reference, position = self._decode_target(payload, position + _TARGETED_SIZE - 2)
        if further == 2:
            a, position = LOADERS[payload[position]](payload, position + 1, depth, digits)
            if payload[position:] == _NO_KEYWORDS:
                return (handler, (TUPLE, (reference, a, (VALUE, ())))), position + 3
            b, position = LOADERS[payload[position]](payload, position + 1, depth, digits)
            return (handler, (TUPLE, (reference, a, b))), position
        boxed = [reference]
        for _ in range(further):
            item, position = LOADERS[payload[position]](payload, position + 1, depth, digits)
            boxed.append(item)
        return (handler, (TUPLE, tuple(boxed))), position

    def _decode_target(self, payload: bytes, start: int) -> tuple[Any, int]:
        """Decode an id pack, from the name on, into a boxed reference to an object of this side."""
        # Where it ends: behind two integers of one byte or with a length. If it is an unusual one the guess is wrong,
        # and it is not remembered.
        end = start + 3 + payload[start + 2]
        end += payload[end + 1] + 2 if payload[end] == 0x16 else 1
        end += payload[end + 1] + 2 if payload[end] == 0x16 else 1
        known = self._targets
        reference = known.get(payload[start:end])
        if reference is not None:
            return reference, end
        pack, position = load_tuple_3(payload, start, self.max_depth, self.max_digits)
        reference = (LOCAL_REF, pack)
        if position == end and end - start <= _TARGET_SIZE:
            if len(known) >= _TARGETS:
                known.clear()
            known[payload[start:end]] = reference
        return reference, position

    def _decode_unusual(self, payload: bytes) -> Message:
        """Decode the first message, or one that is written in a way that RPyC does not."""
        if self._heads is _UNSETTLED:
            self._detect(payload)
            return self.decode(payload)
        start = self._start
        first = _first_byte(payload, start)
        if _DIALECTS.get(first, self.dialect) != self.dialect:
            raise _other_dialect(_DIALECTS[first], self.dialect)
        parts: tuple[Any, ...] = ()
        if self.dialect == DIALECT_6:
            parts = (first,)
            start += 1
        content = load(
            payload[start:], max_depth=self.max_depth + 1, max_items=self._max_items, max_digits=self.max_digits
        )
        if type(content) is tuple:
            parts += content
        if len(parts) != 3 or type(parts[0]) is not int or type(parts[1]) is not int or parts[0] not in _KINDS:
            raise _no_message(f"{payload[:20]!r}...; kind (1 to 3), sequence number and content were expected")
        args = _checked(parts[2]) if parts[0] == REQUEST else parts[2]
        threads = _THREADS.unpack_from(payload) if self._start else (0, 0)
        return Message(parts[0], parts[1], args, *threads)

    def _detect(self, payload: bytes) -> None:
        """Settle from the peer's first message what was left open."""
        bound = self.bind_threads
        if bound is None:
            bound = _first_byte(payload, 0) == 0
        first = _first_byte(payload, _THREADS_SIZE if bound else 0)
        if first not in _DIALECTS:
            raise _no_message(f"the first byte 0x{first:02x}; RPyC 4.1 or later begins with 0x01 to 0x03 or 0x12")
        dialect = _DIALECTS[first]
        if self.dialect not in (None, dialect):
            raise _other_dialect(dialect, self.dialect)
        self.dialect = dialect
        self.bind_threads = bound
        self._settle()


def _thread_text(sender: int, receiver: int) -> str:
    try:
        return _THREADS.pack(sender, receiver).decode("latin-1")
    except StructError as error:
        raise LocalProtocolError(f"thread ids {sender!r} and {receiver!r}: 64 bits without a sign go") from error


def _first_byte(payload: bytes, start: int) -> int:
    if len(payload) <= start:
        raise _no_message(f"{len(payload)} bytes are too few for one")
    return payload[start]


def _checked(args: Any) -> Any:
    if type(args) is not tuple or len(args) != 2 or type(args[0]) is not int:
        raise _no_message("the content of a request is no pair of handler number and arguments")
    return args


def _other_dialect(dialect: int, expected: int | None) -> RemoteProtocolError:
    return _no_message(f"one of RPyC {dialect}.x, on a connection on which {expected}.x is spoken")


def _no_message(reason: str) -> RemoteProtocolError:
    return RemoteProtocolError(f"not an RPyC message: {reason}", PARSE_ERROR)
