"""Ceiling: blocking sockets, one thread per connection, no parsing. A request is whatever one recv gives.

The harness checks the count of bytes answered, so a request that arrived in two pieces would fail the row.
"""

from __future__ import annotations

import socket
import sys
import threading

from benchmarks.peers.canned import TAG, answers

ANSWERS = answers()


def serve(connection: socket.socket) -> None:
    """Answer until the peer hangs up."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        while data := connection.recv(65_536):
            connection.sendall(ANSWERS[data[TAG]])
    except ConnectionError:
        return  # wrk resets its connections when its time is over
    finally:
        connection.close()


def main() -> None:
    """Serve on the loopback port given as the only argument."""
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=128)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    main()
