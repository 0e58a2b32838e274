"""What attackers try with certificates to be taken for somebody: over real TLS, up to the identity that a method sees."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from anycore.clients import Fault, TransportError, connect
from anycore.kernel.call import Call
from anycore.kernel.plugin import Plugin, exposed
from anycore.kernel.registry import verify
from anycore.rpyc.connecting import ssl_connect
from anycore.server.application import Server
from anycore.settings.sources import load_settings
from anycore.testing.certificate import Certifier


class Who(Plugin):
    @exposed
    def am_i(self, call: Call) -> list[str]:
        return [call.identity.kind, call.identity.name, call.identity.dn]


@pytest.fixture(scope="module")
def certifier(tmp_path_factory: pytest.TempPathFactory) -> Certifier:
    return Certifier(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module", params=["asyncio", "threaded"])
def server(
    request: pytest.FixtureRequest, certifier: Certifier, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    own, file = certifier.server(), folder / "anycore.toml"
    certifier.client("revoked")
    certifier.revoke("revoked")
    tls = f'certificate = "{own}"\nclient_ca = "{certifier.ca}"\nclient_certificate = "optional"\ncrl = "{certifier.crl}"\n'
    file.write_text(
        f'[server]\ncore = "{request.param}"\n[[listen]]\nurl = "https://127.0.0.1:0"\n{tls}'
        f'[[listen]]\nurl = "rpycs://127.0.0.1:0"\n{tls}'
    )
    ready = threading.Event()
    made = Server(load_settings(file=str(file), environment={}), lambda _: ready.set())
    thread = threading.Thread(target=made.run, kwargs={"signals": False})
    thread.start()
    try:
        assert ready.wait(30)
        made.kernel.registry.commit([verify(Who(), "test")])
        yield made
    finally:
        made.stop()
        thread.join(30)


Ask = Callable[..., list[str]]


@pytest.fixture
def who(server: Server, certifier: Certifier) -> Ask:
    def ask(file: Path | None, **options: object) -> list[str]:
        with connect(server.urls[0], context=certifier.context(file), timeout=30, **options) as client:  # type: ignore[arg-type]
            found: list[str] = client.who.am_i()
            return found

    return ask


def test_a_certificate_says_who_it_is(who: Ask, server: Server, certifier: Certifier) -> None:
    file = certifier.client("Alice", parts=("O=Example", "OU=People"))
    expected = ["certificate", "Alice", "/O=Example/OU=People/CN=Alice"]
    assert who(file) == expected
    port = int(server.urls[1].rpartition(":")[2])
    with ssl_connect("127.0.0.1", port, context=certifier.context(file)) as connection:
        assert list(connection.root.who.am_i()) == expected
        assert connection.root.who.am_i()[0] == "certificate"


def test_whoever_shows_none_is_nobody(who: Ask) -> None:
    assert who(None) == ["anonymous", "anonymous", ""]


@pytest.mark.parametrize("sort", ["server", "expired", "early", "revoked", "foreign"])
def test_a_certificate_that_is_wrong_is_refused_and_not_taken_for_none(
    who: Ask, certifier: Certifier, tmp_path: Path, sort: str
) -> None:
    files = {
        "server": lambda: certifier.client("server-only", usages=("server",)),
        "expired": lambda: certifier.client("expired", begins_in=timedelta(days=-9), days=2),
        "early": lambda: certifier.client("early", begins_in=timedelta(days=9)),
        "revoked": lambda: certifier.ca.parent.parent / "revoked.pem",
        "foreign": lambda: Certifier(tmp_path, "Another CA").client("Alice"),
    }
    with pytest.raises((TransportError, ssl.SSLError)):
        who(files[sort]())


def test_a_name_within_a_name_leads_nowhere(who: Ask, certifier: Certifier) -> None:
    found = who(certifier.client("x/OU=Admins/CN=root".replace("/", "\u2044")))
    assert found[1] == "x\u2044OU=Admins\u2044CN=root" and found[2] == f"/CN={found[1]}"


def test_credentials_beside_a_certificate_do_not_change_whose_it_is(who: Ask, certifier: Certifier) -> None:
    file = certifier.client("Bob")
    assert who(file, credentials=("alice", "whatever"))[:2] == ["certificate", "Bob"]
    assert who(file, headers={"X-SSL-Client-DN": "/CN=root", "X-Remote-User": "root"})[:2] == ["certificate", "Bob"]


def test_a_password_that_nobody_knows_does_not_help_whoever_shows_none(who: Ask) -> None:
    with pytest.raises(Fault, match="takes no credentials of the kind 'Basic'"):
        who(None, credentials=("Alice", "whatever"))
