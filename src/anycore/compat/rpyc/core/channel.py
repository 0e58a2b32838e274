"""`rpyc.core.channel`: a stream on its way into a connection. Frames are cut by the wire's codec; here only for programs that do it by hand."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

from anycore.wire.rpyc_constants import COMPRESS_ABOVE, COMPRESSION_LEVEL, MAX_FRAME

if TYPE_CHECKING:
    from anycore.compat.rpyc.core.stream import Stream


class Channel:
    """Frames over a stream.

    Args:
        stream: The stream.
        compress: Whether `send` may compress. Connections decide for themselves.
    """

    COMPRESSION_THRESHOLD: Final = COMPRESS_ABOVE
    COMPRESSION_LEVEL: Final = COMPRESSION_LEVEL

    def __init__(self, stream: Stream, compress: bool = True) -> None:
        self.stream = stream
        self.compress = compress

    @property
    def closed(self) -> bool:
        """Whether the stream has been closed."""
        return self.stream.closed

    def close(self) -> None:
        """Close the stream."""
        self.stream.close()

    def fileno(self) -> int:
        """Return the stream's descriptor."""
        return self.stream.fileno()

    def poll(self, timeout: float | None) -> bool:
        """Tell whether there is something to read, now or within some seconds."""
        return self.stream.poll(timeout)

    def recv(self) -> bytes:
        """Read the payload of one frame.

        Raises:
            EOFError: When the other side has gone, or sends what is no frame.
        """
        header = self.stream.read(5)
        length = int.from_bytes(header[:4], "big")
        if length > MAX_FRAME:
            self.close()
            raise EOFError(f"the other side announces a frame of {length} bytes; {MAX_FRAME} are allowed")
        data = self.stream.read(length + 1)[:-1]
        return _inflate(data) if header[4] else data

    def send(self, data: bytes) -> None:
        """Write a payload as one frame."""
        packed = len(data) > self.COMPRESSION_THRESHOLD and self.compress
        if packed:
            data = zlib.compress(data, self.COMPRESSION_LEVEL)
        self.stream.write(len(data).to_bytes(4, "big") + bytes([packed]) + data + b"\n")


def _inflate(data: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    whole = unpacker.decompress(data, MAX_FRAME)
    if unpacker.unconsumed_tail:
        raise EOFError(f"a frame of the other side inflates to more than {MAX_FRAME} bytes")
    return whole
