"""One connection of the asyncio core over TLS."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anycore.cores.asyncio_connection import PIECE, AsyncioConnection

if TYPE_CHECKING:
    import asyncio


class TlsConnection(AsyncioConnection):
    """A connection over TLS.

    asyncio's TLS passes whatever it is given on to the socket's transport, in one piece, and then knows no more whether the peer takes
    it. So a large answer is handed over in pieces, as long as there is room.
    """

    __slots__ = ("_unsent",)

    _lends = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The hand-shake is done; see `asyncio.BaseProtocol`."""
        self._unsent = memoryview(b"")
        super().connection_made(transport)
        self._joins = not self.conversation.interactive  # what such a conversation gives one by one is to be sent so

    def _set_write(self) -> None:
        self._write = self._write_pieces

    def _write_pieces(self, data: bytes) -> None:
        if len(data) <= PIECE:
            self.transport.write(data)
            return
        self._unsent = memoryview(data)
        self._send_unsent()

    def _send_unsent(self) -> None:
        while self._unsent and not self.sending:
            piece, self._unsent = self._unsent[:PIECE], self._unsent[PIECE:]
            self.transport.write(piece)

    def flush(self) -> None:
        """Send what is ready as far as there is room, and follow the conversation's phase."""
        if self._unsent:
            self._send_unsent()
        while self.conversation.interactive and not self._unsent and (frame := self.conversation.take()):
            self.write(frame)
        if not self._unsent:
            super().flush()

    def _close(self) -> None:
        if not self._unsent:
            super()._close()
