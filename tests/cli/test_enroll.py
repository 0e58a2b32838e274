"""`anycore enroll`: a new machine and a server, over real TLS."""

from __future__ import annotations

import json
import os
import re
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from anycore.cli.exits import Exit
from anycore.clients import connect
from anycore.identity.authority import Authority, Wanted

Run = Callable[..., Result]
STORE = "lmdb:./store"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the server and its authority are."""
    made = tmp_path_factory.mktemp("server")
    authority = Authority.create(made / "ca", "Example CA")
    issued = authority.issue(Wanted("localhost", dns=("localhost",), ips=("127.0.0.1",), usages=("server",)))
    (made / "server.pem").write_bytes(issued.key + issued.chain)
    return made


@pytest.fixture(scope="module")
def url(folder: Path, start: Any) -> Iterator[str]:
    options = [
        "--listen",
        "https://127.0.0.1:0",
        "--certificate",
        "server.pem",
        "--client-ca",
        "ca/ca.pem",
        "--crl",
        "ca/crl.pem",
    ]
    options += ["--client-certificate", "optional", "--enrolment-ca", "ca", "--enrolment-days", "20", "--store", STORE]
    server = start(*options, cwd=folder)
    try:
        found = re.search(r"https://127\.0\.0\.1:\d+", server.banner)
        assert found
        yield found[0]
    finally:
        assert server.stop() == 0


@pytest.fixture
def token(run: Run, folder: Path) -> Callable[..., list[str]]:
    """Make a token; return the options for `enroll`."""

    def create(name: str, *options: str) -> list[str]:
        here = Path.cwd()
        os.chdir(folder)
        try:
            result = run("ca", "token", "create", name, "--store", STORE, *options)
        finally:
            os.chdir(here)
        assert result.exit_code == Exit.OK, result.output
        return result.stdout.split()[3:]

    return create


def good(result: Result) -> str:
    assert result.exit_code == Exit.OK, result.output
    return str(result.stdout)


def bad(result: Result, code: Exit = Exit.CONFIGURATION) -> str:
    assert result.exit_code == code, result.output
    return str(result.stderr)


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificates(path.read_bytes())[0]


def test_a_new_machine(run: Run, url: str, folder: Path, token: Callable[..., list[str]]) -> None:
    given = token("node1", "--dn", "O=Example", "--dns", "node1.example.org", "--usage", "server", "--usage", "client")
    said = good(run("enroll", url, *given, "-o", "me"))
    assert re.match(r"me/client.pem: /O=Example/CN=node1, until \d{4}-\d\d-\d\d\n", said)
    assert Path("me/client.pem").stat().st_mode & 0o777 == 0o600
    assert Path("me/ca.pem").read_bytes() == (folder / "ca" / "ca.pem").read_bytes()
    made = certificate(Path("me/client.pem"))
    key = load_pem_private_key(Path("me/client.pem").read_bytes(), None)
    assert made.public_key() == key.public_key()
    context = ssl.create_default_context(cafile="me/ca.pem")
    context.load_cert_chain("me/client.pem")
    with connect(url, context=context) as client:
        assert client.call("enrolment.authority")
    assert "client.pem exists; renew it with --renew" in bad(run("enroll", url, *token("node1"), "-o", "me"))


def test_a_token_is_used_once(run: Run, url: str, token: Callable[..., list[str]]) -> None:
    given = token("node2")
    good(run("enroll", url, *given, "-o", "me"))
    assert "was used already" in bad(run("enroll", url, *given, "-o", "you"), Exit.FAULT)
    assert not Path("you/client.pem").exists()


def test_another_authority_gets_no_token(run: Run, url: str, folder: Path, token: Callable[..., list[str]]) -> None:
    given = token("node3")
    wrong = ["--token", given[1], "--fingerprint", "AB" * 32]
    assert "somebody is between you and the server, or the fingerprint" in bad(
        run("enroll", url, *wrong), Exit.TRANSPORT
    )
    assert "64 hexadecimal digits" in bad(run("enroll", url, "--token", given[1], "--fingerprint", "AB"))
    assert list(Path().glob("*.pem")) == []
    good(run("enroll", url, *given))  # it was not sent to anybody


def test_a_server_that_only_claims_to_be_of_the_authority(
    run: Run, folder: Path, token: Callable[..., list[str]], start: Any, tmp_path: Path
) -> None:
    """It tells the right authority, which is no secret, but has a certificate of another one."""
    foreign = Authority.create(tmp_path / "foreign", "Example CA")
    issued = foreign.issue(Wanted("localhost", dns=("localhost",), ips=("127.0.0.1",), usages=("server",)))
    (tmp_path / "false.pem").write_bytes(issued.key + issued.chain)
    options = ["--listen", "https://127.0.0.1:0", "--certificate", "false.pem", "--enrolment-ca", str(folder / "ca")]
    server = start(*options, "--store", f"lmdb:{folder / 'store'}", cwd=tmp_path)
    try:
        found = re.search(r"https://127\.0\.0\.1:\d+", server.banner)
        assert found
        given = token("node4")
        assert "certificate is not trusted" in bad(run("enroll", found[0], *given, "-o", "me"), Exit.TRANSPORT)
        assert not Path("me/client.pem").exists()
    finally:
        assert server.stop() == 0


def test_renewal(run: Run, url: str, token: Callable[..., list[str]]) -> None:
    good(run("enroll", url, *token("node5"), "-o", "me"))
    before = certificate(Path("me/client.pem"))
    assert "nothing to do" in good(run("enroll", url, "--renew", "--within", "10", "-o", "me"))
    assert certificate(Path("me/client.pem")) == before
    good(run("enroll", url, "--renew", "-o", "me"))
    after = certificate(Path("me/client.pem"))
    assert after.subject == before.subject and after.public_key() != before.public_key()


def test_no_renewal_of_what_was_revoked(run: Run, url: str, folder: Path, token: Callable[..., list[str]]) -> None:
    good(run("enroll", url, *token("node6"), "-o", "me"))
    authority = Authority(folder / "ca")
    authority.revoke(authority.find("node6"))  # whether or not the server has seen its new list
    before = Path("me/client.pem").read_bytes()
    result = run("enroll", url, "--renew", "-o", "me")
    assert result.exit_code in (Exit.FAULT, Exit.TRANSPORT)
    assert Path("me/client.pem").read_bytes() == before
    assert "enroll first, with --token" in bad(run("enroll", url, "--renew", "-o", "nowhere"))


def test_the_token_from_standard_input(run: Run, url: str, token: Callable[..., list[str]]) -> None:
    from click.testing import CliRunner

    from anycore.cli import main

    _, secret, _, fingerprint = token("node7")
    result = CliRunner().invoke(
        main, ["enroll", url, "--token", "-", "--fingerprint", fingerprint], input=f"{secret}\n"
    )
    assert "client.pem: /CN=node7" in good(result)


def test_what_makes_no_sense(run: Run) -> None:
    assert "does not use TLS; write https://" in bad(run("enroll", "http://127.0.0.1:1", "--token", "x"), Exit.USAGE)
    assert "no user and password" in bad(run("enroll", "https://ada:x@127.0.0.1:1", "--token", "x"), Exit.USAGE)
    assert "--token and --fingerprint are both needed" in bad(run("enroll", "https://127.0.0.1:1"), Exit.USAGE)


def test_the_ledger_knows_who_enrolled(run: Run, url: str, folder: Path, token: Callable[..., list[str]]) -> None:
    good(run("enroll", url, *token("node8")))
    entries = json.loads(good(run("ca", "list", "-d", str(folder / "ca"), "--json")))
    assert {entry["made_by"] for entry in entries if entry["name"] == "node8"} == {"enrolment"}
