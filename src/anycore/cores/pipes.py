"""Pipes as sockets: what moves a connection's bytes wants one socket, and some peers come by two pipes."""

from __future__ import annotations

import os
import select
import socket
import stat
import threading
from contextlib import suppress
from typing import IO, Any, Final, TypeAlias

Pipe: TypeAlias = int | IO[Any]

_CHUNK: Final = 1 << 16
_ENDED: Final = select.POLLHUP | select.POLLERR | select.POLLNVAL


class PipeSocket(socket.socket):
    """A socket that stands for two pipes.

    Attributes:
        carrier: The thread that writes to the pipe.
    """

    carrier: threading.Thread | None = None

    def drain(self, seconds: float | None) -> bool:
        """Wait, after this socket was closed, until what was sent has gone out.

        Args:
            seconds: How long; None for as long as it takes.

        Returns:
            Whether it has.
        """
        if self.carrier is not None:
            self.carrier.join(seconds)
        return self.carrier is None or not self.carrier.is_alive()


def as_socket(incoming: Pipe, outgoing: Pipe) -> socket.socket:
    """Return a socket that stands for two pipes.

    Where both are one and the same socket, as under inetd or for a program that `connect_subproc` has started, it is that one. Else it is one
    end of a pair, and two threads carry bytes between the other end and the pipes.

    Args:
        incoming: What is read: a file, or a descriptor. Closed when the socket is, or the pipe ends.
        outgoing: What is written; likewise.
    """
    reads, writes = _descriptor(incoming), _descriptor(outgoing)
    seen = os.fstat(reads)
    if stat.S_ISSOCK(seen.st_mode) and os.path.samestat(seen, os.fstat(writes)):
        found = socket.socket(fileno=os.dup(reads))
        _close(incoming)
        if writes != reads:
            _close(outgoing)
        return found
    near, theirs = socket.socketpair()
    ours = PipeSocket(fileno=near.detach())
    inward = threading.Thread(target=_carry_in, args=(incoming, reads, theirs), name="anycore-pipe-in", daemon=True)
    outward = threading.Thread(
        target=_carry_out, args=(theirs, outgoing, writes, inward), name="anycore-pipe-out", daemon=True
    )
    ours.carrier = outward
    inward.start()
    outward.start()
    return ours


def _descriptor(pipe: Pipe) -> int:
    return pipe if isinstance(pipe, int) else pipe.fileno()


def _close(pipe: Pipe) -> None:
    with suppress(OSError):  # what is left in a buffer has nobody to go to
        if isinstance(pipe, int):
            os.close(pipe)
        else:
            pipe.close()


def _carry_in(pipe: Pipe, descriptor: int, inner: socket.socket) -> None:
    """Carry what comes to the socket, until either ends."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    poll.register(inner, 0)
    with suppress(OSError):  # the other end was closed
        while not any(number == inner.fileno() and event & _ENDED for number, event in poll.poll()):
            data = os.read(descriptor, _CHUNK)
            if not data:
                break
            inner.sendall(data)
    with suppress(OSError):
        inner.shutdown(socket.SHUT_WR)
    _close(pipe)


def _carry_out(inner: socket.socket, pipe: Pipe, descriptor: int, other: threading.Thread) -> None:
    """Carry what the socket was sent to the pipe, until either ends; the last to leave closes the socket."""
    with suppress(OSError):  # nobody reads any more
        while data := inner.recv(_CHUNK):
            left = memoryview(data)
            while left:
                left = left[os.write(descriptor, left) :]
    with suppress(OSError):
        inner.shutdown(socket.SHUT_RDWR)
    _close(pipe)
    other.join()
    inner.close()


def take_standard_streams(*, keep_errors: bool = False) -> socket.socket:
    """Return standard input and output as a socket, and put something else in their places.

    So nothing that the program or a library of it prints, in whatever language, gets between the messages. Standard input is the null
    device from then on.

    Args:
        keep_errors: Whether standard error stays as it is, unless it is the connection, too, and what is printed goes there. Otherwise
            all of it goes to the null device.

    Raises:
        OSError: When standard input or output is closed.
    """
    incoming, outgoing = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    if not keep_errors or not _is_apart(2, incoming, outgoing):
        os.dup2(null, 2)
    os.dup2(2, 1)
    os.close(null)
    return as_socket(incoming, outgoing)


def _is_apart(descriptor: int, *others: int) -> bool:
    """Tell whether a descriptor is open, and another file than others."""
    try:
        seen = os.fstat(descriptor)
    except OSError:
        return False
    return not any(os.path.samestat(seen, os.fstat(other)) for other in others)
