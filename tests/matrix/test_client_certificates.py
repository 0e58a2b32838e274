"""Client certificates on every core that serves TLS, over HTTP and RPyC: a real hand-shake for each attack, and for each replacement."""

from __future__ import annotations

import os
import re
import signal
import socket
import ssl
import time
import warnings
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from anycore.clients import TransportError, connect
from anycore.identity.authority import Authority, Wanted
from anycore.rpyc import connecting
from anycore.testing.certificate import Certifier

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CORES = ["asyncio", "threaded", "pool", "forking", "prefork"]
FOREIGN = ["uvicorn", "gunicorn", "cheroot"]  # those that speak HTTP only; granian shakes hands by itself
VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
PATIENCE = 50.0


class Served:
    """A running server that requires client certificates."""

    def __init__(self, core: str, folder: Path, certifier: Certifier) -> None:
        self.core = core
        self.folder = folder
        self.certifier = certifier
        self.ports: dict[str, int] = {}
        self.pid = 0

    @property
    def wires(self) -> list[str]:
        return ["xmlrpc", "jsonrpc", *(["rpyc"] if "rpycs" in self.ports else [])]

    def always_refuses(self, wire: str, context: ssl.SSLContext) -> bool:
        """Look often enough to meet each process."""
        return all(self.refuses(wire, context) for _ in range(12 if self.core == "prefork" else 1))

    def give(self) -> None:
        """Put what the authority has made last where the server looks for it."""
        for file in (self.certifier.ca.parents[1] / "server.pem", self.certifier.crl):
            (self.folder / "draft").write_bytes(file.read_bytes())
            (self.folder / "draft").replace(self.folder / file.name)

    def listens(self, banner: Any) -> None:
        self.pid = banner.pid
        self.ports = {scheme: int(port) for scheme, port in re.findall(r"(https|rpycs)://127.0.0.1:(\d+)", banner)}

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline

    def call(self, wire: str, context: ssl.SSLContext, value: Any = "hello") -> Any:
        """Connect anew, and call."""
        if wire == "rpyc":
            with connecting.ssl_connect("127.0.0.1", self.ports["rpycs"], context=context) as connection:
                return connection.root.modes.plain(value)
        with connect(f"{wire}+https://127.0.0.1:{self.ports['https']}", context=context, timeout=PATIENCE) as client:
            return client.call("modes.plain", value)

    def refuses(self, wire: str, context: ssl.SSLContext) -> bool:
        try:
            assert self.call(wire, context) == "hello"
        except (TransportError, EOFError, OSError):
            return True
        return False

    def answers(self, wire: str, context: ssl.SSLContext) -> bool:
        return not self.refuses(wire, context)

    def shake_hands(self, context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> ssl.SSLSocket:
        """Return a connection on which an answer has come, after which the client has what it needs to resume the session."""
        raw = socket.create_connection(("127.0.0.1", self.ports["https"]), PATIENCE)
        try:
            made = context.wrap_socket(raw, server_hostname="localhost", session=session)
        except BaseException:
            raw.close()
            raise
        try:
            self.ask(made)
        except BaseException:
            made.close()
            raise
        return made

    @staticmethod
    def ask(connection: ssl.SSLSocket) -> None:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        found = b""
        while b"\r\n\r\nok" not in found:
            more = connection.recv(4096)
            if not more:
                raise ConnectionResetError("the server has closed the connection")
            found += more


@pytest.fixture(scope="module")
def certifier(tmp_path_factory: pytest.TempPathFactory) -> Certifier:
    made = Certifier(tmp_path_factory.mktemp("certifier"))
    made.server()
    made.client("revoked")
    made.revoke("revoked")
    return made


@pytest.fixture(scope="module")
def attacks(certifier: Certifier, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path | None]:
    folder = tmp_path_factory.mktemp("attacks")
    foreign = Certifier(folder, "Test CA")  # by the same name, but with another key
    wanted = Wanted("ada", usages=("client",))
    own = Authority.create(folder / "own", "ada")
    (folder / "own.pem").write_bytes((folder / "own" / "ca.key").read_bytes() + own.pem)
    (folder / "relabelled.pem").write_bytes(_relabelled(certifier, foreign, wanted))
    return {
        "missing": None,
        "self-signed": folder / "own.pem",
        "foreign": foreign.client("ada"),
        "foreign with our authority's certificate": folder / "relabelled.pem",
        "expired": certifier.client("expired", begins_in=timedelta(days=-3), days=2),
        "not yet valid": certifier.client("early", begins_in=timedelta(days=1), days=2),
        "revoked": certifier.ca.parents[1] / "revoked.pem",
        "server-only": certifier.client("server-only", usages=("server",)),
    }


def _relabelled(certifier: Certifier, foreign: Certifier, wanted: Wanted) -> bytes:
    issued = foreign.authority.issue(wanted)
    return issued.key + issued.chain.replace(foreign.authority.pem, certifier.authority.pem)


@pytest.fixture(scope="module", params=[*CORES, *FOREIGN])
def served(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    certifier: Certifier,
    launch: Callable[..., Any],
) -> Iterator[Served]:
    folder: Path = tmp_path_factory.mktemp("mutual")
    made = Served(request.param, folder, certifier)
    made.give()
    options = ["--client-ca", str(certifier.ca), "--crl", "crl.pem", "--client-certificate", "required"]
    if request.param in FOREIGN:
        pytest.importorskip(request.param)
    urls = ["https://127.0.0.1:0", *(["rpycs://127.0.0.1:0"] if request.param in CORES else [])]
    with launch(request.param, folder, urls, *options, "--handshakes", "4") as banner:
        made.listens(banner)
        yield made


each_version = pytest.mark.parametrize("version", VERSIONS)


@each_version
@pytest.mark.parametrize("wire", ["xmlrpc", "jsonrpc", "rpyc"])
def test_each_wrong_certificate_is_refused(
    served: Served, attacks: dict[str, Path | None], wire: str, version: str
) -> None:
    good = served.certifier.context(served.certifier.client("ada"), VERSIONS[version])
    if wire not in served.wires:
        return
    assert served.call(wire, good) == "hello"
    for attack, file in attacks.items():
        assert served.refuses(wire, served.certifier.context(file, VERSIONS[version])), attack
    assert served.call(wire, good) == "hello"


def test_older_versions_and_weak_ciphers_are_refused(served: Served) -> None:
    context = served.certifier.context(served.certifier.client("ada"), VERSIONS["1.2"])
    context.set_ciphers("ECDHE+AES:!AESGCM:@SECLEVEL=0")  # the older mode of operation, CBC
    assert served.refuses("xmlrpc", context)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    assert served.refuses("xmlrpc", context)


def test_peers_that_do_not_shake_hands_keep_nobody_out(served: Served) -> None:
    good = served.certifier.context(served.certifier.client("ada"))
    with ExitStack() as stack:
        for port in 4 * [*served.ports.values()]:
            raw = stack.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE))
            raw.sendall(b"\x16\x03\x01")  # the beginning of a ClientHello
        for wire in served.wires[1:]:
            served.until(partial(served.answers, wire, good))


@each_version
def test_certificates_are_replaced_while_it_serves(served: Served, version: str) -> None:
    """And whoever was let in before stays, but does not come back by a session of then."""
    name = f"bob-{version}"
    certifier = served.certifier
    bob = certifier.context(certifier.client(name), VERSIONS[version])
    ada = certifier.context(certifier.client("ada"), VERSIONS[version])
    with served.shake_hands(bob) as old:
        before = old.getpeercert(binary_form=True)
        session = old.session
        certifier.server()
        certifier.revoke(name)
        served.give()
        os.kill(served.pid, signal.SIGHUP)
        for wire in served.wires:
            served.until(partial(served.always_refuses, wire, bob))
        with pytest.raises(OSError):
            served.shake_hands(bob, session).close()
        with served.shake_hands(ada) as new:
            assert new.getpeercert(binary_form=True) != before
        served.ask(old)
