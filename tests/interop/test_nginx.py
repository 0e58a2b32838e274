"""The real nginx in front: addresses and certificates of its callers arrive, and what these write into its fields themselves does not count."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from anycore.kernel.call import Call
from anycore.kernel.plugin import Plugin, exposed
from anycore.kernel.registry import verify
from anycore.server.application import Server
from anycore.settings.sources import load_settings
from anycore.testing import Certifier
from anycore.wire.faults import ACCESS_DENIED

from .conftest import missing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

BODY = '{"jsonrpc": "2.0", "id": 1, "method": "where.am_i"}'
CALLER = "127.0.0.2"  # the whole of 127.0.0.0/8 is this machine's, so that a caller can have another address than nginx
SECONDS = 30
CONFIGURATION = """
%(user)s
daemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr;
events {}
http {
    access_log off;
    map $http_forwarded $forwarded {
        "" "for=$remote_addr";
        default "$http_forwarded, for=$remote_addr";
    }
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    server {
        listen 127.0.0.1:%(port)d %(ssl)s;
        %(more)s
        location / {
            proxy_pass %(behind)s;
            proxy_set_header Host localhost;
            %(fields)s
        }
    }
}
"""
FIELDS = {
    "X-Forwarded-For": "$proxy_add_x_forwarded_for",
    "X-Real-IP": "$remote_addr",
    "Forwarded": "$forwarded",
}
TLS = """
        ssl_certificate server.pem;
        ssl_certificate_key server.pem;
        ssl_client_certificate ca.pem;
        ssl_verify_client optional;
"""


class Where(Plugin):
    @exposed(quick=True)
    def am_i(self, call: Call) -> list[Any]:
        peer = call.peer
        return [peer.host, peer.local, peer.proxy, call.identity.kind, call.identity.dn]


@pytest.fixture
def cleanup() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def serve(tmp_path: Path, cleanup: ExitStack) -> Callable[..., str]:
    def serve(text: str, url: str = "http://127.0.0.1:0") -> str:
        """Start our server; return where nginx finds it."""
        file = tmp_path / "anycore.toml"
        file.write_text(f'{text}\n[[listen]]\nurl = "{url}"\n')
        ready = threading.Event()
        server = Server(load_settings(file=str(file), environment={}), lambda _: ready.set())
        thread = threading.Thread(target=server.run, kwargs={"signals": False})
        cleanup.callback(thread.join, SECONDS)
        cleanup.callback(server.stop)
        thread.start()
        assert ready.wait(SECONDS)
        server.kernel.registry.commit([verify(Where(), "test")])
        return server.urls[0].replace("unix+http://", "http://unix:")

    return serve


@pytest.fixture
def nginx(tmp_path: Path, cleanup: ExitStack) -> Callable[..., int]:
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")
    if program is None:
        missing("there is no nginx on this machine")

    def nginx(behind: str, fields: dict[str, str], tls: str = "") -> int:
        """Start nginx; return its port. It gets the socket from us, as from an nginx that it takes over from, so the port is ours."""
        bound = cleanup.enter_context(socket.create_server(("127.0.0.1", 0)))
        port: int = bound.getsockname()[1]
        lines = "\n".join(f'proxy_set_header {name} "{value}";' for name, value in fields.items())
        user = "user root root;" if os.geteuid() == 0 else ""  # the folder is ours alone
        text = {"user": user, "port": port, "ssl": "ssl" if tls else "", "more": tls, "behind": behind, "fields": lines}
        (tmp_path / "nginx.conf").write_text(CONFIGURATION % text)
        process = subprocess.Popen(
            [program, "-p", f"{tmp_path}/", "-c", "nginx.conf", "-e", "stderr"],
            stdin=subprocess.DEVNULL,
            env={**os.environ, "NGINX": f"{bound.fileno()};"},
            pass_fds=[bound.fileno()],
        )
        cleanup.callback(process.wait, SECONDS)
        cleanup.callback(process.terminate)  # the worker ends with it
        return port

    return nginx


def ask(port: int, *fields: tuple[str, str], tls: ssl.SSLContext | None = None) -> Any:
    """Call by nginx; return the status where it is not 200, else the result or the code of the fault."""
    if tls is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS, source_address=(CALLER, 0))
    else:
        connection = http.client.HTTPSConnection(
            "127.0.0.1", port, timeout=SECONDS, source_address=(CALLER, 0), context=tls
        )
    try:
        connection.putrequest("POST", "/jsonrpc")
        for name, value in (("Content-Type", "application/json"), ("Content-Length", str(len(BODY))), *fields):
            connection.putheader(name, value)
        connection.endheaders(BODY.encode())
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    if response.status != 200:
        return response.status
    answer = json.loads(body)
    return answer["result"] if "result" in answer else answer["error"]["code"]


@pytest.mark.parametrize("field", FIELDS)
def test_it_names_its_callers_and_these_cannot_name_themselves(
    serve: Callable[..., str], nginx: Callable[..., int], field: str
) -> None:
    listed = f'[authentication]\nproxies = ["127.0.0.1"]\nproxy_address = "{field}"\n[access]\ndefault = "allow"\n'
    port = nginx(serve(listed), {field: FIELDS[field]})
    found = [CALLER, False, "127.0.0.1", "anonymous", ""]
    assert ask(port) == found
    for name in FIELDS:
        for claim in ("::1", "127.0.0.1", "nonsense", "", "10.0.0.1, 127.0.0.1", "for=127.0.0.1", 'for="[::1]"'):
            # What cannot be read as a whole cannot be read from its end either: that is for RFC 7239 to say.
            refused = [400] if name == field == "Forwarded" else []
            assert ask(port, (name, claim)) in (found, *refused)
            assert ask(port, (name, claim), (name.lower(), claim)) in (found, *refused)
        assert ask(port, (f"{name.replace('-', '_')}_", "127.0.0.1"), ("X_Forwarded_For", "127.0.0.1")) == found
    if field == "Forwarded":
        assert ask(port, (field, 'for="127.0.0.1')) == 400


@pytest.mark.parametrize("field", FIELDS)
def test_it_opens_nothing_when_it_is_not_listed(
    serve: Callable[..., str], nginx: Callable[..., int], tmp_path: Path, field: str
) -> None:
    for url in ("http://127.0.0.1:0", f"unix+http://{tmp_path}/s"):
        assert ask(nginx(serve("", url), {field: FIELDS[field]})) == ACCESS_DENIED


def test_it_hands_on_whose_certificate_it_has_verified(
    serve: Callable[..., str], nginx: Callable[..., int], tmp_path: Path
) -> None:
    certifier = Certifier(tmp_path)
    certifier.server()
    shutil.copy(certifier.ca, tmp_path / "ca.pem")
    listed = """
        [authentication]
        chain = ["proxy", "unix", "anonymous"]
        proxies = ["unix"]
        proxy_dn = "X-SSL-Client-DN"
        [access]
        default = "allow"
        """
    fields = {"X-Forwarded-For": FIELDS["X-Forwarded-For"], "X-SSL-Client-DN": "$ssl_client_s_dn"}
    port = nginx(serve(listed, f"unix+http://{tmp_path}/s"), fields, TLS)
    alice = certifier.context(certifier.client("alice", parts=("O=Acme",)))
    bob = certifier.context()
    claim = ("X-SSL-Client-DN", "CN=root")
    for more in ((), (claim,), (claim, ("X-Forwarded-For", "127.0.0.1"))):
        assert ask(port, *more, tls=alice) == [CALLER, False, "unix", "proxy", "/O=Acme/CN=alice"]
        assert ask(port, *more, tls=bob) == [CALLER, False, "unix", "anonymous", ""]
