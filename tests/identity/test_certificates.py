from __future__ import annotations

import datetime as dt
import ipaddress
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier
from hypothesis import given, settings
from hypothesis import strategies as st

from anycore.identity.certificate import CertificateAuthenticator
from anycore.identity.certificates import CertificateError, read_certificate
from anycore.kernel.authentication import AuthenticationFault
from anycore.kernel.call import NO_CREDENTIALS, Identity, Peer

KEY = ec.generate_private_key(ec.SECP256R1())
THEN = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
Part = tuple[ObjectIdentifier, str]
ALICE: list[Part] = [
    (NameOID.DOMAIN_COMPONENT, "org"),
    (NameOID.DOMAIN_COMPONENT, "example"),
    (NameOID.ORGANIZATIONAL_UNIT_NAME, "People"),
    (NameOID.COMMON_NAME, "Alice"),
]


def certificate(
    subject: list[Part],
    *,
    usages: list[ObjectIdentifier] | None = None,
    others: list[x509.GeneralName] | None = None,
    days: int = 30,
) -> bytes:
    name = x509.Name([x509.NameAttribute(oid, value) for oid, value in subject])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "CA")]))
        .public_key(KEY.public_key())
        .serial_number(1)
        .not_valid_before(THEN)
        .not_valid_after(THEN + dt.timedelta(days=days))
    )
    if usages is not None:
        made = made.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    if others:
        made = made.add_extension(x509.SubjectAlternativeName(others), critical=False)
    return made.sign(KEY, hashes.SHA256()).public_bytes(Encoding.DER)


def peer(der: bytes) -> Peer:
    return Peer("tcp", "192.0.2.1", 7, "TLSv1.3", der, local=False)


def now() -> float:
    return THEN.timestamp() + 3600


def test_a_certificate_says_who_its_owner_is() -> None:
    others = [
        x509.DNSName("Host.Example.org"),
        x509.RFC822Name("alice@example.org"),
        x509.IPAddress(ipaddress.ip_address("192.0.2.1")),
        x509.UniformResourceIdentifier("spiffe://example.org/alice"),
        x509.RegisteredID(ObjectIdentifier("1.2.3")),
    ]
    read = read_certificate(certificate(ALICE, others=others))
    assert read.dn == "/DC=org/DC=example/OU=People/CN=Alice"
    assert read.common_name == "Alice"
    assert read.names == (
        "cn:Alice",
        "dns:host.example.org",
        "email:alice@example.org",
        "ip:192.0.2.1",
        "uri:spiffe://example.org/alice",
    )
    assert read.not_before == THEN.timestamp() and read.not_after == THEN.timestamp() + 30 * 86400
    assert read.for_clients


@pytest.mark.parametrize(
    ("subject", "dn"),
    [
        ([(NameOID.COUNTRY_NAME, "CH"), (NameOID.ORGANIZATION_NAME, "Acme, Inc.")], "/C=CH/O=Acme, Inc."),
        ([(NameOID.EMAIL_ADDRESS, "a@b"), (NameOID.USER_ID, "alice")], "/emailAddress=a@b/UID=alice"),
        ([(ObjectIdentifier("1.2.3.4"), "x")], "/1.2.3.4=x"),
        ([(NameOID.COMMON_NAME, "host/a.example.org")], "/CN=host/a.example.org"),
        ([(NameOID.COMMON_NAME, "x/OU=Admins")], r"/CN=x\/OU=Admins"),
        ([(NameOID.COMMON_NAME, "x\\/OU=Admins")], r"/CN=x\\\/OU=Admins"),
        ([(NameOID.COMMON_NAME, "a\nb\0c")], r"/CN=a\x0ab\x00c"),
        ([(NameOID.COMMON_NAME, "Zoë")], "/CN=Zoë"),
        ([], ""),
    ],
)
def test_a_subject_in_slash_form_cannot_be_taken_for_another(subject: list[Part], dn: str) -> None:
    assert read_certificate(certificate(subject)).dn == dn


def test_several_parts_at_one_level_are_one() -> None:
    name = x509.Name(
        [
            x509.RelativeDistinguishedName(
                [x509.NameAttribute(NameOID.COMMON_NAME, "Alice"), x509.NameAttribute(NameOID.USER_ID, "7")]
            )
        ]
    )
    from anycore.identity.certificates import slash_form

    assert slash_form(name) == "/CN=Alice+UID=7"


@pytest.mark.parametrize(
    ("named_by", "name"),
    [
        ("common_name", "Alice"),
        ("subject", "/DC=org/DC=example/OU=People/CN=Alice"),
        ("dns", "host.example.org"),
        ("email", "alice@example.org"),
        ("uri", "/DC=org/DC=example/OU=People/CN=Alice"),
    ],
)
def test_which_name_is_the_owners_can_be_set(named_by: str, name: str) -> None:
    others: list[Any] = [x509.DNSName("host.example.org"), x509.RFC822Name("alice@example.org")]
    der = certificate(ALICE, others=others, usages=[ExtendedKeyUsageOID.CLIENT_AUTH])
    door = CertificateAuthenticator(named_by, now)
    found = door.authenticate(peer(der), NO_CREDENTIALS)
    assert found is not None and (found.name, found.kind) == (name, "certificate")
    assert found.dn == "/DC=org/DC=example/OU=People/CN=Alice" and "cn:Alice" in found.names
    assert door.authenticate(peer(bytes(bytearray(der))), NO_CREDENTIALS) is found
    assert door.quick(peer(der), NO_CREDENTIALS)


def test_nothing_is_said_of_those_who_show_none() -> None:
    assert CertificateAuthenticator().authenticate(Peer(), NO_CREDENTIALS) is None
    assert CertificateAuthenticator().authenticate(Peer(certificate=b""), NO_CREDENTIALS) is None


@pytest.mark.parametrize(
    ("usages", "accepted"),
    [
        (None, True),
        ([ExtendedKeyUsageOID.CLIENT_AUTH], True),
        ([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE], True),
        ([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH], True),
        ([ExtendedKeyUsageOID.SERVER_AUTH], False),
        ([ExtendedKeyUsageOID.CODE_SIGNING], False),
    ],
)
def test_a_certificate_must_be_for_clients(usages: list[ObjectIdentifier] | None, accepted: bool) -> None:
    door = CertificateAuthenticator(clock=now)
    if accepted:
        assert door.authenticate(peer(certificate(ALICE, usages=usages)), NO_CREDENTIALS) == Identity(
            "Alice", "certificate", dn="/DC=org/DC=example/OU=People/CN=Alice", names=("cn:Alice",)
        )
    else:
        with pytest.raises(AuthenticationFault, match="not meant for clients"):
            door.authenticate(peer(certificate(ALICE, usages=usages)), NO_CREDENTIALS)


def test_a_connection_that_outlives_its_certificate_is_nobodys() -> None:
    time = [THEN.timestamp()]
    door = CertificateAuthenticator(clock=lambda: time[0])
    caller = peer(certificate(ALICE, days=1))
    assert door.authenticate(caller, NO_CREDENTIALS) is not None
    for moment in (THEN.timestamp() + 86400, THEN.timestamp() - 1):
        time[0] = moment
        with pytest.raises(AuthenticationFault, match="has expired, or is not valid yet"):
            door.authenticate(caller, NO_CREDENTIALS)


def test_a_certificate_that_names_nobody_is_refused() -> None:
    with pytest.raises(AuthenticationFault, match="names nobody"):
        CertificateAuthenticator(clock=now).authenticate(peer(certificate([])), NO_CREDENTIALS)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 400), st.binary(min_size=1, max_size=4))
def test_bytes_that_are_no_certificate_are_refused(place: int, other: bytes) -> None:
    good = certificate(ALICE)
    place = min(place, len(good) - 1)
    broken = good[:place] + other + good[place + len(other) :]
    try:
        read = read_certificate(broken)
    except CertificateError:
        with pytest.raises(AuthenticationFault):
            CertificateAuthenticator(clock=now).authenticate(peer(broken), NO_CREDENTIALS)
        return
    assert read.dn is not None


def test_the_memory_of_certificates_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    from anycore.identity import certificate as module

    monkeypatch.setattr(module, "_REMEMBERED", 3)
    door = CertificateAuthenticator(clock=now)
    for number in range(6):
        assert door.authenticate(peer(certificate([(NameOID.COMMON_NAME, f"c{number}")])), NO_CREDENTIALS) is not None
    assert len(door._known) == 3
