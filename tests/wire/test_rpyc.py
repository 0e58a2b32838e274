"""RPyC's frames and messages: recorded conversations of all dialects, every split, limits, and the original's channel."""

from __future__ import annotations

import socket
import struct
import tracemalloc
import zlib
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from rpyc.core.channel import Channel
from rpyc.core.stream import SocketStream

from anycore.wire import brine
from anycore.wire import rpyc_constants as const
from anycore.wire.errors import LocalProtocolError, RemoteProtocolError
from anycore.wire.faults import PARSE_ERROR
from anycore.wire.rpyc import FrameDecoder, Message, MessageCodec, encode_frame
from anycore.wire.rpyc_constants import EXCEPTION, GETROOT, PING, REPLY, REQUEST

SERVICE = ("__main__.S", 94034649280816, 140631793931152)
METHOD = ("builtins.method", 140631813165760, 140631793934720)
FIVE_SERVICE = ("__main__.S", 94128338928768, 139907674806992)
BOUND_SERVICE = ("__main__.S", 94754807257904, 140115341120464)
CLIENT, SERVER = 0x7F6F2684EB80, 0x7F6F1FFFF6C0

# Frames between a client and a server of rpyc 6.0.2 and of 5.3.1.
SIX = [
    ("0000000c000111501151115110080b68690a", Message(REQUEST, 0, (PING, (1, ("hi",))))),
    ("00000009000211501151080b68690a", Message(REPLY, 0, (1, "hi"))),
    ("000000080001115111531151020a", Message(REQUEST, 1, (GETROOT, (1, ())))),
    (
        (
            "0000003400021151115412080e0a5f5f6d61696e5f5f2e53160e39343033343634393238303831"
            "36160f3134303633313739333933313135320a"
        ),
        Message(REPLY, 1, (4, SERVICE)),
    ),
    (
        (
            "0000003700011152116011511012080e0a5f5f6d61696e5f5f2e53160e39343033343634393238"
            "30383136160f3134303633313739333933313135320a"
        ),
        Message(REQUEST, 2, (16, (1, (SERVICE,)))),
    ),
    (
        (
            "00000040000111531154115211115312080e0a5f5f6d61696e5f5f2e53160e3934303334363439"
            "323830383136160f3134303633313739333933313135321151080c6164640a"
        ),
        Message(REQUEST, 3, (4, (2, ((3, SERVICE), (1, "add"))))),
    ),
    (
        (
            "00000047000111541157115212115312080e0f6275696c74696e732e6d6574686f64160f313430"
            "363331383133313635373630160f31343036333137393339333437323011511152531151020a"
        ),
        Message(REQUEST, 4, (7, (2, ((3, METHOD), (1, (2, 3)), (1, ()))))),
    ),
    ("00000006000211541151550a", Message(REPLY, 4, (1, 5))),
    ("0000000400031156510a", Message(EXCEPTION, 6, const.STOP_ITERATION)),
]
FIVE = [
    ("0000000c001251501151115110080b68690a", Message(REQUEST, 0, (PING, (1, ("hi",))))),
    ("00000009001252501151080b68690a", Message(REPLY, 0, (1, "hi"))),
    ("000000080012515111531151020a", Message(REQUEST, 1, (GETROOT, (1, ())))),
    (
        (
            "00000040001251531154115211115312080e0a5f5f6d61696e5f5f2e53160e3934313238333338"
            "393238373638160f3133393930373637343830363939321151080c6164640a"
        ),
        Message(REQUEST, 3, (4, (2, ((3, FIVE_SERVICE), (1, "add"))))),
    ),
    ("0000000400125356510a", Message(EXCEPTION, 6, 1)),
]
SIX_BOUND = [
    (
        "0000001c0000007f6f2684eb8000000000000000000111501151115110080b68690a",
        Message(REQUEST, 0, (PING, (1, ("hi",))), CLIENT, 0),
    ),
    (
        "000000190000007f6f1ffff6c000007f6f2684eb800211501151080b68690a",
        Message(REPLY, 0, (1, "hi"), SERVER, CLIENT),
    ),
    (
        (
            "000000500000007f6f2684eb8000000000000000000111531154115211115312080e0a5f5f6d61"
            "696e5f5f2e53160e3934373534383037323537393034160f3134303131353334313132303436341151080c6164640a"
        ),
        Message(REQUEST, 3, (4, (2, ((3, BOUND_SERVICE), (1, "add")))), CLIENT, 0),
    ),
    ("000000140000007f6f1ffff6c000007f6f2684eb80031156510a", Message(EXCEPTION, 6, 1, SERVER, CLIENT)),
]
FIVE_BOUND = [
    (
        "0000001c0000007f5567c63b8000000000000000001251501151115110080b68690a",
        Message(REQUEST, 0, (PING, (1, ("hi",))), 0x7F5567C63B80, 0),
    ),
    (
        "000000140000007f55655fd6c000007f5567c63b80125356510a",
        Message(EXCEPTION, 6, 1, 0x7F55655FD6C0, 0x7F5567C63B80),
    ),
]
DIALECTS = [(6, False, SIX), (5, False, FIVE), (6, True, SIX_BOUND), (5, True, FIVE_BOUND)]


def frames_of(*pieces: bytes, **limits: int) -> tuple[list[bytes], RemoteProtocolError | None]:
    decoder = FrameDecoder(**limits)
    payloads = [payload for piece in pieces for payload in decoder.feed(piece)]
    return payloads, decoder.error


def encoded(codec: MessageCodec, message: Message) -> bytes:
    threads = (message.sender, message.receiver)
    if message.kind == REQUEST:
        handler, boxed = message.args
        return codec.encode_request(message.seq, handler, boxed, *threads)
    encode = codec.encode_reply if message.kind == REPLY else codec.encode_exception
    return encode(message.seq, message.args, *threads)


def refused(codec: MessageCodec, payload: bytes, why: str | None = None) -> None:
    with pytest.raises(RemoteProtocolError, match=why) as caught:
        codec.decode(payload)
    assert caught.value.code == PARSE_ERROR


@pytest.mark.parametrize(("dialect", "bound", "frames"), DIALECTS)
def test_recorded_conversations(dialect: int, bound: bool, frames: list[tuple[str, Message]]) -> None:
    detecting = MessageCodec()
    told = MessageCodec(dialect, bound)
    for text, message in frames:
        frame = bytes.fromhex(text)
        (payload,), error = frames_of(frame)
        assert error is None
        for _ in range(2):  # the second time with what was remembered
            assert detecting.decode(payload) == told.decode(payload) == message
        assert encoded(detecting, message) == encoded(told, message) == frame
        for end in range(len(payload)):
            refused(told, payload[:end])
            refused(MessageCodec(), payload[:end])
        refused(told, payload + b"P", "behind the value")
    assert detecting.dialect == dialect
    assert detecting.bind_threads == bound


@pytest.mark.parametrize(("dialect", "bound", "frames"), DIALECTS)
def test_frames_are_the_same_however_they_are_split(
    dialect: int, bound: bool, frames: list[tuple[str, Message]]
) -> None:
    stream = b"".join(bytes.fromhex(text) for text, _ in frames)
    expected = [bytes.fromhex(text)[5:-1] for text, _ in frames]
    chance = Random(dialect)
    assert frames_of(stream) == (expected, None)
    assert frames_of(*(stream[index : index + 1] for index in range(len(stream)))) == (expected, None)
    for _ in range(300):
        edges = sorted(chance.choices(range(len(stream) + 1), k=chance.randint(1, 12)))
        pieces = [stream[a:b] for a, b in zip([0, *edges], [*edges, len(stream)], strict=True)]
        assert frames_of(*pieces) == (expected, None)


def test_mid_frame_and_the_end_of_the_stream() -> None:
    frame = encode_frame(b"hello")
    for end in range(len(frame) + 1):
        decoder = FrameDecoder()
        assert bool(decoder.feed(frame[:end])) == (end == len(frame))
        assert decoder.mid_frame == (0 < end < len(frame))
        if decoder.mid_frame:
            with pytest.raises(RemoteProtocolError, match="in the middle of a frame"):
                decoder.eof()
        else:
            decoder.eof()


def test_the_byte_behind_a_payload_is_not_looked_at() -> None:
    assert frames_of(b"\0\0\0\x01\0aX\0\0\0\x01\0b\n") == ([b"a", b"b"], None)
    assert frames_of(encode_frame(b"")) == ([b""], None)


def test_bad_heads_are_refused_at_once_and_nothing_before_them_is_lost() -> None:
    good = encode_frame(b"good")
    for bad, why in (
        (b"\xff\xff\xff\xff\0", "a frame of 4294967295 bytes"),
        (struct.pack("!LB", 1001, 0), "at most 1000 are taken"),
        (b"\0\0\0\x01\x02", "compression flag 2"),
        (b"GET / HTTP/1.1\r\n", "may not be RPyC"),
    ):
        for pieces in ((good + bad + good,), (good, bad, good), (good + bad[:3], bad[3:], good)):
            payloads, error = frames_of(*pieces, max_frame=1000)
            assert payloads == [b"good"]
            assert error is not None
            assert why in error.message
    decoder = FrameDecoder(max_frame=1000)
    decoder.feed(b"\0\0\0\0\x07")
    assert decoder.error is not None
    assert not decoder.mid_frame
    assert decoder.feed(good) == []


def test_compressed_frames() -> None:
    text = b"abc " * 2000
    frame = encode_frame(text)
    assert frame[4] == 1
    assert len(frame) < 100
    assert frames_of(frame) == ([text], None)
    assert frames_of(*(frame[index : index + 1] for index in range(len(frame)))) == ([text], None)
    assert encode_frame(text, compress_above=None)[5:-1] == text
    assert encode_frame(text, compress_above=8000)[5:-1] == text
    assert encode_frame(text, compress_above=7999, level=9)[4] == 1
    assert encode_frame(text[:3000])[4] == 0
    for size in (3500, 100_000):  # noise, looked at as a whole and in samples
        noise = Random(1).randbytes(size)
        assert encode_frame(noise)[5:-1] == noise


def test_inflation_is_bounded() -> None:
    limit = 10_000
    assert frames_of(encode_frame(bytes(limit)), max_inflated=limit) == ([bytes(limit)], None)
    for size in (limit + 1, 100 << 20):
        bomb = encode_frame(bytes(size), level=9)
        tracemalloc.start()
        try:
            payloads, error = frames_of(bomb, max_inflated=limit)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert payloads == []
        assert error is not None
        assert "decompresses to more than 10000 bytes" in error.message
        assert peak < 2 * len(bomb) + 200_000
    packed = zlib.compress(b"hello")
    for broken in (packed[:-1], packed + b"x", b"", b"hello", packed[:3] + b"\xff" + packed[4:]):
        payloads, error = frames_of(struct.pack("!LB", len(broken), 1) + broken + b"\n")
        assert payloads == []
        assert error is not None
        assert "compressed frame" in error.message


@pytest.mark.parametrize("piece", [1 << 12, 64_000])
def test_a_large_frame_is_copied_in_proportion(piece: int) -> None:
    payload = Random(2).randbytes(16 << 20)
    frame = encode_frame(payload, compress_above=None)
    decoder = FrameDecoder()
    tracemalloc.start()
    try:
        payloads = [
            found for start in range(0, len(frame), piece) for found in decoder.feed(frame[start : start + piece])
        ]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert payloads == [payload]
    assert peak < 3 * len(payload)


def test_dialects_are_told_apart_and_kept() -> None:
    six, five = bytes.fromhex(SIX[0][0])[5:-1], bytes.fromhex(FIVE[0][0])[5:-1]
    codec = MessageCodec()
    assert codec.dialect is None
    assert codec.encode_request(0, GETROOT, (1, ())) == bytes.fromhex("000000080001115011531151020a")  # speaks first
    codec.decode(five)
    assert codec.dialect == 5
    assert codec.encode_reply(0, (1, 5)) == bytes.fromhex("0000000600125250115155" + "0a")
    refused(codec, six, "one of RPyC 6.x, on a connection on which 5.x is spoken")
    refused(MessageCodec(5), six, "one of RPyC 6.x")
    refused(MessageCodec(6), five, "one of RPyC 5.x")
    refused(MessageCodec(6, False), five, "one of RPyC 5.x")
    refused(MessageCodec(), b"\x07", "0x07")
    refused(MessageCodec(), b"", "too few")
    refused(MessageCodec(), bytes(16), "too few")
    refused(MessageCodec(None, False), bytes.fromhex(SIX_BOUND[0][0])[5:-1], "first byte 0x00")
    # Thread ids from above 2**56, where both ends were told.
    odd = struct.pack("!QQ", 1 << 60, 5) + six
    assert MessageCodec(None, True).decode(odd) == Message(REQUEST, 0, (PING, (1, ("hi",))), 1 << 60, 5)
    with pytest.raises(LocalProtocolError, match="no dialect 4"):
        MessageCodec(4)
    with pytest.raises(LocalProtocolError, match="64 bits"):
        MessageCodec(6, True).encode_reply(1, (1, 2), -1, 0)


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b"\x02\x14\x02PQ", Message(REPLY, 0, 1)),
        (b"\x01\x15\0\0\0\x02P\x11QP", Message(REQUEST, 0, (1, 0))),
        (b"\x02\x11\x17\0\0\0\x017Q", Message(REPLY, 7, 1)),
        (b"\x02\x11\x16\x02-7Q", Message(REPLY, -7, 1)),
    ],
)
def test_messages_written_unusually(payload: bytes, message: Message) -> None:
    assert MessageCodec().decode(payload) == message
    five = b"\x14\x03" + bytes([0x50 + payload[0]]) + brine.dump(message.seq) + brine.dump(message.args)
    codec = MessageCodec(5, False)
    assert codec.decode(five) == message
    refused(codec, five + b"P", "behind the value")


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b"\x04\x11PP", "0x04|kind"),
        (b"\x01P", "kind"),
        (b"\x01\x10P", "kind"),
        (b"\x01\x12PPP", "kind"),
        (b"\x01\x14\x02\x08\x01\x11PP", "kind"),
        (b"\x02\x11\x08\x01P", "a sequence number of the type str"),
        (b"\x02\x11\x03P", "a sequence number of the type bool"),
        (b"\x02\x11\x10PP", "deeper"),
        (b"\x01\x11PP", "no pair"),
        (b"\x01\x11P\x12PPP", "no pair"),
        (b"\x01\x11P\x11\x08\x01P", "no pair"),
        (b"\x01\x14\x02PP", "no pair"),
        (b"\x02\x11P" + b"\x10" * 101 + b"P", "deeper"),
        (b"\x02\x11P\x17\0\x0f\x42\x40" + b"1" * 10**6, "digits"),
        (b"\x02\x11P\x15\xff\xff\xff\xff", "in the middle"),
        (b"\x02\x11P" + b"\x15\0\x20\0\0" + b"\x10\x02" * 2**20, "more than 1000000 values"),
        (b"\x02\x11P\x08\x0a\xff", "UTF-8"),
    ],
)
def test_what_is_no_message_is_refused(payload: bytes, why: str) -> None:
    refused(MessageCodec(), payload, why)
    refused(MessageCodec(6, False), payload, why)


def targets() -> Iterator[tuple[Any, Any]]:
    names = ("os", "name", "names", "builtins.method", "é" * 200, "m" * 300)
    for name in names:
        for ids in ((1, 0), (-5, 159), (160, 2**63), (140406761493184, -(10**20)), (10**300, 1)):
            pack = (name, *ids)
            for rest in (
                (),
                ((1, "attr"),),
                ((1, (2, 3)), (1, ())),
                ((1, ()), (1, (("k", 1),))),
                ((1, 1), (1, 2), (1, 3)),
            ):
                yield pack, rest
    for odd in ((b"bytes", 1, 2), ("name", 1.5, ()), ("names", ("a", ...), None), ("names", "long text", 160)):
        yield odd, ((1, ()), (1, ()))


def test_requests_to_every_kind_of_target() -> None:
    codec = MessageCodec(6, False)
    for _ in range(2):
        for pack, rest in targets():
            for handler in (1, 7, 20, 21, 4000):
                args = (2, ((3, pack), *rest))
                payload = codec.encode_request(5, handler, args)[5:-1]
                if payload[:3] != b"\x01\x11U":
                    payload = zlib.decompress(payload)
                assert repr(codec.decode(payload).args) == repr((handler, args))
                refused(codec, payload + b"P", "behind")
                refused(codec, payload[:-1])
    assert len(codec._targets) <= 128


def test_large_messages_are_compressed_where_it_pays() -> None:
    codec = MessageCodec(6, False)
    plain = MessageCodec(6, False, compress_above=None)
    for size in (10, 2990, 3100, 65_520, 65_540, 300_000):
        for content in (b"a" * size, Random(3).randbytes(size)):
            frame = codec.encode_reply(1, (1, content))
            (payload,), error = frames_of(frame)
            assert error is None
            assert codec.decode(payload) == Message(REPLY, 1, (1, content))
            assert plain.encode_reply(1, (1, content)) == encode_frame(payload, compress_above=None)
            assert frame == encode_frame(payload)


def test_the_channel_of_the_original_understands_and_is_understood() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        channel = Channel(SocketStream(theirs))
        for payload in (b"", b"short", b"long " * 2000, Random(4).randbytes(70_000)):
            ours.sendall(encode_frame(payload))
            assert channel.recv() == payload
            channel.send(payload)
            decoder = FrameDecoder()
            found: list[bytes] = []
            while not found:
                found = decoder.feed(ours.recv(65_536))
            assert found == [payload]
            assert not decoder.mid_frame
