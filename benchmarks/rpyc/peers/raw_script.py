"""Ceiling: blocking sockets, one thread per connection, no parsing; says the server's part of a script: `raw_script.py PORT FILE`."""

from __future__ import annotations

import socket
import sys
import threading

from benchmarks.rpyc.script import Script


def serve(connection: socket.socket, script: Script) -> None:
    """Answer until the peer hangs up."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        script.answer(connection)
    except ConnectionError:
        return  # the load hangs up when its time is over
    finally:
        connection.close()


def main() -> None:
    """Serve on the loopback port given as the first argument."""
    script = Script.read(sys.argv[2])
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=128)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve, args=(connection, script), daemon=True).start()


if __name__ == "__main__":
    main()
