from __future__ import annotations

import base64
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from hypothesis import given, settings
from hypothesis import strategies as st

from anycore.identity.sessions.proxy import read_proxy_info
from anycore.identity.sessions.rsa import SigningKey, encrypt_for, new_nonce, secret_of
from anycore.identity.sessions.wire import cookies, is_certainly_name, is_name, presented, secret_bytes
from anycore.kernel.authentication import AuthenticationFault
from anycore.kernel.call import Credentials

NAME = "da39a3ee5e6b4b0d3255bfef95601890afd80709"
SECRET = bytes(range(20))


def header(pair: bytes, scheme: str = "Basic") -> Credentials:
    return Credentials(f"{scheme} {base64.b64encode(pair).decode()}")


def cookie(**values: str) -> Credentials:
    return Credentials(cookie="; ".join(f"{key}={value}" for key, value in values.items()))


@settings(max_examples=100)
@given(st.binary(min_size=20, max_size=20), st.integers(0, 28))
def test_a_secret_in_each_spelling(secret: bytes, at: int) -> None:
    texts = [
        secret.hex(),
        secret.hex().upper(),
        base64.b64encode(secret).decode(),
        base64.urlsafe_b64encode(secret).decode(),
    ]
    for text in texts:
        for spelling in (text, f"{text[:at]}\r\n{text[at:]}\r\n", f" {text}\n", text.rstrip("=")):
            assert secret_bytes(spelling) == secret


@pytest.mark.parametrize(
    "text", ["", "BROWSER", "a" * 39, "a" * 41, "g" * 40, "A" * 26, "A" * 28, "A" * 27 + "==", "\0" * 20, "ä" * 20]
)
def test_what_is_no_secret(text: str) -> None:
    assert secret_bytes(text) is None


@settings(max_examples=200)
@given(
    st.one_of(st.text(), st.from_regex(r"(?i)basic [A-Za-z0-9+/=]*", fullmatch=True)),
    st.text(alphabet='clarens_username=password;" \t\0ä0'),
)
def test_whatever_is_presented_there_is_one_way_to_be_refused(authorization: str, cookie: str) -> None:
    try:
        found = presented(Credentials(authorization, cookie))
    except AuthenticationFault:
        return
    if found is not None:
        assert is_name(found.name)
        secret_bytes(found.secret)


@settings(max_examples=200)
@given(st.binary(max_size=40), st.integers(0, 20), st.integers(0, 255))
def test_whatever_a_proxy_says_of_itself_it_is_read_or_refused(noise: bytes, at: int, byte: int) -> None:
    good = bytes.fromhex("300f020105300a06082b06010505071501")
    for der in (noise, good[:at] + bytes([byte]) + good[at + 1 :], good[:at], good + noise):
        with suppress(ValueError):
            read_proxy_info(der)


def test_names() -> None:
    assert is_name(NAME)
    assert is_name("2jmj7l5rSw0yVb/vlWAYkK/YBwk=")
    assert is_certainly_name(NAME)
    assert not is_certainly_name("backup-operator")
    for text in ("", "short", "x" * 129, "has space", "colon:colon", "a;b-------", "\x30\x31\x30\x0d\x06\x09----"):
        assert not is_name(text), text


def test_what_a_header_presents() -> None:
    found = presented(header(f"{NAME}:{SECRET.hex()}".encode()))
    assert found == (NAME, SECRET.hex(), False)
    broken = base64.encodebytes(bytes.fromhex(NAME)).decode().replace("\n", "\r\n")
    found = presented(header(f"{broken}:abc\r\n".encode(), "bAsIc"))
    assert found is not None
    assert found.name == "2jmj7l5rSw0yVb/vlWAYkK/YBwk="


@pytest.mark.parametrize(
    "credentials",
    [
        Credentials(),
        Credentials("Bearer abc"),
        Credentials("Basic"),
        Credentials("Basic ????"),
        Credentials("Basic " + NAME),  # the sample of the oldest description: no name
        header(b"no colon"),
        header(b"bob:secret"),
        header(f"{NAME}:\xff".encode("latin-1")),
        header(b"na\0me-----:x"),
        Credentials(cookie="other=1; clarens=2"),
        Credentials(cookie="clarens_username=; clarens_password="),
    ],
)
def test_what_presents_no_session(credentials: Credentials) -> None:
    assert presented(credentials) is None


def test_cookies_come_back_as_they_were_given() -> None:
    fields = cookies(NAME, SECRET.hex(), secure=True)
    given = [value.partition(";")[0] for name, value in fields if name == "Set-Cookie"]
    assert presented(Credentials(cookie="a=b; " + "; ".join(given))) == (NAME, SECRET.hex(), True)
    for _, value in fields[:2]:
        assert {part.strip() for part in value.split(";")[1:]} == {"Path=/", "HttpOnly", "SameSite=Strict", "Secure"}
    assert ("Cache-Control", "no-store") in fields
    assert "Secure" not in cookies(NAME, "x", secure=False)[0][1]
    assert "Max-Age=0" in cookies("", "", secure=False)[1][1]


@pytest.mark.parametrize(
    "text",
    [
        f"clarens_username={NAME}; clarens_password=a; clarens_password=b",
        f"clarens_username={NAME}; clarens_password=a; clarens_username={'b' * 40}",
        f"clarens_username={NAME}",
        "clarens_password=abc",
        "clarens_username=a b; clarens_password=abc",
    ],
)
def test_cookies_that_contradict_each_other_are_refused(text: str) -> None:
    with pytest.raises(AuthenticationFault, match="the cookies are refused"):
        presented(Credentials(cookie=text))


def test_a_cookie_of_a_longer_name_is_another_one() -> None:
    text = f"xclarens_username=evil-name; clarens_username={NAME}; clarens_password=s; clarens_password2=t"
    assert presented(Credentials(cookie=text)) == (NAME, "s", True)


def test_the_header_goes_before_cookies() -> None:
    both = Credentials(header(f"{NAME}:x".encode()).authorization, f"clarens_username={'c' * 40}; clarens_password=y")
    assert presented(both) == (NAME, "x", False)


def test_openssl_recovers_what_the_server_signs(grid: Any, tmp_path: Path) -> None:
    server = grid.person("server")
    (tmp_path / "server.pem").write_text(server.pem)
    for text in (NAME.encode(), b"2jmj7l5rSw0yVb/vlWAYkK/YBwk=", b"x", b"y" * 128):
        (tmp_path / "c2").write_bytes(SigningKey(server.key).encrypt(text))
        command = ["openssl", "pkeyutl", "-verifyrecover", "-certin", "-inkey", "server.pem", "-in", "c2"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True)
        assert done.stdout == text


def test_a_block_of_type_1_has_no_digest_in_it(grid: Any) -> None:
    server = grid.person("server")
    numbers = server.key.public_key().public_numbers()
    signed = SigningKey(server.key).encrypt(b"name")
    block = pow(int.from_bytes(signed), numbers.e, numbers.n).to_bytes(256)
    assert block == b"\x00\x01" + b"\xff" * 249 + b"\x00" + b"name"
    with pytest.raises(ValueError, match="signs at most 245 bytes"):
        SigningKey(server.key).encrypt(b"x" * 246)


def test_only_the_owner_of_the_key_reads_the_nonce(grid: Any) -> None:
    alice = grid.person("Alice")
    nonce = new_nonce()
    assert nonce.isascii()
    assert nonce.isprintable()
    assert alice.key.decrypt(encrypt_for(alice.key.public_key(), nonce.encode()), PKCS1v15()) == nonce.encode()
    assert len(secret_of(nonce)) == 20
    with pytest.raises(ValueError, match="needs a certificate with an RSA key"):
        encrypt_for(grid.elliptic().public_key(), b"x")
