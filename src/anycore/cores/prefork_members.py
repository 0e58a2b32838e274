"""The workers of the prefork core as the supervisor knows them: their life, their places, and requests that wait for their answers.

The life of a worker, as the supervisor sees it:

    state      what happens                                     and then
    STARTING   it says that it has started                      SERVING
               it fails or ends                                 gone: another takes its place, after a while when it was young
    SERVING    it ends                                          gone: the same
               its watchdog hears nothing                       killed, so it ends
               it has made its calls, or its time is over       another is made for its place; once that serves: LEAVING
    LEAVING    it ends                                          gone
               it does not end in time                          killed, so it ends
"""

from __future__ import annotations

import enum
import logging
import os
import selectors
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import msgspec

from anycore.cores.base import Figures
from anycore.cores.prefork_messages import Frames, Message, Report, pack
from anycore.cores.topics import Answer

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable

_log = logging.getLogger("anycore.core")

YOUNG_SECONDS: Final = 1.0
"""A worker that ends sooner than this after it began to serve may do so again."""
_AT_ONCE: Final = 2  # young workers in a row that are replaced without a wait
_FIRST_WAIT: Final = 0.1
_LONGEST_WAIT: Final = 10.0
_CHUNK: Final = 1 << 16
_BACKLOG: Final = 16 << 20  # bytes that a worker has not taken from its channel before it counts as hung


class State(enum.Enum):
    """Where in its life a worker is."""

    STARTING = "starting"
    SERVING = "serving"
    LEAVING = "leaving"


class Member:
    """One worker: its number, its process, and what it has said last.

    Args:
        number: Its place.
        pid: Its process.
        channel: This end of the pair of sockets.
        selector: Where its channel and its end are watched, with the member as the data.
    """

    def __init__(self, number: int, pid: int, channel: socket.socket, selector: selectors.BaseSelector) -> None:
        channel.setblocking(False)
        self.number = number
        self.pid = pid
        self.state = State.STARTING
        self.made = self.heard = time.monotonic()
        self.served = 0.0
        self.stuck = self.fate = ""
        self.late = False
        self.kill_at = float("inf")
        self.most_calls = self.oldest = float("inf")
        self.report = Report(Figures())
        self.failure: BaseException | None = None
        self.frames = Frames()
        self._channel = channel
        self._unsent = bytearray()
        self._selector = selector
        selector.register(channel, selectors.EVENT_READ, self)
        self.descriptor = -1
        with suppress(AttributeError, OSError):  # the system has no such thing, or no descriptor left: it is looked for
            self.descriptor = os.pidfd_open(pid)
            selector.register(self.descriptor, selectors.EVENT_READ, self)

    def __str__(self) -> str:
        return f"worker {self.number} (process {self.pid})"

    def send(self, message: Message) -> None:
        """Send a message, now or when there is room for it."""
        self._unsent += pack(message)
        self.flush()

    def flush(self) -> None:
        """Send what there is, as far as there is room."""
        try:
            while self._unsent:
                del self._unsent[: self._channel.send(self._unsent)]
        except BlockingIOError:
            if len(self._unsent) > _BACKLOG:
                self.kill("hung: it did not listen to the supervisor")
        except OSError:
            self._unsent.clear()  # it ends
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._unsent else 0)
        with suppress(KeyError, ValueError):  # it says no more
            self._selector.modify(self._channel, wanted, self)

    def receive(self) -> list[bytes]:
        """Return the messages that have arrived."""
        found: list[bytes] = []
        while True:
            try:
                data = self._channel.recv(_CHUNK)
            except BlockingIOError:
                return found
            except OSError:
                data = b""
            if not data:
                with suppress(KeyError, ValueError):  # that was seen before
                    self._selector.unregister(self._channel)
                return found
            found += self.frames.feed(data)

    def ended(self) -> int | None:
        """Return the exit status once it has ended: negative when a signal ended it. None before."""
        try:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:  # somebody else has waited for all children there are
            return 0
        return os.waitstatus_to_exitcode(status) if pid else None

    def kill(self, why: str) -> None:
        """End it at once.

        Args:
            why: What it did, for whoever says that it has ended.
        """
        self.fate = why
        self.kill_at = float("inf")
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """Watch it no more, in the process of the supervisor."""
        for watched in (self._channel, self.descriptor):
            with suppress(KeyError, ValueError):  # it says no more, or the system cannot tell of its end
                self._selector.unregister(watched)
        self.abandon()

    def abandon(self) -> None:
        """Let go of what belongs to it."""
        self._channel.close()
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


class Place:
    """A place for a worker. A worker that ends young makes the wait for the next one longer, from the third in a row.

    Args:
        number: Its number.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.member: Member | None = None
        self.heir: Member | None = None
        self.due = 0.0
        self.ended = 0
        self._failures = 0

    def vacate(self, now: float, lived: float) -> float:
        """Take note that a worker has ended; return how long to wait before the next one is made.

        Args:
            now: The time.
            lived: How long it has served.
        """
        self.ended += 1
        self._failures = 0 if lived >= YOUNG_SECONDS else self._failures + 1
        beyond = self._failures - _AT_ONCE
        wait = min(_LONGEST_WAIT, _FIRST_WAIT * 2.0 ** min(beyond - 1, 20)) if beyond > 0 else 0.0
        self.due = now + wait
        return wait


class Query(msgspec.Struct, eq=False):
    """A request that waits for the answers of workers.

    Args:
        awaiting: Who has not answered yet, by process.
        deadline: When to give up.
        timeout: How many seconds that is after it was asked.
        done: Takes the answers.
        answers: Those that there are.
    """

    awaiting: dict[int, Member]
    deadline: float
    timeout: float
    done: Callable[[list[Answer]], None]
    answers: list[Answer] = []

    def take(self, member: Member, answers: Iterable[Answer]) -> bool:
        """Take the answers of a worker; return whether they are complete."""
        if self.awaiting.pop(member.pid, None) is not None:
            self.answers += answers
        return not self.awaiting

    def give_up(self, member: Member, why: str) -> bool:
        """Do without the answer of a worker; return whether the answers are complete."""
        return self.take(member, [Answer(member.number, member.pid, None, f"worker {member.number} {why}")])

    def finish(self) -> None:
        """Hand over the answers, in the order of the workers."""
        self.done(sorted(self.answers, key=lambda answer: answer.worker))
