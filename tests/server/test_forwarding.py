"""Whole servers behind proxies: whose address counts, on every core, over every kind of listener, and inside of other servers."""

from __future__ import annotations

import asyncio
import http.client
import io
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from anycore.kernel.call import Call
from anycore.kernel.plugin import Plugin, exposed
from anycore.kernel.registry import verify
from anycore.server.application import Server
from anycore.server.hosted import asgi_application, wsgi_application
from anycore.server.identity import prepare_identity
from anycore.settings.sources import load_settings
from anycore.settings.tables import Settings
from anycore.wire.faults import ACCESS_DENIED

CORES = ["asyncio", "threaded", "pool", "uvicorn", "gunicorn", "cheroot", "granian"]
OWN = CORES[:3]
SOCKETS = ["asyncio", "threaded", "pool", "uvicorn", "gunicorn", "cheroot"]
BODY = '{"jsonrpc": "2.0", "id": 1, "method": "where.am_i"}'
ALL = '[access]\ndefault = "allow"\n'
LISTED = '[authentication]\nproxies = ["127.0.0.1", "unix"]\n'


class Where(Plugin):
    @exposed(quick=True)
    def am_i(self, call: Call) -> list[Any]:
        peer = call.peer
        return [peer.host, peer.local, peer.proxy, call.identity.kind, call.identity.name]


Ask = Callable[..., tuple[int, Any]]


def settings_of(folder: Path, text: str) -> Settings:
    file = folder / "anycore.toml"
    file.write_text(text)
    return load_settings(file=str(file), environment={})


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    with ExitStack() as stack:

        def serve(text: str, core: str = "asyncio", *, unix: bool = False) -> Server:
            url = f"unix+http://{tmp_path}/s" if unix else "http://127.0.0.1:0"
            settings = settings_of(tmp_path, f'{text}\n[server]\ncore = "{core}"\n[[listen]]\nurl = "{url}"\n')
            ready = threading.Event()
            server = Server(settings, lambda _: ready.set())
            thread = threading.Thread(target=server.run, kwargs={"signals": False})
            stack.callback(thread.join, 60)
            stack.callback(server.stop)
            thread.start()
            assert ready.wait(60)
            server.kernel.registry.commit([verify(Where(), "test")])
            return server

        yield serve


def connection_to(server: Server) -> http.client.HTTPConnection:
    url = server.urls[0]
    if not url.startswith("unix"):
        return http.client.HTTPConnection("127.0.0.1", int(url.rpartition(":")[2]), timeout=60)
    connection = http.client.HTTPConnection("localhost", timeout=60)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.settimeout(60)
    connection.sock.connect(url.removeprefix("unix+http://"))
    return connection


def ask(server: Server, *fields: tuple[str, str], connection: http.client.HTTPConnection | None = None) -> Any:
    """Call; return the status where it is not 200, else the result or the code of the fault."""
    used = connection or connection_to(server)
    try:
        used.putrequest("POST", "/jsonrpc")
        for name, value in (("Content-Type", "application/json"), ("Content-Length", str(len(BODY))), *fields):
            used.putheader(name, value)
        used.endheaders(BODY.encode())
        response = used.getresponse()
        body = response.read()
    finally:
        if connection is None:
            used.close()
    return outcome(response.status, body)


def outcome(status: int, body: bytes) -> Any:
    if status != 200:
        return status
    answer = json.loads(body)
    return answer["result"] if "result" in answer else answer["error"]["code"]


XFF = "X-Forwarded-For"


@pytest.mark.parametrize("core", CORES)
def test_a_proxy_that_is_not_listed_opens_nothing(serve: Callable[..., Server], core: str) -> None:
    server = serve("", core)
    assert ask(server)[:2] == ["127.0.0.1", True]
    for field in (XFF, "Forwarded", "X-Real-IP", "Via", "x-forwarded-proto"):
        assert ask(server, (field, "127.0.0.1")) == ACCESS_DENIED


@pytest.mark.parametrize("core", SOCKETS)
def test_a_proxy_on_a_unix_socket_that_is_not_listed_opens_nothing(serve: Callable[..., Server], core: str) -> None:
    server = serve("", core, unix=True)
    assert ask(server)[1] is True
    assert ask(server, ("Via", "1.1 nginx")) == ACCESS_DENIED


@pytest.mark.parametrize("core", CORES)
def test_a_listed_proxy_names_the_caller(serve: Callable[..., Server], core: str) -> None:
    server = serve(ALL + LISTED, core)
    assert ask(server, (XFF, "192.0.2.1")) == ["192.0.2.1", False, "127.0.0.1", "anonymous", "anonymous"]
    assert ask(server, (XFF, "127.0.0.1"), (XFF, "2001:db8::1"))[:2] == ["2001:db8::1", False]
    assert ask(server, (XFF, "::1"))[:2] == ["::1", False]
    assert ask(server)[:2] == ["127.0.0.1", False]
    assert ask(server, (XFF, "unknown")) == 400
    assert server.incidents.counts() == {"http-forwarded": 1}


@pytest.mark.parametrize("core", SOCKETS)
def test_a_listed_proxy_on_a_unix_socket_names_the_caller(serve: Callable[..., Server], core: str) -> None:
    server = serve(ALL + LISTED, core, unix=True)
    assert ask(server, (XFF, "192.0.2.1")) == ["192.0.2.1", False, "unix", "anonymous", "anonymous"]


def test_the_user_of_a_proxy_is_not_its_callers(serve: Callable[..., Server]) -> None:
    server = serve(ALL, unix=True)
    assert ask(server)[3] == "unix"
    assert ask(server, (XFF, "192.0.2.1"))[3:] == ["anonymous", "anonymous"]


@pytest.mark.parametrize("core", OWN)
def test_rules_and_waiting_go_by_the_callers_address(serve: Callable[..., Server], core: str) -> None:
    rules = '[[access.rule]]\nallow = ["*"]\nto = ["net:192.0.2.0/24"]\n'
    server = serve(f"{LISTED}attempts = 1\n{rules}", core)
    assert ask(server, (XFF, "192.0.2.1"))[0] == "192.0.2.1"
    assert ask(server, (XFF, "192.0.2.1, 198.51.100.1")) == ACCESS_DENIED
    assert ask(server) == ACCESS_DENIED
    wrong = ("Authorization", "Bearer anycore_0123456789_wrong")
    assert [ask(server, (XFF, "192.0.2.1"), wrong) for _ in range(3)][-1] == 429
    assert ask(server, (XFF, "192.0.2.2"), wrong) == 401


def test_what_proxies_are_listed_counts_at_once_for_open_connections(
    serve: Callable[..., Server], tmp_path: Path
) -> None:
    server = serve(ALL)
    connection = connection_to(server)
    try:
        assert ask(server, (XFF, "192.0.2.1"), connection=connection)[0] == "127.0.0.1"
        prepare_identity(server, settings_of(tmp_path, f'{LISTED}proxy_address = "X-Real-IP"\n'))()
        fields = (("X-Real-IP", "192.0.2.1"), (XFF, "192.0.2.2"))
        assert ask(server, *fields, connection=connection)[0] == "192.0.2.1"
    finally:
        connection.close()


def scope_of(*fields: tuple[str, str], client: tuple[str, int] = ("127.0.0.1", 7)) -> dict[str, Any]:
    headers = [("host", "localhost"), ("content-type", "application/json"), ("content-length", str(len(BODY))), *fields]
    return {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "path": "/jsonrpc",
        "raw_path": b"/jsonrpc",
        "query_string": b"",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers],
        "client": client,
    }


PLUGIN = """
from anycore import Call, Plugin, exposed

class Where(Plugin):
    @exposed
    def am_i(self, call: Call) -> list:
        peer = call.peer
        return [peer.host, peer.local, peer.proxy, call.identity.kind, call.identity.name]
"""


def inside(folder: Path, text: str) -> Settings:
    (folder / "where.py").write_text(PLUGIN)
    return settings_of(folder, f'{text}\n[server]\nplugins = ["where.py"]\n')


async def asgi(application: Any, scope: dict[str, Any]) -> Any:
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": BODY.encode()}

    async def send(message: Any) -> None:
        sent.append(message)

    await application(scope, receive, send)
    return outcome(sent[0]["status"], b"".join(one["body"] for one in sent[1:]))


@pytest.mark.parametrize("listed", [False, True])
async def test_it_holds_for_the_asgi_application(tmp_path: Path, listed: bool) -> None:
    application = asgi_application(inside(tmp_path, ALL + LISTED if listed else ""))
    events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    told: asyncio.Queue[Any] = asyncio.Queue()
    life = asyncio.create_task(application({"type": "lifespan"}, events.get, told.put))
    await events.put({"type": "lifespan.startup"})
    assert (await asyncio.wait_for(told.get(), 60))["type"] == "lifespan.startup.complete"
    try:
        found = await asgi(application, scope_of((XFF, "192.0.2.1")))
        # What uvicorn has rewritten by what a proxy says has port 0, or stands in the field. It is nobody's of this machine, and no proxy's either.
        rewritten = [await asgi(application, scope_of((XFF, "x, 127.0.0.1:80"), client=("127.0.0.1", 80)))]
        rewritten.append(await asgi(application, scope_of(client=("127.0.0.1", 0))))
        if listed:
            assert found[:3] == ["192.0.2.1", False, "127.0.0.1"]
            assert [one[:3] for one in rewritten] == [["127.0.0.1", False, "server"]] * 2
        else:
            assert [found, *rewritten] == [ACCESS_DENIED] * 3
            assert (await asgi(application, scope_of()))[:2] == ["127.0.0.1", True]
    finally:
        await events.put({"type": "lifespan.shutdown"})
        await asyncio.wait_for(life, 60)


@pytest.mark.parametrize("listed", [False, True])
def test_it_holds_for_the_wsgi_application(tmp_path: Path, listed: bool) -> None:
    application = wsgi_application(inside(tmp_path, ALL + LISTED if listed else ""))

    def call(**more: str) -> Any:
        environ = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": "/jsonrpc",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "HTTP_HOST": "localhost",
            "CONTENT_TYPE": "application/json",
            "CONTENT_LENGTH": str(len(BODY)),
            "wsgi.input": io.BytesIO(BODY.encode()),
            **more,
        }
        statuses: list[str] = []
        pieces = application(environ, lambda status, headers: statuses.append(status))
        return outcome(int(statuses[0][:3]), b"".join(pieces))

    try:
        found = call(HTTP_X_FORWARDED_FOR="6.6.6.6,192.0.2.1")
        if listed:
            assert found[:3] == ["192.0.2.1", False, "127.0.0.1"]
            assert call(HTTP_X_FORWARDED_FOR="192.0.2.1,") == 400
        else:
            assert found == ACCESS_DENIED
            assert call()[:2] == ["127.0.0.1", True]
    finally:
        application.stop()


async def test_uvicorn_rewrites_nothing_in_our_core_and_nothing_that_counts_by_itself() -> None:
    """uvicorn's own `proxy_headers` is on by default where its command starts our application."""
    import uvicorn

    from anycore.cores.foreign.peers import asgi_peer

    scopes: list[Any] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    server = uvicorn.Server(uvicorn.Config(application, lifespan="off", log_config=None, timeout_graceful_shutdown=1))
    with socket.create_server(("127.0.0.1", 0)) as bound:
        serving = asyncio.create_task(server._serve([bound]))
        reader, writer = await asyncio.open_connection(*bound.getsockname())
        for claim in (b"127.0.0.1", b"127.0.0.1:80", b"[::1]:80", b"::1", b"198.51.100.1"):
            writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: %b\r\n\r\n" % claim)
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        writer.close()
        server.should_exit = True
        await serving
    peers = [asgi_peer(scope) for scope in scopes]
    assert [(peer.host, peer.local, peer.proxy) for peer in peers] == [
        ("127.0.0.1", False, "server"),
        ("127.0.0.1", False, "server"),
        ("::1", False, "server"),
        ("::1", False, "server"),
        ("198.51.100.1", False, "server"),
    ]
