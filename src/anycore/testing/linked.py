"""Two ends of an RPyC connection in one process, for tests of services and of the protocol."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from anycore.conversations.rpyc import RpycConversation
from anycore.cores.pump import Pump
from anycore.kernel.call import Peer
from anycore.objects.connection import Connection

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anycore.wire.rpyc import MessageCodec


@contextmanager
def linked(
    root: Any = None,
    client_root: Any = None,
    *,
    config: dict[str, Any] | None = None,
    client_config: dict[str, Any] | None = None,
    concurrency: int = 1,
    client_codec: MessageCodec | None = None,
) -> Iterator[tuple[Connection, Connection]]:
    """Connect a client's end, for the calling thread, to a server's end, served by a thread.

    Args:
        root: The server's root object.
        client_root: The client's.
        config: Configuration of the server's end.
        client_config: Configuration of the client's end.
        concurrency: How many requests may run at once, on either side.
        client_codec: The client's codec, for another dialect.

    Yields:
        The client's end and the server's. Both are closed in the end, and the thread has ended.
    """
    here, there = socket.socketpair()
    server = Connection(root, config)
    client = Connection(client_root, client_config, client_codec)
    for connection in (server, client):
        told = getattr(connection.local_root, "on_disconnect", None)
        if told is not None:
            connection.on_end = _bound(told, connection)
    pump = Pump(there, RpycConversation(Peer(), server, concurrency=concurrency))
    pump.begin()
    Pump(here, RpycConversation(Peer(), client, concurrency=concurrency)).begin()
    thread = threading.Thread(target=pump.serve, name="linked-server")
    thread.start()
    try:
        yield client, server
    finally:
        client.close()
        thread.join(10)
        if thread.is_alive():
            message = "the server's end has not ended 10 seconds after the client's"
            raise RuntimeError(message)


def _bound(told: Any, connection: Connection) -> Any:
    return lambda: told(connection)
