"""Peer: grpcio's synchronous server with generic handlers, so that no generated code is needed.

The serialiser is msgspec's JSON, so that hardly any of the cost counted against this peer is the serialiser's.
"""

# mypy: disable-error-code="import-not-found, import-untyped"
from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import msgspec

SERVICE = "bench.Bench"
WORKERS = 32  # as many as the most connections of a run, so that no call waits for a worker


def add(params: list[int], _context: Any) -> int:
    """Return the sum."""
    a, b = params
    return a + b


def echo(params: list[Any], _context: Any) -> Any:
    """Return the value."""
    return params[0]


def main() -> None:
    """Serve on the loopback port given as the only argument."""
    handlers = {
        function.__name__: grpc.unary_unary_rpc_method_handler(function, msgspec.json.decode, msgspec.json.encode)
        for function in (add, echo)
    }
    server = grpc.server(ThreadPoolExecutor(WORKERS))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main()
