"""What the supervisor of the prefork core and its workers say to each other, and how it is framed. No process and no socket lives here.

A message is a msgpack array that begins with its kind, and has four bytes before it that say how long it is.
"""

from __future__ import annotations

import struct
from typing import Any, Final

import msgspec

from anycore.cores.base import Figures
from anycore.cores.topics import Answer

_LENGTH: Final = struct.Struct("!I")


class Report(msgspec.Struct, array_like=True):
    """What a worker has counted.

    Args:
        figures: Its core's figures.
        calls: Calls that it has answered since it was made.
        running: Calls under way, by the method's name, where there are any.
        tally: What has come since its last report, for `Tally.add`.
    """

    figures: Figures
    calls: int = 0
    running: dict[str, int] = {}
    tally: bytes = b""


class Message(msgspec.Struct, array_like=True):
    """Base of all messages."""


# From a worker.


class Started(Message, tag=True):
    """`startup` is done: it serves."""


class Failed(Message, tag=True):
    """`startup` raised; see `wrap` and `unwrap`."""

    module: str
    name: str
    args: list[Any]
    text: str


class Beat(Message, tag=True):
    """The thread on which everything depends runs."""

    report: Report


class Stuck(Message, tag=True):
    """It has not run for a while; `where` says what it does instead."""

    where: str


class Said(Message, tag=True):
    """A publication."""

    topic: str
    payload: bytes


class Asked(Message, tag=True):
    """A request to others; `number` is the asker's."""

    number: int
    topic: str
    payload: bytes
    worker: int | None
    timeout: float


class Answered(Message, tag=True):
    """Answers to a `Question`."""

    number: int
    answers: list[Answer]


class Counted(Message, tag=True):
    """A request for the sums of all workers."""

    number: int


class Stop(Message, tag=True):
    """The server is to stop, or to retire."""

    retire: bool = False


# To a worker.


class Heard(Message, tag=True):
    """A publication of another process."""

    topic: str
    payload: bytes


class Question(Message, tag=True):
    """A request of another process; `number` is the supervisor's."""

    number: int
    topic: str
    payload: bytes


class Answers(Message, tag=True):
    """The answers to an `Asked`."""

    number: int
    answers: list[Answer]


class Sums(Message, tag=True):
    """The answer to a `Counted`: figures, and encoded `Totals`."""

    number: int
    figures: Figures
    totals: bytes


class End(Message, tag=True):
    """Stop, or retire."""

    retire: bool = False


FromWorker = Started | Failed | Beat | Stuck | Said | Asked | Answered | Counted | Stop
ToWorker = Heard | Question | Answers | Sums | End

_encoder: Final = msgspec.msgpack.Encoder()
from_worker: Final = msgspec.msgpack.Decoder(FromWorker).decode
to_worker: Final = msgspec.msgpack.Decoder(ToWorker).decode


def pack(message: Message) -> bytes:
    """Return a message as it travels."""
    data = _encoder.encode(message)
    return _LENGTH.pack(len(data)) + data


class Frames:
    """Cuts what arrives into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes; return the messages that they complete, still encoded."""
        buffer, found = self._buffer, []
        buffer += data
        while len(buffer) >= _LENGTH.size:
            end = _LENGTH.size + _LENGTH.unpack_from(buffer)[0]
            if len(buffer) < end:
                break
            found.append(bytes(buffer[_LENGTH.size : end]))
            del buffer[:end]
        return found
