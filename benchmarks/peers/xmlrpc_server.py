"""Peer: the standard library's `xmlrpc.server` in its best form: threads, kept-alive connections, no Nagle, buffered writes."""

from __future__ import annotations

import sys
from socketserver import ThreadingMixIn
from typing import Any
from xmlrpc.server import SimpleXMLRPCRequestHandler, SimpleXMLRPCServer


class Handler(SimpleXMLRPCRequestHandler):
    """One connection, kept alive, with one write per answer."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 65_536


class Server(ThreadingMixIn, SimpleXMLRPCServer):
    """One thread per connection."""

    daemon_threads = True
    request_queue_size = 128


def add(a: Any, b: Any) -> Any:
    """Return the sum."""
    return a + b


def echo(value: Any) -> Any:
    """Return the value."""
    return value


def main() -> None:
    """Serve on the loopback port given as the only argument."""
    server = Server(("127.0.0.1", int(sys.argv[1])), Handler, logRequests=False)
    server.register_function(add, "bench.add")
    server.register_function(echo, "bench.echo")
    server.serve_forever()


if __name__ == "__main__":
    main()
