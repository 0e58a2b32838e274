"""The two exceptions of the wire floor, one for each side that can be to blame.

A codec raises nothing else, whatever bytes or values it is given; anything else out of a codec is a bug.
"""

from __future__ import annotations


class ProtocolError(Exception):
    """Base of both: a protocol was not kept."""


class RemoteProtocolError(ProtocolError):
    """The peer sent bytes that break the protocol.

    Args:
        message: What was wrong, where, and what was expected; safe to show to the peer.
        code: What to answer with: the HTTP status in the HTTP codec, the fault code in the RPC codecs.
    """

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class LocalProtocolError(ProtocolError):
    """This side asked for something the protocol cannot express.

    Args:
        message: What cannot be carried and what could be sent instead.
        path: Where in the value it was found, as in ``result.rooms[2].celsius``; empty for the whole.
    """

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.message = message
        self.path = path
