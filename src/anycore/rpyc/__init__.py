"""RPyC for people: services, connections, classic helpers. The protocol lives in `wire`, `objects` and `conversations`.

    import anycore.rpyc as rpyc

    with rpyc.connect("localhost", 18812) as conn:
        conn.root.thermostat.set(21.5)

What is here is imported when it is used. For programs on asyncio there is `anycore.rpyc.aio`, for classic mode `anycore.rpyc.classic`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anycore.discovery import NoAnswerError
    from anycore.objects.connection import Connection
    from anycore.objects.result import AsyncResult
    from anycore.rpyc import aio, classic
    from anycore.rpyc.connecting import (
        connect,
        connect_pipes,
        connect_socket,
        connect_stdpipes,
        ssl_connect,
        unix_connect,
    )
    from anycore.rpyc.finding import DiscoveryError, connect_by_service, discover, list_services
    from anycore.rpyc.helpers import (
        BgServingThread,
        async_,
        buffiter,
        by_value,
        cancelled,
        restricted,
        spawn,
        timed,
    )
    from anycore.rpyc.keeping import keep_alive
    from anycore.rpyc.login import LoginError
    from anycore.rpyc.reconnecting import Reconnecting
    from anycore.rpyc.service import Service, VoidService, exposed
    from anycore.rpyc.starting import (
        connect_multiprocess,
        connect_subproc,
        connect_thread,
        serve_socket,
        ssh_connect,
    )

__all__ = [
    "AsyncResult",
    "BgServingThread",
    "Connection",
    "DiscoveryError",
    "LoginError",
    "NoAnswerError",
    "Reconnecting",
    "Service",
    "VoidService",
    "aio",
    "async_",
    "buffiter",
    "by_value",
    "cancelled",
    "classic",
    "connect",
    "connect_by_service",
    "connect_multiprocess",
    "connect_pipes",
    "connect_socket",
    "connect_stdpipes",
    "connect_subproc",
    "connect_thread",
    "discover",
    "exposed",
    "keep_alive",
    "list_services",
    "restricted",
    "serve_socket",
    "spawn",
    "ssh_connect",
    "ssl_connect",
    "timed",
    "unix_connect",
]

_NAMES = {
    "anycore.discovery": ("NoAnswerError",),
    "anycore.objects.connection": ("Connection",),
    "anycore.objects.result": ("AsyncResult",),
    "anycore.rpyc.connecting": (
        "connect", "connect_pipes", "connect_socket", "connect_stdpipes", "ssl_connect", "unix_connect",
    ),
    "anycore.rpyc.finding": ("DiscoveryError", "connect_by_service", "discover", "list_services"),
    "anycore.rpyc.helpers": (
        "BgServingThread", "async_", "buffiter", "by_value", "cancelled", "restricted", "spawn", "timed",
    ),
    "anycore.rpyc.keeping": ("keep_alive",),
    "anycore.rpyc.login": ("LoginError",),
    "anycore.rpyc.reconnecting": ("Reconnecting",),
    "anycore.rpyc.service": ("Service", "VoidService", "exposed"),
    "anycore.rpyc.starting": (
        "connect_multiprocess", "connect_subproc", "connect_thread", "serve_socket", "ssh_connect",
    ),
}  # fmt: skip
_HOMES = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name in ("aio", "classic"):
        return import_module(f"{__name__}.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
