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
    ours, theirs = socket.socketpair()
    inward = threading.Thread(target=_carry_in, args=(incoming, reads, theirs), name="anycore-pipe-in", daemon=True)
    outward = threading.Thread(
        target=_carry_out, args=(theirs, outgoing, writes, inward), name="anycore-pipe-out", daemon=True
    )
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


def take_standard_streams() -> socket.socket:
    """Return standard input and output as a socket, and put the null device in the place of all three standard streams.

    So nothing that the program or a library of it prints, in whatever language, gets between the messages.
    """
    incoming, outgoing = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(null, standard)
    os.close(null)
    return as_socket(incoming, outgoing)
