"""`anycore ca`: an authority from its beginning to the renewal of what it has made."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from cryptography import x509

from anycore.cli.ca_issuing import file_name
from anycore.cli.exits import Exit

Run = Callable[..., Result]
DAYS = r"\d{4}-\d\d-\d\d"


@pytest.fixture
def ca(run: Run) -> Run:
    """Run a command of an authority that exists."""
    assert run("ca", "init").exit_code == Exit.OK
    return lambda *args, **environment: run("ca", *args, **environment)


def good(result: Result) -> str:
    assert result.exit_code == Exit.OK, result.output
    return str(result.stdout)


def bad(result: Result, code: Exit = Exit.CONFIGURATION) -> str:
    assert result.exit_code == code, result.output
    return str(result.stderr)


def read(path: str) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(Path(path).read_bytes())


def test_init_prints_the_fingerprint(run: Run) -> None:
    said = good(run("ca", "init", "there", "--name", "Example CA", "--dn", "O=Example", "--days", "100"))
    assert re.search(rf"The authority Example CA is in there, valid until {DAYS}\.", said)
    printed = said.splitlines()[-1]
    openssl = subprocess.run(
        ["openssl", "x509", "-in", "there/ca.pem", "-noout", "-fingerprint", "-sha256"], capture_output=True, text=True, check=True
    ).stdout  # fmt: skip
    assert printed.removeprefix("fingerprint ") == openssl.strip().partition("=")[2]
    assert "holds an authority already" in bad(run("ca", "init", "there"))


def test_without_an_authority(run: Run) -> None:
    for command in (("list",), ("crl",), ("issue", "--cn", "ada"), ("revoke", "ada"), ("renew",)):
        assert "there is no authority in ca (No such file or directory); make one with: anycore ca init" in bad(
            run("ca", *command)
        )


def test_issue_for_a_server(ca: Run) -> None:
    said = good(ca("issue", "--dns", "server.example.org", "--ip", "192.0.2.7", "-o", "out"))
    assert re.match(
        rf"/CN=server.example.org, for server, until {DAYS}: out/server.example.org.pem and out/server.example.org.key",
        said,
    )
    chain = read("out/server.example.org.pem")
    assert len(chain) == 2 and chain[1] == read("ca/ca.pem")[0]
    assert Path("out/server.example.org.key").stat().st_mode & 0o777 == 0o600
    verify = [
        "openssl",
        "verify",
        "-x509_strict",
        "-CAfile",
        "ca/ca.pem",
        "-purpose",
        "sslserver",
        "out/server.example.org.pem",
    ]
    subprocess.run(verify, check=True, capture_output=True)


def test_issue_for_a_person(ca: Run) -> None:
    said = good(ca("issue", "--cn", "Ada Lovelace", "--user", "ada", "--dn", "O=Example"))
    assert said.startswith("/O=Example/UID=ada/CN=Ada Lovelace, for client, until ")
    assert Path("Ada_Lovelace.pem").exists() and Path("Ada_Lovelace.key").exists()


def test_issue_for_both(ca: Run) -> None:
    assert "for server and client" in good(ca("issue", "--dns", "node1", "--usage", "server", "--usage", "client"))


def test_issue_writes_over_nothing_unless_told(ca: Run) -> None:
    good(ca("issue", "--cn", "ada"))
    before = Path("ada.key").read_bytes()
    assert "ada.pem exists; give --force to write over it" in bad(ca("issue", "--cn", "ada"))
    assert Path("ada.key").read_bytes() == before
    good(ca("issue", "--cn", "ada", "--force"))
    assert Path("ada.key").read_bytes() != before


def test_nobody_is_named(ca: Run) -> None:
    assert "give --dns or --ip for a server, --cn or --user for a client" in bad(ca("issue"), Exit.USAGE)
    assert "'X=1' is no part of a distinguished name" in bad(ca("issue", "--cn", "a", "--dn", "X=1"))


def test_sign_a_request_as_it_is(ca: Run) -> None:
    make = [
        "openssl",
        "req",
        "-new",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/O=Example/CN=web",
        "-addext",
        "subjectAltName=DNS:web.example.org",
    ]
    subprocess.run([*make, "-keyout", "web.key", "-out", "web.csr"], check=True, capture_output=True)
    assert good(ca("sign", "web.csr")).startswith("/O=Example/CN=web, for server, until ")
    names = read("web.pem")[0].extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["web.example.org"]
    assert good(ca("sign", "web.csr", "--cn", "other", "-o", "out")).startswith("/CN=other, for client, until ")
    assert "for client, until" in good(ca("sign", "web.csr", "--usage", "client"))
    assert "cannot be read" in bad(ca("sign", "nothing.csr"))
    Path("rubbish").write_text("rubbish")
    assert "no certificate signing request" in bad(ca("sign", "rubbish"))


def listed(ca: Run, *args: str) -> list[tuple[str, str]]:
    return [(one["name"], one["state"]) for one in json.loads(good(ca("list", "--json", *args)))]


def test_list_and_revoke(ca: Run) -> None:
    good(ca("issue", "--cn", "ada", "--days", "20"))
    good(ca("issue", "--cn", "bob", "--days", "10"))
    assert listed(ca) == [("bob", "valid"), ("ada", "valid")]
    assert re.search(rf"^[0-9a-f]{{12}}  {DAYS}  valid  client  /CN=bob$", good(ca("list")), re.MULTILINE)
    said = good(ca("revoke", "bob", "--reason", "key-compromise"))
    assert re.match(r"/CN=bob \([0-9a-f]{12}\) is revoked; ca/crl.pem says so", said)
    assert listed(ca) == [("ada", "valid")]
    assert listed(ca, "--all") == [("bob", "revoked"), ("ada", "valid")]
    assert "is revoked since" in bad(ca("revoke", "bob"))
    assert "anycore ca list" in bad(ca("revoke", "eve"))
    check = ["openssl", "verify", "-crl_check", "-CAfile", "ca/ca.pem", "-CRLfile", "ca/crl.pem"]
    assert subprocess.run([*check, "ada.pem"], capture_output=True, check=False).returncode == 0
    refused = subprocess.run([*check, "bob.pem"], capture_output=True, check=False, text=True)
    assert "certificate revoked" in refused.stderr + refused.stdout


def test_renew_what_ends_soon(ca: Run) -> None:
    good(ca("issue", "--cn", "late", "--days", "31"))
    assert re.search(rf"no certificate ends within 30 days; ca/crl.pem is valid until {DAYS}", good(ca("renew")))
    good(ca("issue", "--cn", "soon", "--days", "29"))
    before = read("soon.pem")[0]
    said = good(ca("renew", "--days", "50"))
    assert re.match(rf"/CN=soon, for client, until {DAYS}: soon.pem\nca/crl.pem is valid until", said)
    after = read("soon.pem")[0]
    assert after.public_key() == before.public_key() and after.not_valid_after_utc > before.not_valid_after_utc
    assert "no certificate ends within" in good(ca("renew"))
    assert "/CN=late" in good(ca("renew", "late", "-o", "out")) and Path("out/late.pem").exists()


def test_renew_the_authority_and_its_list(ca: Run) -> None:
    before = read("ca/ca.pem")[0]
    assert re.match(rf"ca/ca.pem is valid until {DAYS}; fingerprint [0-9A-F:]{{95}}", good(ca("renew", "--authority")))
    assert read("ca/ca.pem")[0].public_key() == before.public_key()
    assert re.match(rf"ca/crl.pem is valid until {DAYS}", good(ca("crl", "--days", "7")))


def test_a_passphrase_from_a_file_or_the_environment(run: Run) -> None:
    Path("secret").write_text("open sesame\n")
    good(run("ca", "init", "--passphrase-file", "secret"))
    assert "ENCRYPTED" in Path("ca/ca.key").read_text()
    good(run("ca", "issue", "--cn", "ada", "--passphrase-file", "secret"))
    good(run("ca", "issue", "--cn", "bob", ANYCORE_CA_PASSPHRASE="open sesame"))
    assert "nobody can be asked; give --passphrase-file, or set ANYCORE_CA_PASSPHRASE" in bad(
        run("ca", "issue", "--cn", "eve")
    )
    assert "give the passphrase that it was made with" in bad(
        run("ca", "issue", "--cn", "eve", ANYCORE_CA_PASSPHRASE="x")
    )
    assert "cannot be read from nothing" in bad(run("ca", "issue", "--cn", "eve", "--passphrase-file", "nothing"))
    good(run("ca", "list"))


@pytest.mark.parametrize(
    ("name", "file"),
    [("server.example.org", "server.example.org"), ("*.example.org", "_.example.org"), ("../../x", "_.._x"), ("..", "certificate"),
     ("Ada Lovelace", "Ada_Lovelace"), ("grüße", "gr_e")],
)  # fmt: skip
def test_names_of_files(name: str, file: str) -> None:
    assert file_name(name) == file


def test_tokens(ca: Run) -> None:
    store = ("--store", "lmdb:./store")
    said = good(ca("token", "create", "node1", "--dns", "node1.example.org", "--ttl", "30m", *store))
    assert re.fullmatch(
        r"anycore enroll https://SERVER:PORT --token enrol_[\w-]{43} --fingerprint [0-9A-F:]{95}\n", said
    )
    good(ca("token", "create", "node2", *store))
    (first, second) = json.loads(good(ca("token", "list", "--json", *store)))
    assert (first["name"], first["usages"], second["name"], second["usages"]) == (
        "node1",
        ["server"],
        "node2",
        ["client"],
    )
    assert re.match(rf"{first['id']}  node1  server  until {DAYS} \d\d:\d\d UTC", good(ca("token", "list", *store)))
    assert good(ca("token", "withdraw", "node1", *store)) == "the token for node1 is withdrawn\n"
    assert good(ca("token", "withdraw", second["id"], *store)) == "the token for node2 is withdrawn\n"
    assert "there is no token 'node1'" in bad(ca("token", "withdraw", "node1", *store))
    assert good(ca("token", "list", *store)) == ""
    for wrong in ("soon", "0", "-1", "5y"):
        assert "write e.g. 24h, or 30m" in bad(ca("token", "create", "a", "--ttl", wrong, *store), Exit.USAGE)
    assert "no host name" in bad(ca("token", "create", "a", "--dns", "a b", *store))
    assert "expected one of lmdb:" in bad(ca("token", "list", "--store", "lmdb"))
    assert "memory: lasts no longer than this command" in bad(ca("token", "create", "a", "--store", "memory:"))
