"""RPyC's framing: where a payload begins and ends in the stream, and its compression. What it means is not known here.

Source: the channel of RPyC 4.1 to 6.0 as seen on the wire. A frame is the length of the payload in four bytes, big-endian,
a flag byte (1: zlib), the payload as sent, and a newline, which the original does not look at and neither do we.
"""

from __future__ import annotations

import zlib
from io import BytesIO
from struct import Struct
from typing import Final

from anycore.wire.errors import LocalProtocolError, RemoteProtocolError
from anycore.wire.faults import PARSE_ERROR
from anycore.wire.rpyc_constants import COMPRESS_ABOVE, COMPRESSION_LEVEL, MAX_FRAME, MAX_INFLATED

_HEAD: Final = Struct("!LB")
_HEAD_SIZE: Final = 5
_unpack_head: Final = _HEAD.unpack_from
_MAX_LENGTH: Final = 0xFFFFFFFF

# Compressing what does not shrink costs more than anything else here. Payloads of the first size are tried in three
# pieces of the second (bytes): those have to shrink by a sixteenth.
_SAMPLED: Final = 16 * 1024
_SAMPLE: Final = 256


class FrameDecoder:
    """The payloads of one connection.

    Args:
        max_frame: Largest payload as sent, in bytes.
        max_inflated: Largest payload when decompressed, in bytes.

    Attributes:
        error: Why the connection's bytes cannot be followed further; None as long as they can. Set by `feed`, after the
            payloads before it were returned.
        mid_frame: Whether some bytes of an unfinished frame have been seen.
    """

    __slots__ = ("_body", "_flag", "_head", "_max_frame", "_max_inflated", "_missing", "error", "mid_frame")

    def __init__(self, *, max_frame: int = MAX_FRAME, max_inflated: int = MAX_INFLATED) -> None:
        self._max_frame = max_frame
        self._max_inflated = max_inflated
        self._head = b""
        # Of a frame whose head is known and whose end is not: what came, and how much is to come with the newline. This
        # class of buffer grows in proportion and gives its content away without a copy.
        self._body: BytesIO | None = None
        self._missing = 0
        self._flag = 0
        self.error: RemoteProtocolError | None = None
        self.mid_frame = False

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes as they come from the peer.

        Never raises: bytes that break the protocol set `error`, and all that follow are ignored.

        Returns:
            The payloads that became complete, in order, decompressed.
        """
        size = len(data)
        if size > _HEAD_SIZE and not self.mid_frame and self.error is None:
            length, flag = _unpack_head(data)
            if length == size - _HEAD_SIZE - 1 and not flag and length <= self._max_frame:
                return [data[_HEAD_SIZE:-1]]  # nearly always: one frame, and nothing else
        payloads: list[bytes] = []
        if self.error is not None:
            return payloads
        try:
            self._feed(data, payloads)
        except RemoteProtocolError as error:
            self.error = error
            self._body = None
            self._head = b""
        self.mid_frame = self._body is not None or bool(self._head)
        return payloads

    def eof(self) -> None:
        """Take note that the peer sends no more.

        Raises:
            RemoteProtocolError: In the middle of a frame.
        """
        if self.mid_frame:
            raise RemoteProtocolError("the connection ended in the middle of a frame", PARSE_ERROR)

    def _feed(self, data: bytes, payloads: list[bytes]) -> None:
        position = 0
        if self._body is not None:
            position = self._continue_body(self._body, data, payloads)
        elif self._head:
            data = self._head + data
            self._head = b""
        size = len(data)
        while size - position >= _HEAD_SIZE:
            length, flag = _unpack_head(data, position)
            if length > self._max_frame or flag > 1:
                raise self._bad_head(length, flag)
            position += _HEAD_SIZE
            end = position + length
            if end >= size:
                self._body = BytesIO()
                self._body.write(memoryview(data)[position:])
                self._missing = end + 1 - size
                self._flag = flag
                return
            payload = data[position:end]
            payloads.append(self._inflate(payload) if flag else payload)
            position = end + 1
        if position < size:
            self._head = data[position:]

    def _continue_body(self, body: BytesIO, data: bytes, payloads: list[bytes]) -> int:
        """Add to an unfinished frame; return where in the data the next one begins."""
        missing = self._missing
        size = len(data)
        if size < missing:
            body.write(data)
            self._missing = missing - size
            return size
        body.write(memoryview(data)[: missing - 1])
        self._body = None
        payload = body.getvalue()
        payloads.append(self._inflate(payload) if self._flag else payload)
        return missing

    def _inflate(self, payload: bytes) -> bytes:
        limit = self._max_inflated
        stream = zlib.decompressobj()
        try:
            result = stream.decompress(payload, limit + 1)
        except zlib.error as error:
            raise RemoteProtocolError(f"a compressed frame is damaged: {error}", PARSE_ERROR) from error
        if len(result) > limit:
            raise RemoteProtocolError(f"a frame decompresses to more than {limit} bytes", PARSE_ERROR)
        if not stream.eof or stream.unused_data:
            raise RemoteProtocolError("a compressed frame is truncated or has bytes behind its end", PARSE_ERROR)
        return result

    def _bad_head(self, length: int, flag: int) -> RemoteProtocolError:
        if flag > 1:
            message = f"a frame with the compression flag {flag}; 0 or 1 was expected, so this may not be RPyC at all"
        else:
            message = f"a frame of {length} bytes; at most {self._max_frame} are taken"
        return RemoteProtocolError(message, PARSE_ERROR)


def encode_frame(
    payload: bytes, *, compress_above: int | None = COMPRESS_ABOVE, level: int = COMPRESSION_LEVEL
) -> bytes:
    """Put a payload into a frame.

    Args:
        payload: The message.
        compress_above: Payloads longer than this, in bytes, are compressed if that makes them smaller; None: never.
        level: That of zlib, 1 to 9.

    Returns:
        The frame, for one write.

    Raises:
        LocalProtocolError: The payload is longer than a frame can say.
    """
    return join_frame([payload], compress_above=compress_above, level=level)


def join_frame(parts: list[bytes], *, compress_above: int | None, level: int) -> bytes:
    """Put a payload that is there in parts into a frame; otherwise as `encode_frame`."""
    size = sum(map(len, parts))
    flag = 0
    if compress_above is not None and size > compress_above:
        payload = b"".join(parts)
        parts = [payload]
        if _may_shrink(payload):
            packed = zlib.compress(payload, level)
            if len(packed) < size:
                parts, size, flag = [packed], len(packed), 1
    if size > _MAX_LENGTH:
        raise LocalProtocolError(f"a message of {size} bytes is longer than a frame can be: {_MAX_LENGTH}")
    return b"".join((_HEAD.pack(size, flag), *parts, b"\n"))


def _may_shrink(payload: bytes) -> bool:
    size = len(payload)
    if size <= _SAMPLED:
        return True
    # From the head on there are names and lengths, which are no sample of what makes a message large.
    starts = (_SAMPLE, size // 2, size - 2 * _SAMPLE)
    sample = b"".join([payload[start : start + _SAMPLE] for start in starts])
    stream = zlib.compressobj(1, zlib.DEFLATED, -12, 4)  # as little to set up as there can be
    return len(stream.compress(sample)) + len(stream.flush()) < len(sample) * 15 // 16
