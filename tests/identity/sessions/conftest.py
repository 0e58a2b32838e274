"""A grid in small: authorities, certificates of persons, proxies of these, all with RSA keys, good and bad."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from anycore.identity.sessions.kept import Sessions
from anycore.identity.sessions.proxy import PROXY_INFO
from anycore.identity.sessions.settings import SessionSettings
from anycore.store import Store, namespace, open_store

OIDS = {"DC": NameOID.DOMAIN_COMPONENT, "CN": NameOID.COMMON_NAME, "OU": NameOID.ORGANIZATIONAL_UNIT_NAME}
HOUR = dt.timedelta(hours=1)


def proxy_info(language: str = "2b06010505071501", path_length: int | None = None) -> bytes:
    oid = bytes.fromhex(language)
    policy = b"\x06" + bytes([len(oid)]) + oid
    body = b"\x30" + bytes([len(policy)]) + policy
    if path_length is not None:
        body = b"\x02\x01" + bytes([path_length]) + body
    return b"\x30" + bytes([len(body)]) + body


class Pair(msgspec.Struct, frozen=True):
    """A certificate and its key."""

    certificate: x509.Certificate
    key: Any

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(Encoding.PEM).decode()

    @property
    def key_pem(self) -> str:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


class Grid:
    """Makes certificates; keys are few, as they take time."""

    def __init__(self) -> None:
        self._keys = itertools.cycle([rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(5)])
        self.ca = self.authority("/DC=org/CN=Grid CA")

    def key(self) -> Any:
        return next(self._keys)

    def make(
        self,
        subject: str,
        issuer: Pair | None,
        *,
        extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
        start: dt.timedelta = -HOUR,
        end: dt.timedelta = 24 * HOUR,
        key: Any = None,
        digest: Any = None,
        issuer_name: str = "",
    ) -> Pair:
        key = key or self.key()
        now = dt.datetime.now(dt.UTC)
        signer = key if issuer is None else issuer.key
        name = (
            x509_name(issuer_name)
            if issuer_name
            else x509_name(subject)
            if issuer is None
            else issuer.certificate.subject
        )
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509_name(subject))
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + start)
            .not_valid_after(now + end)
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return Pair(builder.sign(signer, digest or hashes.SHA256()), key)

    def authority(self, subject: str, issuer: Pair | None = None, **options: Any) -> Pair:
        return self.make(
            subject, issuer, extensions=[(x509.BasicConstraints(ca=True, path_length=None), True)], **options
        )

    def person(self, name: str, issuer: Pair | None = None, **options: Any) -> Pair:
        return self.make(f"/DC=org/OU=People/CN={name}", issuer or self.ca, **options)

    def old_proxy(self, owner: Pair, name: str = "proxy", **options: Any) -> Pair:
        return self.make(f"{slash(owner.certificate.subject)}/CN={name}", owner, **options)

    def proxy(self, owner: Pair, info: bytes | None = None, extensions: Any = (), **options: Any) -> Pair:
        said = x509.UnrecognizedExtension(PROXY_INFO, proxy_info() if info is None else info)
        return self.make(
            f"{slash(owner.certificate.subject)}/CN=12345", owner, extensions=[(said, True), *extensions], **options
        )

    def elliptic(self) -> Any:
        return ec.generate_private_key(ec.SECP256R1())

    def revocations(self, issuer: Pair, *revoked: Pair, end: dt.timedelta = HOUR) -> str:
        now = dt.datetime.now(dt.UTC)
        builder = x509.CertificateRevocationListBuilder().issuer_name(issuer.certificate.subject)
        builder = builder.last_update(now - 2 * HOUR).next_update(now + end)
        for one in revoked:
            entry = (
                x509.RevokedCertificateBuilder()
                .serial_number(one.certificate.serial_number)
                .revocation_date(now - HOUR)
            )
            builder = builder.add_revoked_certificate(entry.build())
        return builder.sign(issuer.key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


SERVER_ONLY = ((x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),)


def x509_name(text: str) -> x509.Name:
    parts = [part.partition("=") for part in text.split("/")[1:]]
    return x509.Name([x509.NameAttribute(OIDS[kind], value) for kind, _, value in parts])


def slash(name: x509.Name) -> str:
    kinds = {oid: kind for kind, oid in OIDS.items()}
    return "".join(f"/{kinds[one.oid]}={one.value!s}" for one in name)


@pytest.fixture(scope="session")
def grid() -> Grid:
    return Grid()


@pytest.fixture
def store() -> Store:
    return open_store("memory:")


@pytest.fixture
def make_sessions(store: Store) -> Callable[..., Sessions]:
    def make(clock: Callable[[], float] | None = None, **options: Any) -> Sessions:
        more = {} if clock is None else {"clock": clock}
        return Sessions(lambda: namespace(store, "sessions"), SessionSettings(**options), **more)

    return make


@pytest.fixture
def trusted(grid: Grid, tmp_path: Path) -> Path:
    """A directory with the authority, as grids have them."""
    directory = tmp_path / "certificates"
    directory.mkdir()
    (directory / "1c3f2ca8.0").write_text(grid.ca.pem)
    (directory / "README").write_text("no certificate")
    return directory
