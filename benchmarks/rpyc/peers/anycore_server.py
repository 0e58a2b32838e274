"""The service of rpyc's servers on a core of ours: `anycore_server.py CORE PORT`."""

from __future__ import annotations

import socket
import sys

from anycore.conversations.rpyc import RpycConversation
from anycore.cores import Listener, load_core
from anycore.kernel.call import Peer
from anycore.rpyc.listening import serve_root
from benchmarks.rpyc.peers.service import BenchService


def main(name: str, port: int) -> None:
    """Serve on a loopback port until killed, a service to each connection."""

    def open_conversation(peer: Peer) -> RpycConversation:
        return serve_root(peer, BenchService(), run_coroutine=core.run_coroutine)

    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind(("127.0.0.1", port))
    core = load_core(name)([Listener(bound, open_conversation)])
    core.run()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
