"""What we use of the inside of others' servers is still there: these fail when a new version has changed it."""

from __future__ import annotations

import asyncio
import inspect
import socket
import ssl
from typing import Any

import cheroot.connections
import cheroot.server
import cheroot.wsgi
import gunicorn.workers.gthread
import pytest
import uvicorn
from granian._granian import SocketHolder
from granian.server.embed import Server as Embedded
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from anycore.cores.foreign.asgi import ABORT
from anycore.cores.foreign.peers import PEER, asgi_peer
from anycore.cores.foreign.uvicorn import TellingH11, TellingHttpTools
from anycore.kernel.call import Peer
from anycore.testing.certificate import CERTIFICATE, certificate_der, client_context, server_context


@pytest.mark.parametrize("protocol", [TellingH11, TellingHttpTools])
@pytest.mark.parametrize("tls", [False, True])
async def test_uvicorn_hands_over_what_its_protocol_tells(protocol: type[asyncio.Protocol], tls: bool) -> None:
    scopes: list[Any] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    config = uvicorn.Config(
        application,
        http=protocol,
        lifespan="off",
        log_config=None,
        ssl_context_factory=(lambda *_: server_context(ask=True)) if tls else None,
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as bound:
        serving = asyncio.create_task(server._serve([bound]))
        context = client_context(show=True) if tls else None
        name = "localhost" if tls else None
        reader, writer = await asyncio.open_connection(*bound.getsockname(), ssl=context, server_hostname=name)
        for _ in range(2):
            writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        port = writer.get_extra_info("sockname")[1]
        writer.close()
        server.should_exit = True
        await serving
    for scope in scopes:
        peer = asgi_peer(scope)
        assert peer is scope["extensions"][PEER]
        assert (peer.host, peer.port, peer.local) == ("127.0.0.1", port, True)
        assert (peer.tls, peer.certificate) == (("TLSv1.3", certificate_der()) if tls else ("", None))
        assert callable(scope["extensions"][ABORT])
    assert len(scopes) == 2


def test_the_tls_extension_of_asgi_is_asked_first() -> None:
    pem = CERTIFICATE[CERTIFICATE.index("-----BEGIN CERT") :]
    scope: dict[str, Any] = {"type": "http", "scheme": "https", "client": ("192.0.2.1", 5), "server": ("h", 1)}
    assert asgi_peer(scope).tls == "TLS"
    assert not asgi_peer(scope).local
    scope["extensions"] = {"tls": {"tls_version": 0x0304, "client_cert_chain": [pem], "client_cert_error": None}}
    assert (asgi_peer(scope).tls, asgi_peer(scope).certificate) == ("TLSv1.3", ssl.PEM_cert_to_DER_cert(pem))
    scope["extensions"][PEER] = Peer("unix", "", 0, "TLSv1.2", None, local=True, uid=7)
    peer = asgi_peer(scope)
    assert (peer.tls, peer.certificate, peer.uid) == ("TLSv1.3", certificate_der(), 7)
    scope["extensions"] = {"tls": {"tls_version": 1, "client_cert_chain": [pem], "client_cert_error": "expired"}}
    assert asgi_peer(scope).certificate is None


@pytest.mark.parametrize(
    ("scope", "transport", "local"),
    [
        ({"client": None, "server": ("/run/s", None)}, "unix", True),
        ({"client": None, "server": ("127.0.0.1", 80)}, "tcp", False),
        ({"client": ("127.0.0.1", 7), "server": None}, "tcp", True),
        ({"client": ("127.0.0.1", 0), "server": None}, "tcp", False),
        ({"client": ("unix:x", 0), "server": ("127.0.0.1", 80)}, "tcp", False),
        ({}, "tcp", False),
    ],
)
def test_nobody_is_local_whose_address_is_unknown(scope: dict[str, Any], transport: str, local: bool) -> None:
    peer = asgi_peer(scope)
    assert (peer.transport, peer.local, peer.tls) == (transport, local, "")


def test_uvicorn_has_what_we_override() -> None:
    for protocol in (H11Protocol, HttpToolsProtocol):
        own = vars(protocol)
        assert {"connection_made", "data_received", "connection_lost", "pause_writing", "resume_writing"} <= set(own)
        made = inspect.getsource(protocol)
        assert "app = self.app" in made
        assert "self.cycle.response_complete" in made
    assert "capture_signals" in vars(uvicorn.Server)


def test_granian_takes_a_socket() -> None:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        holder = SocketHolder(bound.fileno(), False, 10)
        assert holder.get_fd() == bound.fileno()
    assert "self._init_shared_socket()" in inspect.getsource(Embedded.startup)
    assert "(self._ssp, self._shd)" in inspect.getsource(Embedded._spawn_worker)


def test_gunicorn_has_what_we_override() -> None:
    worker, connection = gunicorn.workers.gthread.ThreadWorker, gunicorn.workers.gthread.TConn
    for name in ("init_signals", "notify", "is_parent_alive", "get_thread_pool", "accept", "set_accept_enabled",
                 "_cap_keepalive", "handle_exit", "on_pending_socket_readable", "run", "init_process"):  # fmt: skip
        assert callable(getattr(worker, name)), name
    assert "conn.init()" in inspect.getsource(worker.handle)
    assert "self.initialized" in inspect.getsource(connection.init)
    assert "pending_conns" in inspect.getsource(worker.murder_pending)


def test_cheroot_has_what_we_override() -> None:
    prepare = inspect.getsource(cheroot.server.HTTPServer.prepare)
    assert "self.bind(" in prepare
    assert "self.bind_unix_socket(" in prepare
    assert "LISTEN_PID" in prepare
    manager = cheroot.connections.ConnectionManager
    assert "process_conn(new_conn)" in inspect.getsource(manager)
    assert "_unservicable_conns" in inspect.getsource(cheroot.server.HTTPServer)
    assert callable(cheroot.wsgi.Gateway_10.get_environ)
