from __future__ import annotations

import ssl
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from anycore.identity.authority import Authority, private_pem
from anycore.identity.authority.material import make_key
from anycore.server.errors import StartupError
from anycore.server.tls import tls_context
from anycore.settings.tables import ListenSettings
from anycore.testing.certificate import CERTIFICATE, Certifier


@pytest.fixture
def certifier(tmp_path: Path) -> Certifier:
    return Certifier(tmp_path)


@pytest.fixture
def settings(certifier: Certifier) -> ListenSettings:
    return ListenSettings(
        url="https://127.0.0.1:0",
        certificate=str(certifier.server()),
        client_ca=str(certifier.ca),
        client_certificate="required",
        crl=str(certifier.crl),
    )


def made(settings: ListenSettings) -> ssl.SSLContext:
    context = tls_context(settings)
    assert context is not None
    return context


def test_a_plain_listener_has_none() -> None:
    assert tls_context(ListenSettings()) is None


def test_what_is_spoken(settings: ListenSettings) -> None:
    context = made(settings)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    spoken = {cipher["name"] for cipher in context.get_ciphers() if cipher["protocol"] == "TLSv1.2"}
    assert spoken and all(name.startswith("ECDHE-") and ("GCM" in name or "CHACHA20" in name) for name in spoken)
    assert context.num_tickets == 0 and context.options & ssl.OP_NO_TICKET and context.options & ssl.OP_NO_RENEGOTIATION
    newer = made(msgspec.structs.replace(settings, minimum_tls="1.3"))
    assert newer.minimum_version is ssl.TLSVersion.TLSv1_3


def test_whom_it_asks(settings: ListenSettings) -> None:
    context = made(settings)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.verify_flags & ssl.VERIFY_CRL_CHECK_LEAF and context.verify_flags & ssl.VERIFY_X509_STRICT
    assert made(msgspec.structs.replace(settings, client_certificate="optional")).verify_mode is ssl.CERT_OPTIONAL
    off = made(msgspec.structs.replace(settings, client_certificate="off", client_ca="", crl=""))
    assert off.verify_mode is ssl.CERT_NONE


def test_an_authority_that_was_made_in_a_hurry_is_taken_as_it_is(settings: ListenSettings, tmp_path: Path) -> None:
    hurried = tmp_path / "hurried.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=ada", "-keyout", "/dev/null",
         "-out", hurried], check=True, capture_output=True,
    )  # fmt: skip
    context = made(msgspec.structs.replace(settings, client_ca=str(hurried), crl=""))
    assert not context.verify_flags & ssl.VERIFY_X509_STRICT


def refusal(settings: ListenSettings, **changes: str) -> str:
    with pytest.raises(StartupError, match=r"cannot set up TLS for https://127.0.0.1:0: ") as caught:
        tls_context(msgspec.structs.replace(settings, **changes))
    return str(caught.value)


@pytest.mark.parametrize("name", ["certificate", "client_ca", "crl"])
def test_files_that_are_not_what_they_should_be(settings: ListenSettings, name: str, tmp_path: Path) -> None:
    (tmp_path / "rubbish").write_text("rubbish")
    assert "rubbish" in refusal(settings, **{name: str(tmp_path / "rubbish")})
    assert "No such file" in refusal(settings, **{name: str(tmp_path / "nothing")})


def test_a_key_of_another_certificate(settings: ListenSettings, tmp_path: Path) -> None:
    (tmp_path / "other.key").write_text(CERTIFICATE)
    assert "other.key is not that of the certificate in" in refusal(settings, key=str(tmp_path / "other.key"))


def test_an_encrypted_key_is_not_asked_about_on_a_terminal(settings: ListenSettings, tmp_path: Path) -> None:
    (tmp_path / "encrypted.key").write_bytes(private_pem(make_key(), "secret"))
    assert "the private key is encrypted; decrypt it with" in refusal(settings, key=str(tmp_path / "encrypted.key"))


def test_a_list_that_has_expired(settings: ListenSettings, certifier: Certifier) -> None:
    then = datetime.now(UTC) - timedelta(days=10)
    Authority(certifier.authority.directory, now=lambda: then).renew_crl(days=5)
    said = refusal(settings)
    assert "crl.pem the list of the authority CN=Test CA has expired, on 20" in said and "anycore ca crl" in said


def test_an_authority_without_a_list_beside_one_that_has_it(
    settings: ListenSettings, certifier: Certifier, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = Certifier(tmp_path / "other", "Other CA")
    both = tmp_path / "both.pem"
    both.write_bytes(certifier.ca.read_bytes() + other.ca.read_bytes())
    made(msgspec.structs.replace(settings, client_ca=str(both)))
    assert "has no list of the authority CN=Other CA; clients that it has certified itself are refused" in caplog.text


def test_a_list_of_somebody_else(settings: ListenSettings, tmp_path: Path) -> None:
    foreign = Certifier(tmp_path / "foreign", "Test CA")
    assert "has no list of the authority CN=Test CA" in refusal(settings, crl=str(foreign.crl))
