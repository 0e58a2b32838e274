"""Ceiling: blocking sockets, one thread per connection, no parsing; a canned reply for as many bytes as a request has.

`raw_threads.py PORT [poll]`: with `poll`, threads never sleep, but look for bytes all the time.
"""

from __future__ import annotations

import socket
import sys
import threading

from benchmarks.rpyc.frames import REPLY, REQUEST, polling


def serve(connection: socket.socket, poll: bool) -> None:
    """Answer until the peer hangs up."""
    receive = polling(connection) if poll else connection.recv
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    size, rest = len(REQUEST), 0
    try:
        while data := receive(65_536):
            count, rest = divmod(rest + len(data), size)
            connection.sendall(REPLY * count)
    except ConnectionError:
        return  # the load hangs up when its time is over
    finally:
        connection.close()


def main() -> None:
    """Serve on the loopback port given as the first argument."""
    poll = sys.argv[2:] == ["poll"]
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=128)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve, args=(connection, poll), daemon=True).start()


if __name__ == "__main__":
    main()
