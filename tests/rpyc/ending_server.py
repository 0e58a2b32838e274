"""A server that tells of the beginning and the end of each connection, a line each: `ending_server.py CORE`. SIGTERM stops it."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from typing import Any

from anycore.cores import Listener, load_core
from anycore.cores.base import CoreLimits
from anycore.rpyc.listening import serve_root


class Told:
    """One for each connection."""

    name = "nameless"

    def on_connect(self, conn: Any) -> None:
        say("begin", self.name)

    def on_disconnect(self, conn: Any) -> None:
        say("end", self.name, threading.current_thread().name)

    def exposed_be(self, name: str) -> None:
        self.name = name

    def exposed_wait(self, name: str) -> str:
        self.name = name
        say("wait", name)
        return os.read(0, 1).decode()


def say(*words: str) -> None:
    """Write a line, in one piece: other processes do so as well."""
    os.write(1, f"{' '.join(words)}\n".encode())


def main(name: str, stop_time: float) -> None:
    """Serve until stopped."""
    bound = socket.create_server(("127.0.0.1", 0))
    limits = CoreLimits(stop_time=stop_time, linger_time=1)
    core = load_core(name)([Listener(bound, lambda peer: serve_root(peer, Told()))], limits)
    signal.signal(signal.SIGTERM, lambda *_: core.stop())
    core.run(lambda: say("port", str(bound.getsockname()[1])))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
