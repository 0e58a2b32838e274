"""The core `granian`: its server on our sockets, embedded in our loop.

granian takes no socket; what is needed of its inside to give it one is in this module, and a test fails when it changes.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any

from granian._granian import SocketHolder
from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.http import HTTP1Settings
from granian.server.embed import Server as Embedded

from anycore.cores.base import UnservableError, peer_of
from anycore.cores.foreign.base import LoopCore
from anycore.cores.foreign.peers import PEER, UNKNOWN_TLS
from anycore.cores.loop_thread import CANCEL_SECONDS, cancel

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from anycore.cores.base import CoreLimits, Listener
    from anycore.cores.foreign.asgi import AsgiApplication, Receive, Scope, Send


class _Server(Embedded):
    """Serves a socket that is bound already."""

    def __init__(self, target: Any, listener: Listener, backlog: int, **settings: Any) -> None:
        super().__init__(target, backlog=backlog, **settings)
        self._bound = listener.socket

    def _init_shared_socket(self) -> None:
        unix = self._bound.family == getattr(socket, "AF_UNIX", None)
        self._bound.setblocking(False)
        self._ssp = None
        self._shd = SocketHolder(os.dup(self._bound.fileno()), unix, self.backlog)
        self._sfd = self._shd.get_fd()


def _telling(
    application: AsgiApplication, listener: Listener, requests: set[asyncio.Task[Any]]
) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    """Have the application told who the peer is: granian does not say that a socket is a Unix socket, nor which version TLS has."""
    unix = listener.socket.family == getattr(socket, "AF_UNIX", None)
    version = "" if listener.tls is None else UNKNOWN_TLS

    async def told(scope: Scope, receive: Receive, send: Send) -> None:
        client = None if unix else scope.get("client")
        peer = peer_of(listener, "" if unix else client and tuple(client), version)
        scope.setdefault("extensions", {})[PEER] = peer
        task = asyncio.current_task()
        assert task is not None
        requests.add(task)
        try:
            await application(scope, receive, send)
        finally:
            requests.discard(task)

    return told


class GranianCore(LoopCore):
    """granian, one of its servers for each listener, all on one loop.

    Args:
        listeners: Where to listen; HTTP only.
        limits: Bounds; the defaults when left out.
    """

    name = "granian"

    def __init__(self, listeners: Sequence[Listener], limits: CoreLimits | None = None) -> None:
        super().__init__(listeners, limits)
        self._requests: set[asyncio.Task[Any]] = set()

    def check(self, listener: Listener) -> None:
        """Refuse a listener that asks for certificates: granian tells nobody what it was shown."""
        super().check(listener)
        if self.wants_certificates(listener):
            raise UnservableError(
                f"granian does not tell which certificate a caller has shown, so nobody could be known by it on {listener.url}; write"
                ' client_certificate = "off", or choose the core asyncio, uvicorn, gunicorn or cheroot'
            )

    async def serve(self) -> None:
        """Serve until stopped; see `LoopCore.serve`."""
        servers = [self._server(listener) for listener in self.listeners]
        tasks = [self.loop.create_task(server.serve()) for server in servers]
        stopped = self.loop.create_task(self.stopped.wait())
        await asyncio.wait([stopped, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for listener in self.listeners:
            listener.socket.close()
        for server in servers:
            server.stop()
        stopped.cancel()
        _, hanging = await asyncio.wait(tasks, timeout=self.limits.stop_time or None)
        if hanging:
            await cancel(self._requests)
            await asyncio.wait(hanging, timeout=CANCEL_SECONDS)

    def _server(self, listener: Listener) -> _Server:
        limits = self.limits
        certificate, key = listener.files
        tls: dict[str, Any] = {}
        if listener.tls is not None:
            newest_only = listener.tls.minimum_version is ssl.TLSVersion.TLSv1_3
            minimum = SSLProtocols.tls13 if newest_only else SSLProtocols.tls12
            tls = {"ssl_cert": Path(certificate), "ssl_key": Path(key), "ssl_protocol_min": minimum}
        return _Server(
            _telling(self.application(listener), listener, self._requests),
            listener,
            limits.backlog,
            interface=Interfaces.ASGINL,
            http=HTTPModes.http1,
            websockets=False,
            log_enabled=False,
            backpressure=limits.connections,
            http1_settings=HTTP1Settings(header_read_timeout=int((limits.receive_time or 1e6) * 1000)),
            **tls,
        )
