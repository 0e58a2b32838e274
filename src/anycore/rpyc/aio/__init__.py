"""RPyC for programs on asyncio: the door to the client. Each of its parts is in a file of its own.

Example::

    async with await aio.connect("localhost", 18812) as conn:
        print(await conn.root.thermostat.rooms())
"""

from __future__ import annotations

from anycore.rpyc.aio.connecting import connect, unix_connect
from anycore.rpyc.aio.connection import Connection
from anycore.rpyc.aio.iteration import iterate, read_ahead
from anycore.rpyc.aio.operations import (
    compare,
    contains,
    del_attr,
    del_item,
    dir_of,
    get_attr,
    hash_of,
    length,
    represent,
    set_attr,
    set_item,
    text,
)
from anycore.rpyc.aio.proxy import Call, Path, Proxy, call_attr
from anycore.rpyc.aio.reconnecting import Reconnecting
from anycore.rpyc.aio.values import by_value, value

__all__ = [
    "Call",
    "Connection",
    "Path",
    "Proxy",
    "Reconnecting",
    "by_value",
    "call_attr",
    "compare",
    "connect",
    "contains",
    "del_attr",
    "del_item",
    "dir_of",
    "get_attr",
    "hash_of",
    "iterate",
    "length",
    "read_ahead",
    "represent",
    "set_attr",
    "set_item",
    "text",
    "unix_connect",
    "value",
]
