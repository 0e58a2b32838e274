"""Child processes of the forking core, as the parent sees them: what they report, and when they end.

Only children that were started here are waited for, each by its own number: what a plugin has started is the plugin's.
"""

from __future__ import annotations

import logging
import os
import selectors
import signal
import socket
import struct
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger("anycore.core")

_LENGTH: Final = struct.Struct("!I")
_CHUNK: Final = 65536
_LOOK_SECONDS: Final = 0.2
"""How often to look for children that have ended, where the system cannot tell (`os.pidfd_open`)."""


class Child:
    """One child: its number, the descriptor that tells of its end, and what it has reported."""

    def __init__(self, pid: int, channel: socket.socket, *, watch: bool) -> None:
        self.pid = pid
        self.channel = channel
        self.reported = bytearray()
        self.descriptor = os.pidfd_open(pid) if watch else -1

    def write(self, data: bytes) -> None:
        """Write a few bytes, on the channel on which it reports."""
        with suppress(OSError):  # it has just ended
            self.channel.send(data)

    def close(self) -> None:
        """Close what belongs to it."""
        self.channel.close()
        if self.descriptor >= 0:
            os.close(self.descriptor)


class Children:
    """The children of this process that serve connections.

    Args:
        selector: The core's. The keys of what is watched for a child have the child as their data.
        take: Takes what a child reports.
        greeted: Called when a child has reported nothing, which says that its TLS hand-shake is done, and when one has ended.
    """

    def __init__(
        self, selector: selectors.BaseSelector, take: Callable[[bytes], None], greeted: Callable[[Child], None]
    ) -> None:
        self._selector = selector
        self._take = take
        self._greeted = greeted
        self._watch = hasattr(os, "pidfd_open")
        self._children: dict[int, Child] = {}

    def __len__(self) -> int:
        return len(self._children)

    @property
    def look_seconds(self) -> float | None:
        """After what time `look` is to be called; None when the selector tells all."""
        return _LOOK_SECONDS if self._children and not self._watch else None

    def add(self, pid: int, channel: socket.socket) -> Child:
        """Take charge of a child, and return it.

        Args:
            pid: Its number.
            channel: The end of a pair of sockets, on the other end of which it reports.
        """
        channel.setblocking(False)
        try:
            child = Child(pid, channel, watch=self._watch)
        except OSError:  # out of descriptors: this one is looked for
            child = Child(pid, channel, watch=False)
            self._watch = False
        self._children[pid] = child
        self._selector.register(channel, selectors.EVENT_READ, child)
        if child.descriptor >= 0:
            self._selector.register(child.descriptor, selectors.EVENT_READ, child)
        return child

    def heed(self, key: selectors.SelectorKey) -> None:
        """See to a child of which the selector told."""
        child: Child = key.data
        if child.pid not in self._children:
            return  # the end and the last report were told at once
        if key.fd == child.descriptor:
            self._reap(child)
        elif not self._hear(child):
            self._selector.unregister(child.channel)
            if child.descriptor < 0:
                self.look()

    def look(self) -> None:
        """Look for children that have ended, where the system does not tell."""
        for child in list(self._children.values()):
            if child.descriptor < 0:
                self._reap(child)

    def _hear(self, child: Child) -> bool:
        """Take what a child has reported; return whether there may be more."""
        while True:
            try:
                data = child.channel.recv(_CHUNK)
            except BlockingIOError:
                return True
            except OSError:
                return False
            if not data:
                return False
            reported = child.reported
            reported += data
            while len(reported) >= _LENGTH.size:
                end = _LENGTH.size + _LENGTH.unpack_from(reported)[0]
                if len(reported) < end:
                    break
                if end > _LENGTH.size:
                    self._take(bytes(reported[_LENGTH.size : end]))
                else:
                    self._greeted(child)
                del reported[:end]

    def _reap(self, child: Child) -> None:
        """Take note of the end of a child, if it has ended."""
        status = 0
        with suppress(ChildProcessError):  # somebody else has waited for all children there are
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if not pid:
                return
        self._hear(child)
        self._greeted(child)
        del self._children[child.pid]
        for watched in (child.channel, child.descriptor):
            with suppress(KeyError, ValueError):  # its end was told before, or is not watched
                self._selector.unregister(watched)
        child.close()
        if status:
            code = os.waitstatus_to_exitcode(status)
            how = f"was ended by signal {-code}" if code < 0 else f"ended with status {code}"
            _log.warning("process %d of a connection %s; its connection is lost, and no other", child.pid, how)

    def tell(self, number: signal.Signals) -> None:
        """Send a signal to all."""
        for pid in self._children:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def write(self, data: bytes) -> None:
        """Write a few bytes to all, on the channel on which they report."""
        for child in self._children.values():
            child.write(data)

    def wait(self, seconds: float) -> bool:
        """Wait until all have ended; return whether they have.

        Args:
            seconds: How long to wait; 0 for as long as it takes.
        """
        deadline = time.monotonic() + seconds if seconds else None
        while self._children:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return False
            times = [limit for limit in (left, self.look_seconds) if limit is not None]
            for key, _ in self._selector.select(min(times) if times else None):
                if isinstance(key.data, Child):
                    self.heed(key)
            if self.look_seconds is not None:
                self.look()
        return True

    def abandon(self) -> None:
        """Let go of all in a process that was forked: they are the parent's."""
        for child in self._children.values():
            child.close()
        self._children.clear()


def report(channel: socket.socket, data: bytes) -> None:
    """Report to the parent, from a child.

    Args:
        channel: The child's end.
        data: What there is to report.
    """
    with suppress(OSError):  # the parent has gone: nobody is left to add it up
        channel.sendall(_LENGTH.pack(len(data)) + data)
