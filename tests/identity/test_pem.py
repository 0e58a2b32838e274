from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from anycore.identity.pem import why_unusable
from anycore.testing.certificate import CERTIFICATE, Certifier


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    certifier = Certifier(tmp_path / "ca")
    key, begin, chain = certifier.client("both").read_text().partition("-----BEGIN CERTIFICATE")
    Path("ada.pem").write_text(begin + chain)
    Path("ada.key").write_text(key)
    Path("other.pem").write_text(CERTIFICATE)
    Path("rubbish").write_text("rubbish")
    return tmp_path


def refused(certificate: str, key: str = "", ca: str = "") -> str:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with pytest.raises((OSError, ValueError)) as caught:
        if ca:
            context.load_verify_locations(ca)
        context.load_cert_chain(certificate, key or None)
    return why_unusable(caught.value, certificate, key, ca)


@pytest.mark.parametrize(
    ("certificate", "key", "ca", "said"),
    [
        ("gone.pem", "", "", "gone.pem cannot be read: No such file or directory; see that it is there and readable for this user"),
        ("ada.pem", "gone", "", "gone cannot be read: No such file or directory; see that it is there and readable for this user"),
        ("ada.pem", "ada.key", "gone", "gone cannot be read: No such file or directory; see that it is there and readable for this user"),
        ("ada.pem", "", "", "ada.pem holds no private key in PEM form; name its file with --key, or `key` in the configuration file"),
        ("ada.pem", "rubbish", "", "rubbish holds no private key in PEM form; name the file that does"),
        ("rubbish", "", "", "rubbish holds no certificate in PEM form, which begins with -----BEGIN CERTIFICATE-----"),
        ("ada.key", "ada.key", "", "ada.key holds no certificate in PEM form, which begins with -----BEGIN CERTIFICATE-----"),
        ("ada.pem", "ada.key", "rubbish", "rubbish holds no certificate in PEM form, which begins with -----BEGIN CERTIFICATE-----"),
        ("ada.pem", "other.pem", "", "the private key in other.pem is not that of the certificate in ada.pem; name the one it was made with"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_of_the_file_that_it_is_wrong_with(
    folder: Path, certificate: str, key: str, ca: str, said: str
) -> None:
    assert folder.is_dir()
    assert refused(certificate, key, ca) == said


def test_what_openssl_alone_can_tell_is_told_in_its_words(folder: Path) -> None:
    (folder / "torn.pem").write_text("-----BEGIN CERTIFICATE-----\nxx\n-----END CERTIFICATE-----\n")
    assert refused("torn.pem", "ada.key").endswith("(files: torn.pem, ada.key); each must exist and be in PEM form")
