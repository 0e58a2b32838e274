"""rpyc's own servers, as they come: `rpyc_server.py ThreadedServer|ThreadPoolServer PORT`."""

# mypy: disable-error-code="import-not-found, import-untyped"
from __future__ import annotations

import logging
import sys

from rpyc.utils import server

from benchmarks.rpyc.peers.service import BenchService

if __name__ == "__main__":
    quiet = logging.getLogger("bench")
    quiet.setLevel(logging.ERROR)
    kind = {"ThreadedServer": server.ThreadedServer, "ThreadPoolServer": server.ThreadPoolServer}[sys.argv[1]]
    kind(BenchService, hostname="127.0.0.1", port=int(sys.argv[2]), logger=quiet).start()
