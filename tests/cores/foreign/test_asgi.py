"""The ASGI application, called as a server would call it."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from typing import Any

import pytest

from anycore import Plugin, exposed
from anycore.conversations.site import HttpSite, Limits
from anycore.cores.base import CoreLimits
from anycore.cores.foreign.asgi import ABORT, AsgiApplication
from anycore.cores.foreign.runner import LoopRunner
from anycore.kernel.kernel import Kernel
from anycore.kernel.registry import verify


class Echo(Plugin):
    @exposed(quick=True)
    def say(self, text: str) -> str:
        return text

    @exposed
    async def wait(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    @exposed(quick=True)
    def big(self, size: int) -> str:
        return "x" * size


class Server:
    """What stands for the server: messages to receive, and those that were sent."""

    def __init__(self, **limits: Any) -> None:
        kernel = Kernel()
        kernel.registry.commit([verify(Echo(), "here")])
        self.site = HttpSite(kernel, limits=Limits(body=10_000))
        self.runner = LoopRunner(CoreLimits(**limits))
        self.runner.loop = asyncio.get_running_loop()
        self.application = AsgiApplication(self.runner, lambda _: self.site)
        self.received: deque[dict[str, Any]] = deque()
        self.sent: list[Any] = []
        self.blocked = False

    async def receive(self) -> dict[str, Any]:
        if not self.received:
            await asyncio.get_running_loop().create_future()
        return self.received.popleft()

    async def send(self, message: Any) -> None:
        if self.blocked:
            await asyncio.get_running_loop().create_future()
        self.sent.append(message)

    async def ask(self, method: str, *params: Any, **scope: Any) -> Any:
        """Call; return the status and the JSON of the answer."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        self.received.append({"type": "http.request", "body": body[:9], "more_body": True})
        self.received.append({"type": "http.request", "body": body[9:]})
        await self.application(request(len(body), **scope), self.receive, self.send)
        start, *pieces = self.sent
        return start["status"], json.loads(b"".join(piece["body"] for piece in pieces))


def request(length: int, **scope: Any) -> dict[str, Any]:
    headers = [(b"host", b"localhost"), (b"content-type", b"application/json"), (b"content-length", b"%d" % length)]
    own = {"type": "http", "http_version": "1.1", "method": "POST", "path": "/jsonrpc", "raw_path": b"/jsonrpc"}
    return {**own, "query_string": b"", "headers": headers, "client": ("127.0.0.1", 1), **scope}


async def test_bodies_arrive_in_pieces_and_answers_leave_so() -> None:
    server = Server()
    assert (await server.ask("echo.say", "hello"))[1]["result"] == "hello"
    server.sent.clear()
    status, answer = await server.ask("echo.big", 1_000_000)
    assert (status, len(answer["result"])) == (200, 1_000_000)
    assert [message.get("more_body", False) for message in server.sent[1:]] == [True, True, True, False]


@pytest.mark.parametrize(
    "scope",
    [
        {"root_path": "/rpc", "path": "/rpc/jsonrpc", "raw_path": b"/rpc/jsonrpc"},
        {"raw_path": None},
        {"raw_path": b"/jsonrpc?twice=1", "query_string": b"twice=1"},
        {"http_version": "2", "headers": [(b"host", b"localhost"), (b"content-type", b"application/json")]},
    ],
)
async def test_it_may_be_mounted_and_asked_over_http_2(scope: dict[str, Any]) -> None:
    assert (await Server().ask("echo.say", "hello", **scope))[0] == 200


async def test_a_peer_that_goes_amid_the_body_is_not_answered() -> None:
    server = Server()
    server.received += [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]
    await server.application(request(50), server.receive, server.send)
    assert server.sent == []
    assert server.site.incidents.counts() == {"http-cut": 1}


async def test_a_body_is_not_read_beyond_the_limit() -> None:
    server = Server()
    headers = [(b"host", b"localhost"), (b"content-type", b"application/json"), (b"transfer-encoding", b"chunked")]
    server.received += [{"type": "http.request", "body": b" " * 4000, "more_body": True} for _ in range(50)]
    await server.application(request(0, headers=headers), server.receive, server.send)
    assert server.sent[0]["status"] == 413
    assert (b"connection", b"close") in server.sent[0]["headers"]
    assert len(server.received) == 47


async def test_slow_bodies_and_slow_answers_are_told_so() -> None:
    server = Server(receive_time=0.05)
    server.received.append({"type": "http.request", "body": b"{", "more_body": True})
    await server.application(request(50), server.receive, server.send)
    assert server.sent[0]["status"] == 408
    late = Server(work_time=0.05)
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "echo.wait", "params": [60]}).encode()
    late.received.append({"type": "http.request", "body": body})
    await late.application(request(len(body)), late.receive, late.send)
    assert late.sent[0]["status"] == 503
    assert (server.runner.counted.timed_out, late.runner.counted.timed_out) == (1, 1)
    assert late.runner.counted.in_flight == 0


async def test_a_peer_that_does_not_read_is_ended() -> None:
    server = Server(send_time=0.05)
    server.blocked = True
    ended: list[bool] = []
    server.received.append({"type": "http.request", "body": b""})
    scope = request(0, method="GET", path="/", raw_path=b"/nowhere", extensions={ABORT: lambda: ended.append(True)})
    await server.application(scope, server.receive, server.send)
    assert ended == [True]
    assert server.runner.counted.timed_out == 1


async def test_a_batch_runs_side_by_side() -> None:
    server = Server()
    calls = [{"jsonrpc": "2.0", "id": number, "method": "echo.wait", "params": [0.2]} for number in range(100)]
    body = json.dumps(calls).encode()
    server.received.append({"type": "http.request", "body": body})
    async with asyncio.timeout(15):
        await server.application(request(len(body)), server.receive, server.send)
    assert len(json.loads(server.sent[1]["body"])) == 100


async def test_a_start_that_fails_is_told_to_the_server() -> None:
    class Broken:
        async def start(self) -> None:
            raise RuntimeError("broken on purpose")

        async def stop(self) -> None:
            raise AssertionError("not started")

    server = Server()
    server.received.append({"type": "lifespan.startup"})
    application = AsgiApplication(server.runner, lambda _: server.site, Broken())
    await application({"type": "lifespan"}, server.receive, server.send)
    assert server.sent == [{"type": "lifespan.startup.failed", "message": "broken on purpose"}]


async def test_what_is_no_http_is_refused() -> None:
    server = Server()
    server.received.append({"type": "websocket.connect"})
    await server.application({"type": "websocket"}, server.receive, server.send)
    assert server.sent == [{"type": "websocket.close", "code": 1003}]
    with pytest.raises(RuntimeError, match="not 'gopher'"):
        await server.application({"type": "gopher"}, server.receive, server.send)
