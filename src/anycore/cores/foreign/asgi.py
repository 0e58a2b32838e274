"""The ASGI application of a site (ASGI 3.0, HTTP and lifespan). Which server calls it is not known here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import quote

from anycore.conversations.gateway import Visit
from anycore.cores.foreign.peers import asgi_peer

if TYPE_CHECKING:
    from anycore.conversations.site import HttpSite
    from anycore.cores.foreign.runner import LoopRunner
    from anycore.kernel.call import Peer

_log = logging.getLogger("anycore.core")

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_PIECE: Final = 1 << 18
ABORT: Final = "anycore.abort"
"""The extension of a scope with which a connection is ended whose peer does not read."""


class Lifespan(Protocol):
    """What is to be started and stopped with a server."""

    async def start(self) -> None:
        """Start, unless that has been done. What it raises keeps the server from starting."""

    async def stop(self) -> None:
        """Stop."""


class AsgiApplication:
    """Answers requests that an ASGI server has read.

    Args:
        runner: Runs the jobs.
        site_of: Returns the site that answers a peer.
        lifespan: What starts and stops with the server; None when a core sees to that.
    """

    def __init__(
        self, runner: LoopRunner, site_of: Callable[[Peer], HttpSite], lifespan: Lifespan | None = None
    ) -> None:
        self._runner = runner
        self._site_of = site_of
        self._lifespan = lifespan

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take a connection scope; see the ASGI specification."""
        kind = scope["type"]
        if kind == "http":
            if self._lifespan is not None:
                await self._lifespan.start()
            await self._serve(scope, receive, send)
        elif kind == "lifespan":
            await self._live(receive, send)
        elif kind == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1003})
        else:
            raise RuntimeError(f"Anycore answers the ASGI scopes http and lifespan, not {kind!r}")

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            if self._lifespan is not None:
                await self._lifespan.start()
        except Exception as error:  # noqa: BLE001 - whatever it is, the other server is told
            _log.exception("the server cannot start")
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        if self._lifespan is not None:
            await self._lifespan.stop()
        await send({"type": "lifespan.shutdown.complete"})

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        visit = _visit(scope, self._site_of)
        limits = self._runner.limits
        if not await self._timed(visit, limits.receive_time, _receive(visit, receive)):
            return
        if not visit.answered:
            await self._timed(visit, limits.work_time, self._work(visit))
        try:
            async with asyncio.timeout(limits.send_time or None):
                await _answer(visit, send, alone=scope["http_version"] in ("1.0", "1.1"))
        except TimeoutError:
            self._runner.late()
            abort = scope.get("extensions", {}).get(ABORT)
            if abort is not None:
                abort()
        except OSError:
            pass  # the peer has gone: there is nobody to tell

    async def _work(self, visit: Visit) -> bool:
        try:
            await self._runner.settle(visit, visit.open())
        except Exception:  # noqa: BLE001 - one request's failure is not another's
            _log.exception("a request from %s failed", visit.peer)
            visit.fail()
        return True

    async def _timed(self, visit: Visit, limit: float, work: Awaitable[bool]) -> bool:
        try:
            async with asyncio.timeout(limit or None):
                return await work
        except TimeoutError:
            self._runner.late()
            visit.time_out()
            return True


def _visit(scope: Scope, site_of: Callable[[Peer], HttpSite]) -> Visit:
    peer = asgi_peer(scope)
    version = scope["http_version"]
    return Visit(
        site_of(peer),
        peer,
        scope["method"],
        _target(scope),
        scope["headers"],
        version=version,
        framed=version not in ("1.0", "1.1"),
    )


def _target(scope: Scope) -> bytes:
    """Return the target as it was sent, without the path under which the server has mounted us."""
    path: bytes = scope.get("raw_path") or _quoted(scope["path"])
    path = path.partition(b"?")[0]
    root = scope.get("root_path", "").rstrip("/")
    if root:
        path = path.removeprefix(_quoted(root)) or b"/"
    query: bytes = scope.get("query_string", b"")
    return b"%b?%b" % (path, query) if query else path


def _quoted(path: str) -> bytes:
    return quote(path, safe="/*:@!$&'()+,;=~").encode()


async def _receive(visit: Visit, receive: Receive) -> bool:
    """Read the body as far as it is wanted; tell whether the peer is still there."""
    more = visit.wants_body
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            visit.cut()
            return False
        visit.feed(message.get("body", b""))
        more = message.get("more_body", False) and not visit.answered
    return True


async def _answer(visit: Visit, send: Send, *, alone: bool) -> None:
    status, headers, body = visit.answer()
    encoded = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    if visit.last and alone:
        encoded.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    # In pieces: servers wait for the peer to take one before they take the next, and not after the last.
    for start in range(0, len(body) - _PIECE, _PIECE):
        await send({"type": "http.response.body", "body": body[start : start + _PIECE], "more_body": True})
    await send({"type": "http.response.body", "body": body[max(0, (len(body) - 1) // _PIECE) * _PIECE :]})
