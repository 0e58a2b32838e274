from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa

from anycore.identity.sessions.chain import CertificateRefusedError, read_chain
from anycore.identity.sessions.proxy import read_proxy_info
from anycore.identity.sessions.trust import Trust

HOUR = dt.timedelta(hours=1)
SERVER_AUTH = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.1")


def owner(trusted: Path, *pairs: Any, proxies: bool = True, key_bits: int = 2048) -> str:
    chain = read_chain("some text\n".join(pair.pem for pair in pairs))
    found = Trust(str(trusted)).owner(chain, proxies=proxies, key_bits=key_bits)
    assert found.leaf == pairs[0].certificate
    return found.certificate.subject.rfc4514_string()


ALICE = "CN=Alice,OU=People,DC=org"


def test_a_certificate_of_an_authority(grid: Any, trusted: Path) -> None:
    assert owner(trusted, grid.person("Alice")) == ALICE


def test_by_way_of_another_authority(grid: Any, trusted: Path) -> None:
    between = grid.authority("/DC=org/CN=Sub CA", grid.ca)
    assert owner(trusted, grid.person("Alice", between), between) == ALICE
    assert owner(trusted, grid.person("Alice", between), grid.ca, between) == ALICE


def test_proxies_lead_to_their_owner(grid: Any, trusted: Path) -> None:
    alice = grid.person("Alice")
    old, limited, new = grid.old_proxy(alice), grid.old_proxy(alice, "limited proxy"), grid.proxy(alice)
    assert owner(trusted, old, alice) == ALICE
    assert owner(trusted, limited, alice) == ALICE
    assert owner(trusted, new, alice) == ALICE
    second = grid.old_proxy(old)
    assert owner(trusted, second, old, alice) == ALICE
    assert owner(trusted, grid.proxy(new), alice, new) == ALICE


def forged_by_another_key(grid: Any) -> list[Any]:
    alice, mallory = grid.person("Alice"), grid.person("Mallory")
    return [grid.make("/DC=org/OU=People/CN=Alice/CN=proxy", mallory, issuer_name="/DC=org/OU=People/CN=Alice"), alice]


def named_after_somebody_else(grid: Any) -> list[Any]:
    mallory = grid.person("Mallory")
    info = x509.UnrecognizedExtension(
        x509.ObjectIdentifier("1.3.6.1.5.5.7.1.14"), b"\x30\x0c\x30\x0a\x06\x08+\x06\x01\x05\x05\x07\x15\x01"
    )
    return [grid.make("/DC=org/OU=People/CN=Alice/CN=1", mallory, extensions=[(info, True)]), mallory]


def signed_like_an_authority(grid: Any) -> list[Any]:
    """A person signs for another name: not a proxy, and no authority has signed it."""
    mallory = grid.person("Mallory")
    return [grid.make("/DC=org/OU=People/CN=Alice", mallory), mallory]


def without_its_owner(grid: Any) -> list[Any]:
    return [grid.old_proxy(grid.person("Alice"))]


def of_a_foreign_authority(grid: Any) -> list[Any]:
    foreign = grid.authority("/DC=org/CN=Foreign CA")
    return [grid.person("Alice", foreign), foreign]


def of_a_foreign_authority_of_the_same_name(grid: Any) -> list[Any]:
    foreign = grid.authority("/DC=org/CN=Grid CA", key=rsa.generate_private_key(public_exponent=65537, key_size=2048))
    return [grid.person("Alice", foreign), foreign]


def proxy_of_a_foreign_person(grid: Any) -> list[Any]:
    alice = grid.person("Alice", grid.authority("/DC=org/CN=Foreign CA"))
    return [grid.old_proxy(alice), alice]


def proxy_of_an_authority(grid: Any) -> list[Any]:
    return [grid.make("/DC=org/CN=Grid CA/CN=proxy", grid.ca), grid.ca]


def an_authority_itself(grid: Any) -> list[Any]:
    return [grid.ca]


def proxy_as_an_authority(grid: Any) -> list[Any]:
    alice = grid.person("Alice")
    return [grid.proxy(alice, extensions=[(x509.BasicConstraints(ca=True, path_length=None), True)]), alice]


def certificate_of_a_proxy(grid: Any) -> list[Any]:
    alice = grid.person("Alice")
    proxy = grid.proxy(alice)
    return [grid.make("/DC=org/OU=People/CN=Root", proxy), proxy, alice]


def independent_proxy(grid: Any) -> list[Any]:
    alice = grid.person("Alice")
    return [grid.proxy(alice, b"\x30\x0c\x30\x0a\x06\x08+\x06\x01\x05\x05\x07\x15\x02"), alice]


def too_many_proxies(grid: Any) -> list[Any]:
    alice = grid.person("Alice")
    first = grid.proxy(alice, b"\x30\x0f\x02\x01\x00\x30\x0a\x06\x08+\x06\x01\x05\x05\x07\x15\x01")
    return [grid.proxy(first), first, alice]


def broken_proxy_info(grid: Any) -> list[Any]:
    alice = grid.person("Alice")
    return [grid.proxy(alice, b"\x30\x84\xff\xff\xff\xff"), alice]


def proxy_with_another_name(grid: Any) -> list[Any]:
    alice = grid.person("Alice")
    return [grid.proxy(alice, extensions=[(x509.SubjectAlternativeName([x509.DNSName("root")]), False)]), alice]


def proxy_with_something_unknown(grid: Any) -> list[Any]:
    alice = grid.person("Alice")
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    return [grid.proxy(alice, extensions=[(unknown, True)]), alice]


def expired_proxy(grid: Any) -> list[Any]:
    alice = grid.person("Alice")
    return [grid.old_proxy(alice, start=-2 * HOUR, end=-HOUR), alice]


def proxy_of_an_expired_person(grid: Any) -> list[Any]:
    alice = grid.person("Alice", start=-2 * HOUR, end=-HOUR)
    return [grid.old_proxy(alice), alice]


def expired(grid: Any) -> list[Any]:
    return [grid.person("Alice", start=-2 * HOUR, end=-HOUR)]


def not_valid_yet(grid: Any) -> list[Any]:
    return [grid.person("Alice", start=HOUR)]


def for_servers_only(grid: Any) -> list[Any]:
    return [grid.person("Alice", extensions=[(x509.ExtendedKeyUsage([SERVER_AUTH]), False)])]


def small_key(grid: Any) -> list[Any]:
    return [grid.person("Alice", key=rsa.generate_private_key(public_exponent=65537, key_size=1024))]


def weak_digest(grid: Any) -> list[Any]:
    alice = grid.person("Alice")
    return [grid.old_proxy(alice, digest=hashes.SHA224()), alice]


REFUSALS: list[tuple[Callable[[Any], list[Any]], str]] = [
    (forged_by_another_key, "missing, or has not signed it"),
    (named_after_somebody_else, "not its issuer's with one common name more"),
    (signed_like_an_authority, "no trusted authority vouches"),
    (without_its_owner, "missing, or has not signed it"),
    (of_a_foreign_authority, "no trusted authority vouches"),
    (of_a_foreign_authority_of_the_same_name, "no trusted authority vouches"),
    (proxy_of_a_foreign_person, "no trusted authority vouches"),
    (proxy_of_an_authority, "signed by an authority"),
    (an_authority_itself, "certificate of an authority"),
    (proxy_as_an_authority, "claims to be an authority"),
    (certificate_of_a_proxy, "no trusted authority vouches"),
    (independent_proxy, "other rights than its owner's"),
    (too_many_proxies, "allows 0 further ones, not 1"),
    (broken_proxy_info, "ProxyCertInfo"),
    (proxy_with_another_name, "alternative name"),
    (proxy_with_something_unknown, r"unknown critical extension 1\.2\.3\.4"),
    (expired_proxy, "a proxy certificate is not valid now"),
    (proxy_of_an_expired_person, "is not valid now"),
    (expired, "is not valid now"),
    (not_valid_yet, "is not valid now"),
    (for_servers_only, "not for clients"),
    (small_key, "has 1024 bits; 2048 were expected"),
    (weak_digest, "signed with sha224"),
]


@pytest.mark.parametrize(("make", "reason"), REFUSALS, ids=lambda value: getattr(value, "__name__", ""))
def test_what_is_refused(make: Callable[[Any], list[Any]], reason: str, grid: Any, trusted: Path) -> None:
    with pytest.raises(CertificateRefusedError, match=reason):
        owner(trusted, *make(grid))


def test_proxies_can_be_refused_as_such(grid: Any, trusted: Path) -> None:
    alice = grid.person("Alice")
    with pytest.raises(CertificateRefusedError, match="proxy certificates are not accepted here"):
        owner(trusted, grid.old_proxy(alice), alice, proxies=False)
    assert owner(trusted, alice, proxies=False) == ALICE


def test_a_smaller_key_is_accepted_where_that_is_set(grid: Any, trusted: Path) -> None:
    assert owner(trusted, *small_key(grid), key_bits=1024) == ALICE


def test_revoked(grid: Any, trusted: Path) -> None:
    alice, bob = grid.person("Alice"), grid.person("Bob")
    (trusted / "1c3f2ca8.r0").write_text(grid.revocations(grid.ca, alice))
    assert owner(trusted, bob) == "CN=Bob,OU=People,DC=org"
    with pytest.raises(CertificateRefusedError, match="the certificate of Alice is revoked"):
        owner(trusted, alice)
    with pytest.raises(CertificateRefusedError, match="the certificate of Alice is revoked"):
        owner(trusted, grid.old_proxy(alice), alice)


def test_a_revocation_list_that_is_out_of_date_vouches_for_nobody(grid: Any, trusted: Path) -> None:
    (trusted / "1c3f2ca8.r0").write_text(grid.revocations(grid.ca, end=-HOUR))
    with pytest.raises(CertificateRefusedError, match="out of date"):
        owner(trusted, grid.person("Alice"))


def test_a_revocation_list_of_somebody_else_counts_for_nothing(grid: Any, trusted: Path) -> None:
    alice = grid.person("Alice")
    other = grid.authority("/DC=org/CN=Grid CA", key=rsa.generate_private_key(public_exponent=65537, key_size=2048))
    (trusted / "1c3f2ca8.r0").write_text(grid.revocations(other, alice))
    assert owner(trusted, alice) == ALICE


def test_authorities_are_read_again_when_they_change(grid: Any, trusted: Path) -> None:
    foreign = grid.authority("/DC=com/CN=New CA")
    alice = grid.person("Alice", foreign)
    trust = Trust(str(trusted))
    with pytest.raises(CertificateRefusedError):
        trust.owner([alice.certificate], proxies=True, key_bits=2048)
    (trusted / "new.pem").write_text(foreign.pem)
    (trusted / "the-same.pem").write_text(foreign.pem)
    assert trust.owner([alice.certificate], proxies=True, key_bits=2048).certificate == alice.certificate
    for file in trusted.iterdir():
        file.unlink()
    with pytest.raises(CertificateRefusedError, match="there is no authority in"):
        trust.owner([alice.certificate], proxies=True, key_bits=2048)


def test_authorities_in_one_file(grid: Any, tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text(grid.authority("/DC=com/CN=Other").pem + grid.ca.pem)
    assert owner(file, grid.person("Alice")) == ALICE
    with pytest.raises(CertificateRefusedError, match="there is no authority in"):
        Trust(str(tmp_path / "missing.pem"))
    file.write_text("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")
    with pytest.raises(CertificateRefusedError, match="correct or remove it"):
        Trust(str(file))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-----BEGIN CERTIFICATE-----",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" * 11,
    ],
)
def test_texts_without_a_chain(text: str) -> None:
    with pytest.raises(CertificateRefusedError):
        read_chain(text)


@pytest.mark.parametrize(
    "der",
    [b"", b"\x30", b"\x30\x00", b"\x30\x80", b"\x30\x81\x05\x30\x03\x06\x01\x2b", b"\x30\x03\x02\x01\xff",
     b"\x30\x05\x02\x03\x30\x01\x06", b"\x30\x0c\x30\x0a\x06\x08+\x06\x01\x05\x05\x07\x15\x01\x00",
     b"\x30\x0e\x30\x0a\x06\x08+\x06\x01\x05\x05\x07\x15\x01\x05\x00", b"\x31\x0c\x30\x0a\x06\x08+\x06\x01\x05\x05\x07\x15\x01"],
)  # fmt: skip
def test_malformed_proxy_info(der: bytes) -> None:
    with pytest.raises(ValueError):
        read_proxy_info(der)


def test_proxy_info() -> None:
    assert read_proxy_info(b"\x30\x0c\x30\x0a\x06\x08+\x06\x01\x05\x05\x07\x15\x01").path_length is None
    assert read_proxy_info(b"\x30\x0f\x02\x01\x05\x30\x0a\x06\x08+\x06\x01\x05\x05\x07\x15\x01").path_length == 5
