"""Ceiling: blocking sockets, one thread per connection, no parsing; a canned reply for as many bytes as a request has.

`raw_threads.py PORT [poll | FILE]`: with `poll`, threads never sleep, but look for bytes all the time; with a file, they say the server's part
of the script there.
"""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable

from benchmarks.rpyc.frames import REPLY, REQUEST, polling
from benchmarks.rpyc.script import Script


def reply(connection: socket.socket, *, poll: bool = False) -> None:
    """Reply to as many bytes as a request has, until the peer hangs up."""
    receive = polling(connection) if poll else connection.recv
    size, rest = len(REQUEST), 0
    while data := receive(65_536):
        count, rest = divmod(rest + len(data), size)
        connection.sendall(REPLY * count)


def serve(connection: socket.socket, answer: Callable[[socket.socket], None]) -> None:
    """Answer until the peer hangs up."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        answer(connection)
    except ConnectionError:
        return  # the load hangs up when its time is over
    finally:
        connection.close()


def answering(what: list[str]) -> Callable[[socket.socket], None]:
    """Return what answers a connection, by the arguments after the port."""
    if not what:
        return reply
    return (lambda connection: reply(connection, poll=True)) if what == ["poll"] else Script.read(what[0]).answer


def main() -> None:
    """Serve on the loopback port given as the first argument."""
    answer = answering(sys.argv[2:])
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=128)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve, args=(connection, answer), daemon=True).start()


if __name__ == "__main__":
    main()
