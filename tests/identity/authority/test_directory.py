from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from anycore.identity.authority import Authority, AuthorityError, Wanted, fingerprint, make_key, make_request

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
SERVER = Wanted("server.example.org", dns=("server.example.org",), ips=("192.0.2.7", "2001:db8::7"), usages=("server",))
ADA = Wanted("Ada Lovelace", ("O=Example", "UID=ada"))


class Clock:
    now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def authority(tmp_path: Path, clock: Clock) -> Authority:
    return Authority.create(tmp_path / "ca", "Example CA", parts=("O=Example",), now=clock)


def again(authority: Authority, clock: Clock) -> Authority:
    return Authority(authority.directory, now=clock)


def certificate(chain: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificates(chain)[0]


def extension(of: x509.Certificate, kind: Any) -> Any:
    return of.extensions.get_extension_for_class(kind)


def test_what_is_in_its_directory(authority: Authority) -> None:
    found = {path.name: path.stat().st_mode & 0o777 for path in authority.directory.iterdir() if path.is_file()}
    assert found == {"ca.key": 0o600, "ca.pem": 0o644, "crl.pem": 0o644, "ledger.json": 0o600, ".lock": 0o600}
    assert authority.directory.stat().st_mode & 0o777 == 0o700


def test_the_certificate_of_the_authority(authority: Authority) -> None:
    made = authority.certificate
    assert made.subject.rfc4514_string() == "CN=Example CA,O=Example"
    basic, usage = extension(made, x509.BasicConstraints), extension(made, x509.KeyUsage)
    assert (basic.critical, basic.value.ca, basic.value.path_length) == (True, True, 0)
    assert usage.critical and usage.value.key_cert_sign and usage.value.crl_sign and not usage.value.digital_signature
    assert made.not_valid_after_utc == NOW + timedelta(days=3650)
    assert authority.fingerprint == fingerprint(made) and len(authority.fingerprint) == 95


def test_a_directory_has_one_authority(authority: Authority) -> None:
    with pytest.raises(AuthorityError, match="holds an authority already"):
        Authority.create(authority.directory, "Another")
    with pytest.raises(AuthorityError, match="anycore ca init"):
        Authority(authority.directory / "nothing")


def test_a_server(authority: Authority) -> None:
    issued = authority.issue(SERVER, days=30)
    made = certificate(issued.chain)
    names = extension(made, x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["server.example.org"]
    assert [str(one) for one in names.get_values_for_type(x509.IPAddress)] == ["192.0.2.7", "2001:db8::7"]
    assert list(extension(made, x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert not extension(made, x509.BasicConstraints).value.ca
    assert made.not_valid_before_utc == NOW - timedelta(minutes=5)
    assert made.not_valid_after_utc == NOW + timedelta(days=30)
    made.verify_directly_issued_by(authority.certificate)
    assert issued.chain.endswith(authority.pem) and b"PRIVATE KEY" in issued.key


def test_a_person(authority: Authority) -> None:
    entry = authority.issue(ADA).entry
    assert entry.subject == "/O=Example/UID=ada/CN=Ada Lovelace"
    assert (entry.usages, entry.names, entry.made_by) == (("client",), (), "issue")
    assert authority.entries() == (entry,)
    assert authority.read(entry).serial_number == int(entry.serial, 16)


@pytest.mark.parametrize("kind", ["p256", "p384", "rsa"])
def test_kinds_of_keys(authority: Authority, kind: str) -> None:
    made = certificate(authority.issue(ADA, kind=kind).chain)
    assert extension(made, x509.KeyUsage).value.key_encipherment is (kind == "rsa")
    with pytest.raises(AuthorityError, match="choose one of p256, p384, rsa"):
        authority.issue(ADA, kind="dsa")


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (Wanted(""), "expected 1 to 64 printable characters"),
        (Wanted("a" * 65), "expected 1 to 64"),
        (Wanted("a\nb"), "printable"),
        (Wanted("a", ("X=b",)), "'X=b' is no part of a distinguished name"),
        (Wanted("a", ("O",)), "'O' is no part"),
        (Wanted("a", ("C=Germany",)), "C=Germany"),
        (Wanted("a", dns=("a b",)), "'a b' is no host name"),
        (Wanted("a", dns=("a..b",)), "no host name"),
        (Wanted("a", dns=("ü.example.org",)), "ASCII"),
        (Wanted("a", ips=("1.2.3",)), "write an address as in 192.0.2.7"),
        (Wanted("a", usages=()), "got none"),
        (Wanted("a", usages=("ca",)), "expected a use of server, client, got ca"),
    ],
)
def test_what_no_certificate_says(authority: Authority, wanted: Wanted, said: str) -> None:
    with pytest.raises(AuthorityError, match=said):
        authority.issue(wanted)
    assert authority.entries() == ()


def test_nothing_outlives_the_authority(authority: Authority, clock: Clock) -> None:
    assert authority.issue(ADA, days=36500).entry.until == authority.certificate.not_valid_after_utc
    clock.now = NOW + timedelta(days=3651)
    with pytest.raises(AuthorityError, match="anycore ca renew --authority"):
        authority.issue(ADA)
    before = authority.certificate
    authority.renew_authority()
    authority.issue(ADA)
    assert authority.certificate.public_key() == before.public_key() and authority.certificate.subject == before.subject
    assert again(authority, clock).fingerprint == authority.fingerprint != fingerprint(before)


def test_a_request_is_signed_as_it_is_or_as_is_wanted(authority: Authority) -> None:
    key = make_key()
    issued = authority.sign(make_request(key, "machine"))
    assert (issued.entry.subject, issued.entry.usages, issued.key) == ("/CN=machine", ("client",), b"")
    assert certificate(issued.chain).public_key() == key.public_key()
    other = authority.sign(make_request(key, "machine"), SERVER)
    assert other.entry.subject == "/CN=server.example.org" and other.entry.usages == ("server",)


def test_requests_that_are_not_signed(authority: Authority, tmp_path: Path) -> None:
    good = make_request(make_key(), "machine")
    body = x509.load_pem_x509_csr(good).public_bytes(Encoding.DER)
    forged = x509.load_der_x509_csr(body[:-8] + bytes(8)).public_bytes(Encoding.PEM) if body[-8:] != bytes(8) else b""
    weak = tmp_path / "weak.pem"
    command = ["openssl", "req", "-new", "-newkey", "rsa:1024", "-nodes", "-subj", "/CN=weak", "-keyout", "/dev/null"]
    subprocess.run([*command, "-out", weak], check=True, capture_output=True)
    for request, said in (
        (b"", "no certificate signing request"),
        (b"x" * 20_000, "20000 bytes"),
        (forged, "signature"),
        (weak.read_bytes(), "not fit for TLS"),
        (make_request(authority.key, "me"), "the authority's own key"),
    ):
        with pytest.raises(AuthorityError, match=said):
            authority.sign(request)
    assert authority.entries() == ()


def test_renewal_keeps_names_and_key_or_takes_a_new_key(authority: Authority, clock: Clock) -> None:
    old = authority.issue(SERVER, days=30)
    clock.now = NOW + timedelta(days=20)
    new = authority.renew(authority.find("server.example.org"), days=30)
    before, after = certificate(old.chain), certificate(new.chain)
    assert before.public_key() == after.public_key() and before.subject == after.subject
    assert extension(before, x509.SubjectAlternativeName).value == extension(after, x509.SubjectAlternativeName).value
    assert new.entry.until == NOW + timedelta(days=50) and new.entry.usages == ("server",)
    assert authority.entries()[0].successor == new.entry.serial
    assert authority.find("server.example.org") == new.entry
    key = make_key()
    third = authority.renew(new.entry, request=make_request(key, "whoever"))
    assert certificate(third.chain).public_key() == key.public_key() and third.entry.subject == "/CN=server.example.org"


def test_what_is_not_valid_is_not_renewed(authority: Authority, clock: Clock) -> None:
    stale = authority.issue(ADA).entry
    authority.revoke(stale)
    with pytest.raises(AuthorityError, match="was revoked; issue a new one"):
        authority.renew(stale)
    with pytest.raises(AuthorityError, match="is revoked and cannot be renewed"):
        authority.renew(authority.entries()[0])
    entry = authority.issue(SERVER, days=1).entry
    clock.now = NOW + timedelta(days=2)
    with pytest.raises(AuthorityError, match="is expired and cannot be renewed"):
        authority.renew(entry)


def revoked(authority: Authority) -> dict[int, str]:
    made = x509.load_pem_x509_crl((authority.directory / "crl.pem").read_bytes())
    assert made.is_signature_valid(authority.certificate.public_key())  # type: ignore[arg-type]
    found = {}
    for one in made:
        reasons = [each.value.reason.value for each in one.extensions if isinstance(each.value, x509.CRLReason)]
        found[one.serial_number] = reasons[0] if reasons else ""
    return found


def test_revocation(authority: Authority, clock: Clock) -> None:
    ada, server = authority.issue(ADA).entry, authority.issue(SERVER, days=10).entry
    assert revoked(authority) == {}
    authority.revoke(ada)
    authority.revoke(server, "key-compromise")
    assert revoked(authority) == {int(ada.serial, 16): "", int(server.serial, 16): "keyCompromise"}
    assert [one.state(NOW) for one in authority.entries()] == ["revoked", "revoked"]
    with pytest.raises(AuthorityError, match="is revoked since 2026-06-01 12:00"):
        authority.revoke(ada)
    with pytest.raises(AuthorityError, match="choose one of unspecified"):
        authority.revoke(ada, "whim")
    clock.now = NOW + timedelta(days=11)
    assert authority.renew_crl(days=7) == NOW + timedelta(days=18)
    assert list(revoked(authority)) == [int(ada.serial, 16)]  # what has expired needs no mention


def test_the_number_of_the_list_grows(authority: Authority) -> None:
    def number() -> int:
        made = x509.load_pem_x509_crl((authority.directory / "crl.pem").read_bytes())
        return int(made.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number)

    before = number()
    authority.renew_crl()
    assert number() == before + 1


def test_certificates_are_found_by_name_or_number(authority: Authority) -> None:
    one, two = authority.issue(ADA).entry, authority.issue(ADA).entry
    with pytest.raises(
        AuthorityError, match=f"several certificates of 'Ada Lovelace'.*{one.serial[:12]}, {two.serial[:12]}"
    ):
        authority.find("Ada Lovelace")
    assert authority.find(one.serial) == authority.find(one.serial[:8].upper()) == one
    authority.revoke(one)
    assert authority.find("Ada Lovelace") == two
    for unknown in ("Bob", one.serial[:7], "0" * 8):
        with pytest.raises(AuthorityError, match="anycore ca list"):
            authority.find(unknown)


def test_it_vouches_for_its_own_alone(authority: Authority, clock: Clock, tmp_path: Path) -> None:
    issued = authority.issue(ADA, days=10)
    der = certificate(issued.chain).public_bytes(Encoding.DER)
    assert authority.vouch(der) == issued.entry
    foreign = Authority.create(tmp_path / "foreign", "Example CA", parts=("O=Example",), now=clock)
    for wrong in (b"", b"x" * 100, certificate(foreign.issue(ADA).chain).public_bytes(Encoding.DER)):
        with pytest.raises(AuthorityError, match="not one of this authority"):
            authority.vouch(wrong)
    with pytest.raises(AuthorityError, match=r"not one of this authority|not in the ledger"):
        authority.vouch(authority.certificate.public_bytes(Encoding.DER))
    authority.revoke(issued.entry)
    with pytest.raises(AuthorityError, match="is revoked; ask for a new token"):
        authority.vouch(der)


def test_a_passphrase(tmp_path: Path, clock: Clock) -> None:
    Authority.create(tmp_path / "ca", "Example CA", passphrase="secret", now=clock)
    assert b"ENCRYPTED" in (tmp_path / "ca" / "ca.key").read_bytes()
    asked: list[str] = []

    def ask() -> str:
        asked.append("asked")
        return "secret"

    authority = Authority(tmp_path / "ca", ask, now=clock)
    assert authority.entries() == () and asked == []
    authority.issue(ADA)
    authority.issue(SERVER)
    assert asked == ["asked"]
    for wrong in ("", "Secret"):
        with pytest.raises(AuthorityError, match="give the passphrase that it was made with"):
            Authority(tmp_path / "ca", lambda wrong=wrong: wrong, now=clock).issue(ADA)  # type: ignore[misc]


def test_broken_files_are_named(authority: Authority, clock: Clock) -> None:
    for name, said in (
        ("ca.key", "private key cannot be read"),
        ("ledger.json", "ledger cannot be read"),
        ("ca.pem", "cannot be read"),
    ):
        path = authority.directory / name
        good = path.read_bytes()
        path.write_text("rubbish")
        with pytest.raises(AuthorityError, match=f"{name}.*{said}"):
            again(authority, clock).issue(ADA)
        path.write_bytes(good)
    (authority.directory / "ca.key").write_bytes(
        Authority.create(authority.directory / "x", "X").directory.joinpath("ca.key").read_bytes()
    )
    with pytest.raises(AuthorityError, match="is not the key of"):
        again(authority, clock).issue(ADA)


def test_several_at_once_lose_nothing(authority: Authority, clock: Clock) -> None:
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda number: again(authority, clock).issue(Wanted(f"m{number}")).entry, range(24)))
    assert sorted(one.serial for one in authority.entries()) == sorted(one.serial for one in made)
    assert not list(authority.directory.glob(".*draft"))


def test_several_processes_lose_nothing(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path / "ca", "Example CA")
    program = (
        "import sys, pathlib\nfrom anycore.identity.authority import Authority, Wanted\n"
        "authority = Authority(pathlib.Path(sys.argv[1]))\n"
        "for number in range(5):\n"
        "    authority.revoke(authority.issue(Wanted(f'{sys.argv[2]}-{number}')).entry)\n"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", program, str(authority.directory), str(number)]) for number in range(3)
    ]
    assert [process.wait(60) for process in running] == [0, 0, 0]
    assert len(authority.entries()) == len(revoked(authority)) == 15
    content = msgspec.json.decode((authority.directory / "ledger.json").read_bytes())
    assert content["crl_number"] == 16


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_that_may_not_be_written(authority: Authority) -> None:
    authority.directory.chmod(0o500)
    try:
        with pytest.raises(AuthorityError, match="see that there is room and that you may write there"):
            authority.issue(ADA)
    finally:
        authority.directory.chmod(0o700)
