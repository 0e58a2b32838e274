"""RPyC's frames and messages against inputs nobody wrote."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from anycore.testing.codec import check_codec
from anycore.wire.errors import RemoteProtocolError
from anycore.wire.rpyc import FrameDecoder, Message, MessageCodec, encode_frame
from anycore.wire.rpyc_constants import REQUEST

PACK = ("builtins.method", 140406761493184, 140406741308864)
CALL = (2, ((3, PACK), (1, (2, 3)), (1, ())))


def conversation(dialect: int, bound: bool) -> bytes:
    codec = MessageCodec(dialect, bound, compress_above=100)
    return b"".join(
        (
            codec.encode_request(0, 3, (1, ())),
            codec.encode_request(300, 7, CALL),
            codec.encode_request(301, 4, (2, ((3, PACK), (1, "name")))),
            codec.encode_reply(0, (4, PACK)),
            codec.encode_reply(300, (1, "x" * 200)),
            codec.encode_exception(301, 1),
        )
    )


EXAMPLES = [conversation(dialect, bound) for dialect in (5, 6) for bound in (False, True)]
TOKENS = [
    *(b"\xff\xff\xff\xff\x00", b"\x00\x00\x00\x00\x00\n", b"\x00\x00\x00\x09\x01x\x9c\x03\x00\x00\x00\x00\x01\n"),
    *(encode_frame(b"\x12QP"), encode_frame(b"\x01\x11P\x11SR"), encode_frame(bytes(16)), b"\x15\xff\xff\xff\xff"),
    *(b"\x11", b"\x12", b"\x14", b"\x16\xff", b"\x08\x0e", b"\x10" * 150, b"\xf0", b"\x02"),
]


def decode(data: bytes) -> None:
    frames, codec = FrameDecoder(max_frame=2000, max_inflated=5000), MessageCodec(max_items=500)
    for payload in frames.feed(data):
        assert len(payload) <= 5000
        message = codec.decode(payload)
        assert type(message.seq) is int
        if message.kind == REQUEST:
            assert type(message.args) is tuple
            assert type(message.args[0]) is int
    if frames.error is not None:
        raise frames.error
    frames.eof()


def decode_first(data: bytes) -> None:
    """Take the input for one payload."""
    MessageCodec(max_items=500).decode(data)


def test_mutated_conversations_are_decoded_or_refused() -> None:
    report = check_codec(decode, EXAMPLES, error=RemoteProtocolError, tokens=TOKENS, seed=1)
    assert report.refused > 5000
    assert report.accepted > 100


def test_mutated_payloads_are_decoded_or_refused() -> None:
    payloads = [payload for example in EXAMPLES for payload in FrameDecoder().feed(example)]
    report = check_codec(decode_first, payloads, error=RemoteProtocolError, tokens=TOKENS, seed=2, complete=True)
    assert report.refused > 5000
    assert report.accepted > 500


def test_what_is_remembered_changes_nothing() -> None:
    payloads = [payload for example in EXAMPLES[2:3] for payload in FrameDecoder().feed(example)]
    knowing = MessageCodec(6, False, max_items=500)

    def outcome(codec: MessageCodec, data: bytes) -> object:
        try:
            return repr(codec.decode(data))
        except RemoteProtocolError as error:
            return str(error)

    def compare(data: bytes) -> None:
        assert outcome(knowing, data) == outcome(MessageCodec(6, False, max_items=500), data)

    check_codec(compare, payloads, error=(), tokens=TOKENS, seed=3, mutations=10_000)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=200), max_size=8), st.data())
def test_any_split_gives_the_same_payloads(payloads: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(encode_frame(payload, compress_above=50) for payload in payloads)
    edges = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    decoder = FrameDecoder()
    found: list[bytes] = []
    for start, end in zip([0, *edges], [*edges, len(stream)], strict=True):
        found += decoder.feed(stream[start:end])
    assert found == payloads
    assert not decoder.mid_frame


boxed = st.recursive(
    st.none() | st.integers() | st.text(max_size=20) | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=5).map(tuple),
    max_leaves=15,
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([5, 6]), st.booleans(), st.integers(), st.integers(-100, 300), boxed, st.integers(0, 2**56 - 1))
def test_messages_come_back(dialect: int, bound: bool, seq: int, handler: int, args: Any, thread: int) -> None:
    codec, reader = MessageCodec(dialect, bound), MessageCodec()
    threads = (thread, 7) if bound else (0, 0)
    (payload,) = FrameDecoder().feed(codec.encode_request(seq, handler, args, *threads))
    assert reader.decode(payload) == Message(1, seq, (handler, args), *threads)
    (payload,) = FrameDecoder().feed(codec.encode_reply(seq, args, *threads))
    assert reader.decode(payload) == Message(2, seq, args, *threads)
    (payload,) = FrameDecoder().feed(codec.encode_exception(seq, args, *threads))
    assert reader.decode(payload) == Message(3, seq, args, *threads)
