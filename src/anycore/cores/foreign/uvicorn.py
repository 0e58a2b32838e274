"""The core `uvicorn`: its server on our sockets, with protocols that tell the application who the peer is.

uvicorn itself hands neither the peer's certificate nor the process behind a Unix socket to the application. What is needed of its inside
for that is in this module, and a test fails when it changes: the attributes `app`, `cycle` and `transport` of its protocols.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import TYPE_CHECKING, Any, Final

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from anycore.cores.base import AT_CONNECTIONS, peer_of
from anycore.cores.foreign.asgi import ABORT
from anycore.cores.foreign.base import LoopCore
from anycore.cores.foreign.peers import PEER
from anycore.cores.unix_peers import process_behind
from anycore.kernel.call import Peer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from anycore.cores.base import CoreLimits, Listener
    from anycore.cores.foreign.asgi import Receive, Scope, Send
_NEVER: Final = 1e6
"""Seconds, eleven days: for time limits of uvicorn that cannot be switched off."""


class Telling(asyncio.Protocol):
    """Goes before a protocol of uvicorn's: adds to each scope who the peer is, and ends connections that are silent for too long."""

    app: Any
    config: Any
    cycle: Any
    transport: Any
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is ready, its hand-shake done."""
        super().connection_made(transport)
        core: UvicornCore | None = getattr(self.config, "anycore_core", None)
        peer = _peer(transport, getattr(self.config, "anycore_listener", None))
        application = self.app
        if core is not None and core.connections()[0] > core.limits.connections:
            core.runner.counted.refused += 1
            application = _refuse

        async def told(scope: Scope, receive: Receive, send: Send) -> None:
            self._disarm()
            scope.setdefault("extensions", {}).update({PEER: peer, ABORT: self.transport.abort})
            await application(scope, receive, send)

        self.app = told
        if core is not None:
            core.accepted += 1
            self._arm(core.limits.idle_time, quiet=True)

    def data_received(self, data: bytes) -> None:
        """Take bytes; the head of a request is to arrive in time."""
        core: UvicornCore | None = getattr(self.config, "anycore_core", None)
        if core is not None and self._timer is None and (self.cycle is None or self.cycle.response_complete):
            self._arm(core.limits.receive_time)
        super().data_received(data)

    def pause_writing(self) -> None:
        """The peer does not take what it is sent."""
        super().pause_writing()
        core: UvicornCore | None = getattr(self.config, "anycore_core", None)
        if core is not None:
            self._disarm()
            self._arm(core.limits.send_time)

    def resume_writing(self) -> None:
        """The peer has taken most of what it was sent."""
        self._disarm()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended."""
        self._disarm()
        super().connection_lost(exc)

    def _arm(self, seconds: float, *, quiet: bool = False) -> None:
        if seconds:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._expire, quiet)

    def _expire(self, quiet: bool) -> None:
        if not quiet:
            self.config.anycore_core.runner.late()
        self.transport.abort()

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class TellingH11(Telling, H11Protocol):
    """For `uvicorn --http anycore.cores.foreign.uvicorn:TellingH11`."""


class TellingHttpTools(Telling, HttpToolsProtocol):
    """For `uvicorn --http anycore.cores.foreign.uvicorn:TellingHttpTools`, and what the core uses."""


def _peer(transport: asyncio.BaseTransport, listener: Listener | None) -> Peer:
    tls = transport.get_extra_info("ssl_object")
    version, certificate = (tls.version() or "", tls.getpeercert(binary_form=True)) if tls is not None else ("", None)
    address, connected = transport.get_extra_info("peername"), transport.get_extra_info("socket")
    if listener is not None:
        return peer_of(listener, address, version, certificate, connected)
    if not isinstance(address, tuple):
        unix = isinstance(transport.get_extra_info("sockname"), str)
        if unix and connected is not None:
            return Peer.of_address("", version, certificate, process_behind(connected))
        return Peer("unix" if unix else "tcp", "", 0, version, certificate, local=unix)
    return Peer.of_address(address, version, certificate)


async def _refuse(_scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer a connection more than there may be."""
    headers = [(b"content-type", b"text/plain"), (b"connection", b"close"), (b"retry-after", b"1")]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": f"{AT_CONNECTIONS}\n".encode()})


def _present(listener: Listener) -> ssl.SSLContext:
    """Return a TLS context that goes on with the certificate that the listener has then, as uvicorn keeps the one it is given.

    Whether peers must show a certificate stays as it was: OpenSSL does not take that from the new one. A session of TLS 1.2 that began with
    the old one would be resumed without a look at the peer's certificate, which may have been revoked: it is refused.
    """
    context = listener.tls
    assert context is not None

    def change(connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> int | None:
        if listener.tls is not None and listener.tls is not context:
            if connection.session_reused and context.verify_mode is not ssl.CERT_NONE:
                return ssl.ALERT_DESCRIPTION_HANDSHAKE_FAILURE
            connection.context = listener.tls
        return None

    context.sni_callback = change
    return context


class _Server(uvicorn.Server):
    """Leaves signals alone: they are the command's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class UvicornCore(LoopCore):
    """uvicorn, one of its servers for each listener, all on one loop.

    Args:
        listeners: Where to listen; HTTP only.
        limits: Bounds; the defaults when left out.

    Attributes:
        accepted: Connections so far.
    """

    name = "uvicorn"

    def __init__(self, listeners: Sequence[Listener], limits: CoreLimits | None = None) -> None:
        super().__init__(listeners, limits)
        self.accepted = 0
        self._servers: list[_Server] = []

    async def serve(self) -> None:
        """Serve until stopped; see `LoopCore.serve`."""
        self._servers = [self._server(listener) for listener in self.listeners]
        tasks = [
            self.loop.create_task(server.serve(sockets=[listener.socket]))
            for server, listener in zip(self._servers, self.listeners, strict=True)
        ]
        stopped = self.loop.create_task(self.stopped.wait())
        await asyncio.wait([stopped, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for server in self._servers:
            server.should_exit = True
        stopped.cancel()
        await asyncio.gather(*tasks)

    def _server(self, listener: Listener) -> _Server:
        limits = self.limits
        config = uvicorn.Config(
            self.application(listener),
            http=TellingHttpTools,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            log_level="warning",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            backlog=limits.backlog,
            timeout_keep_alive=limits.idle_time or _NEVER,  # given to the loop, which takes fractions
            timeout_graceful_shutdown=limits.stop_time or None,
            ssl_context_factory=None if listener.tls is None else lambda *_: _present(listener),
        )
        config.anycore_core, config.anycore_listener = self, listener
        return _Server(config)

    def connections(self) -> tuple[int, int]:
        """Return how many connections are open, and how many were accepted so far."""
        return sum(len(server.server_state.connections) for server in self._servers), self.accepted
