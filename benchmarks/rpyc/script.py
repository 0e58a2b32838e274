"""What a client and a server have said to each other for one unit of a workload, to be said again without protocol."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

HEAD = struct.Struct("!LB")


class ScriptError(Exception):
    """What was recorded makes no script."""


def frames_of(data: bytes) -> list[bytes]:
    """Return the frames of one direction, whole: length, flag, payload, end of line."""
    frames, at = [], 0
    while at < len(data):
        size = HEAD.size + HEAD.unpack_from(data, at)[0] + 1
        frames.append(data[at : at + size])
        at += size
    if at != len(data):
        raise ScriptError(f"the last frame is not whole: {at - len(data)} bytes are missing")
    return frames


@dataclass(frozen=True)
class Script:
    """The steps of one unit.

    Attributes:
        workload: Which one of `client`.
        steps: What the client sends, and how much it waits for, before the next.
        tail: What it sends at the end without waiting.
    """

    workload: str
    steps: tuple[tuple[bytes, bytes], ...]
    tail: bytes = b""

    @classmethod
    def of(cls, workload: str, sent: bytes, answered: bytes, waits: Callable[[bytes], bool]) -> Self:
        """Make a script of what was recorded.

        Args:
            workload: Which one.
            sent: All that the client has sent, one frame after the other.
            answered: All that the server has, an answer for each frame, in the same order.
            waits: Whether the client waits for the answer to a frame.

        Raises:
            ScriptError: There is nothing that the client waits for, or not an answer for each.
        """
        answers = iter(frames_of(answered))
        steps, put_off, owed = [], b"", b""
        for frame in frames_of(sent):
            put_off, owed = put_off + frame, owed + next(answers, b"")
            if waits(frame):
                steps.append((put_off, owed))
                put_off = owed = b""
        if not steps or not all(owed for _, owed in steps) or next(answers, b""):
            raise ScriptError(f"{workload}: {len(frames_of(sent))} requests, {len(frames_of(answered))} answers")
        if put_off and workload != "visits":  # the next unit begins with it
            first, owed_first = steps[0]
            steps[0], put_off = (put_off + first, owed + owed_first), b""
        return cls(workload, tuple(steps), put_off)

    @classmethod
    def read(cls, file: str) -> Self:
        """Read a script."""
        data = json.loads(Path(file).read_text())
        steps = tuple((bytes.fromhex(sent), bytes.fromhex(owed)) for sent, owed in data["steps"])
        return cls(data["workload"], steps, bytes.fromhex(data["tail"]))

    def write(self, file: Path) -> None:
        """Write it, for `read`."""
        steps = [(sent.hex(), owed.hex()) for sent, owed in self.steps]
        file.write_text(json.dumps({"workload": self.workload, "steps": steps, "tail": self.tail.hex()}))

    def play(self, connected: socket.socket) -> None:
        """Say the client's part once."""
        for sent, owed in self.steps:
            connected.sendall(sent)
            _take(connected, len(owed))
        if self.tail:
            connected.sendall(self.tail)

    def answer(self, connected: socket.socket) -> None:
        """Say the server's part until the client hangs up."""
        wanted: Sequence[tuple[int, bytes]] = [(len(sent), owed) for sent, owed in self.steps]
        while True:
            for size, owed in wanted:
                if not _take(connected, size):
                    return
                connected.sendall(owed)
            if self.tail:
                _take(connected, len(self.tail))


def _take(connected: socket.socket, size: int) -> bool:
    while size > 0:
        data = connected.recv(262_144)
        if not data:
            return False
        size -= len(data)
    return True
