"""The RPyC protocol without I/O: the door to its framing, messages and numbers. Values are in `brine`.

A connection has a `FrameDecoder` and a `MessageCodec`:

    for payload in frames.feed(data):
        message = codec.decode(payload)
        ...
        send(codec.encode_reply(message.seq, (VALUE, 5)))
"""

from __future__ import annotations

from anycore.wire.rpyc_frames import FrameDecoder, encode_frame
from anycore.wire.rpyc_messages import Message, MessageCodec

__all__ = ["FrameDecoder", "Message", "MessageCodec", "encode_frame"]
