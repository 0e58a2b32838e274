"""An authority on disk: a directory with its key, its certificate, its revocation list, and what it has issued.

ca.pem            the certificate: give it to whoever is to trust the authority
ca.key            the private key, readable by its owner alone
crl.pem           the revocation list: for servers
ledger.json       what was issued
certificates/     each certificate that was issued, by its serial number
"""

from __future__ import annotations

import hmac
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Self

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding

from anycore.identity.authority import building, ledger
from anycore.identity.authority.errors import AuthorityError
from anycore.identity.authority.ledger import VALID, Entry, Ledger
from anycore.identity.authority.material import (
    check_public,
    fingerprint,
    is_encrypted,
    load_key,
    make_key,
    private_pem,
)
from anycore.identity.authority.names import Wanted, slashes, subject
from anycore.identity.authority.reading import loaded
from anycore.identity.authority.requests import read_request

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from anycore.identity.authority.material import PrivateKey, PublicKey

AUTHORITY_DAYS: Final = 3650
DAYS: Final = 365
CRL_DAYS: Final = 90


class Issued(msgspec.Struct, frozen=True):
    """A certificate that was just issued.

    Args:
        entry: What is remembered of it.
        chain: The certificate and that of the authority, in PEM form.
        key: The private key in PEM form; empty where the authority does not have it.
    """

    entry: Entry
    chain: bytes
    key: bytes = b""


class Authority:
    """A private certificate authority.

    Args:
        directory: Where it lives.
        passphrase: Asked for the passphrase when the private key is needed and encrypted.
        now: Tells the time.

    Raises:
        AuthorityError: There is none.
    """

    def __init__(
        self,
        directory: Path,
        passphrase: Callable[[], str] = lambda: "",
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC).replace(microsecond=0),
    ) -> None:
        self.directory = directory
        self._passphrase = passphrase
        self._now = now
        self._key: PrivateKey | None = None
        self.certificate = self._read_certificate()

    @classmethod
    def create(
        cls,
        directory: Path,
        name: str,
        *,
        parts: Sequence[str] = (),
        days: int = AUTHORITY_DAYS,
        kind: str = "p256",
        passphrase: str = "",
        now: Callable[[], datetime] = lambda: datetime.now(UTC).replace(microsecond=0),
    ) -> Self:
        """Make a new authority.

        Args:
            directory: Where it is to live; it is made if it is not there, and must hold no authority.
            name: Its common name.
            parts: Parts of its distinguished name before that, as in `O=Example`.
            days: How long it is to be valid.
            kind: The kind of its key.
            passphrase: Encrypts its key; empty for none.
            now: Tells the time.

        Raises:
            AuthorityError: It cannot be made there.
        """
        named = subject(name, parts)
        key = make_key(kind)
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            (directory / "certificates").mkdir(exist_ok=True)
        except OSError as error:
            raise AuthorityError(f"{directory} cannot be made: {error.strerror}; choose another directory") from error
        with ledger.alone(directory):
            if (directory / "ca.key").exists() or (directory / "ca.pem").exists():
                raise AuthorityError(f"{directory} holds an authority already; choose another directory")
            made = building.authority_certificate(key, named, now(), now() + timedelta(days=days))
            ledger.save(directory / "ledger.json", Ledger())
            ledger.write(directory / "ca.key", private_pem(key, passphrase), ledger.PRIVATE)
            ledger.write(directory / "ca.pem", made.public_bytes(Encoding.PEM), ledger.PUBLIC)
        authority = cls(directory, lambda: passphrase, now=now)
        authority.renew_crl()
        return authority

    def _read_certificate(self) -> x509.Certificate:
        path = self.directory / "ca.pem"
        try:
            return loaded(x509.load_pem_x509_certificate, path.read_bytes())
        except OSError as error:
            message = f"there is no authority in {self.directory} ({error.strerror}); make one with: anycore ca init"
            raise AuthorityError(message) from error
        except ValueError as error:
            raise AuthorityError(
                f"{path}: the certificate cannot be read ({error}); restore it from a backup"
            ) from error

    @property
    def pem(self) -> bytes:
        """The authority's certificate in PEM form."""
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def fingerprint(self) -> str:
        """The SHA-256 fingerprint of the authority's certificate."""
        return fingerprint(self.certificate)

    @property
    def key(self) -> PrivateKey:
        """The private key; read, and the passphrase asked for, at the first time.

        Raises:
            AuthorityError: It cannot be read.
        """
        if self._key is None:
            path = self.directory / "ca.key"
            try:
                pem = path.read_bytes()
            except OSError as error:
                raise AuthorityError(
                    f"{path} cannot be read: {error.strerror}; run this as the owner of the authority"
                ) from error
            key = load_key(pem, str(path), self._passphrase() if is_encrypted(pem) else "")
            if key.public_key() != self.certificate.public_key():
                raise AuthorityError(
                    f"{path} is not the key of {self.directory / 'ca.pem'}; restore both from one backup"
                )
            self._key = key
        return self._key

    def unlock(self) -> None:
        """Read the private key now rather than when it is needed.

        Raises:
            AuthorityError: It cannot be read.
        """
        _ = self.key

    def entries(self) -> tuple[Entry, ...]:
        """Return what was issued, the oldest first."""
        return tuple(ledger.load(self._ledger).certificates)

    @property
    def _ledger(self) -> Path:
        return self.directory / "ledger.json"

    def issue(self, wanted: Wanted, *, days: int = DAYS, kind: str = "p256", made_by: str = "issue") -> Issued:
        """Make a key and a certificate for it.

        Args:
            wanted: What the certificate is to say.
            days: How long it is to be valid.
            kind: The kind of the key.
            made_by: For the ledger.
        """
        key = make_key(kind)
        signed = self._sign(wanted.check(), key.public_key(), days, made_by)
        return msgspec.structs.replace(signed, key=private_pem(key))

    def sign(self, request: bytes, wanted: Wanted | None = None, *, usages: Sequence[str] = (), days: int = DAYS,
             made_by: str = "sign") -> Issued:  # fmt: skip
        """Make a certificate for a key that somebody else has.

        Args:
            request: The certificate signing request in PEM form.
            wanted: What the certificate is to say; what the request says when left out.
            usages: What it may be used for, where `wanted` is left out; see `Wanted.of`.
            days: How long it is to be valid.
            made_by: For the ledger.

        Raises:
            AuthorityError: The request is none, or not one to sign.
        """
        read = read_request(request)
        wanted = Wanted.of(read, usages) if wanted is None else wanted
        return self._sign(wanted.check(), check_public(read.public_key(), "the request"), days, made_by)

    def renew(self, entry: Entry, *, days: int = DAYS, request: bytes = b"", made_by: str = "renew") -> Issued:
        """Make a certificate that says the same as another.

        Args:
            entry: The other one; it stays valid for as long as it was.
            days: How long the new one is to be valid.
            request: A request with a new key; the key stays the same when left out.
            made_by: For the ledger.

        Raises:
            AuthorityError: The other one is not valid.
        """
        if entry.state(self._now()) != VALID:
            message = (
                f"the certificate of {entry.name} is {entry.state(self._now())} and cannot be renewed; issue a new one"
            )
            raise AuthorityError(message)
        old = self.read(entry)
        public = read_request(request).public_key() if request else old.public_key()
        return self._sign(Wanted.of(old), check_public(public, entry.name), days, made_by, entry)

    def _sign(self, wanted: Wanted, public: PublicKey, days: int, made_by: str, old: Entry | None = None) -> Issued:
        if public == self.certificate.public_key():
            raise AuthorityError("the request has the authority's own key; make a key for every certificate")
        now, key = self._now(), self.key
        made = building.certificate(
            self.certificate, key, wanted, public, now - building.SKEW, now + timedelta(days=days)
        )
        entry = Entry(
            serial=f"{made.serial_number:x}",
            name=wanted.name,
            subject=slashes(made.subject),
            usages=wanted.usages,
            names=(*(f"dns:{name}" for name in wanted.dns), *(f"ip:{address}" for address in wanted.ips)),
            begin=made.not_valid_before_utc,
            until=made.not_valid_after_utc,
            made_by=made_by,
        )
        pem = made.public_bytes(Encoding.PEM)
        with ledger.alone(self.directory):
            known = ledger.load(self._ledger)
            if old is not None:
                current = next(one for one in known.certificates if one.serial == old.serial)
                if current.revoked is not None:
                    raise AuthorityError(f"the certificate of {old.name} was revoked; issue a new one")
                known.replace(current, msgspec.structs.replace(current, successor=entry.serial))
            known.certificates.append(entry)
            # First remembered, then handed out: whatever is out there can be revoked.
            ledger.write(self._file(entry), pem, ledger.PUBLIC)
            ledger.save(self._ledger, known)
        return Issued(entry, pem + self.pem)

    def _file(self, entry: Entry) -> Path:
        return self.directory / "certificates" / f"{entry.serial}.pem"

    def read(self, entry: Entry) -> x509.Certificate:
        """Return a certificate that was issued."""
        path = self._file(entry)
        try:
            return loaded(x509.load_pem_x509_certificate, path.read_bytes())
        except (OSError, ValueError) as error:
            raise AuthorityError(f"{path} cannot be read ({error}); issue a new certificate instead") from error

    def find(self, which: str) -> Entry:
        """Return the one valid certificate, without a successor, of a name or serial number.

        Args:
            which: The common name, or the serial number's first eight digits or more.

        Raises:
            AuthorityError: There is none, or there are several.
        """
        found = ledger.load(self._ledger).find(which)
        if not found:
            raise AuthorityError(f"no certificate of {which!r} was issued; see: anycore ca list")
        usable = [one for one in found if one.state(self._now()) == VALID and not one.successor] or found
        if len(usable) > 1:
            numbers = ", ".join(one.serial[:12] for one in usable)
            raise AuthorityError(
                f"there are several certificates of {which!r}; name one by its serial number: {numbers}"
            )
        return usable[0]

    def vouch(self, der: bytes) -> Entry:
        """Return what is remembered of a certificate that a peer has shown.

        Args:
            der: The certificate in DER form.

        Raises:
            AuthorityError: This authority has not issued it, or it is not valid any more.
        """
        try:
            shown = loaded(x509.load_der_x509_certificate, der)
            shown.verify_directly_issued_by(self.certificate)
        except (ValueError, TypeError, InvalidSignature) as error:
            raise AuthorityError("the certificate is not one of this authority; show one that it has issued") from error
        entry = next((one for one in self.entries() if one.serial == f"{shown.serial_number:x}"), None)
        if entry is None or not hmac.compare_digest(self.read(entry).public_bytes(Encoding.DER), der):
            raise AuthorityError("the certificate is not in the ledger of this authority; ask its operator")
        if entry.state(self._now()) != VALID:
            raise AuthorityError(f"the certificate of {entry.name} is {entry.state(self._now())}; ask for a new token")
        return entry

    def revoke(self, entry: Entry, reason: str = "unspecified", *, crl_days: int = CRL_DAYS) -> Entry:
        """Revoke a certificate, and renew the revocation list.

        Args:
            entry: The certificate.
            reason: Why; one of `REASONS`.
            crl_days: How long the new list is to be valid.

        Raises:
            AuthorityError: There is no such reason, or it was revoked before.
        """
        if reason not in building.REASONS:
            raise AuthorityError(f"there is no reason {reason!r}; choose one of {', '.join(building.REASONS)}")
        key = self.key  # before anything is written: the passphrase may be wrong
        with ledger.alone(self.directory):
            known = ledger.load(self._ledger)
            current = next((one for one in known.certificates if one.serial == entry.serial), None)
            if current is None or current.revoked is not None:
                what = "not in the ledger" if current is None else f"revoked since {current.revoked:%Y-%m-%d %H:%M}"
                raise AuthorityError(
                    f"the certificate {entry.serial[:12]} of {entry.name} is {what}; see: anycore ca list"
                )
            new = msgspec.structs.replace(current, revoked=self._now(), reason=reason)
            known.replace(current, new)
            self._write_crl(known, key, crl_days)
        return new

    def renew_crl(self, *, days: int = CRL_DAYS) -> datetime:
        """Write a new revocation list; return when the next is due.

        Args:
            days: How long it is to be valid.
        """
        key = self.key
        with ledger.alone(self.directory):
            return self._write_crl(ledger.load(self._ledger), key, days)

    def _write_crl(self, known: Ledger, key: PrivateKey, days: int) -> datetime:
        now = self._now()
        known.crl_number += 1
        until = min(now + timedelta(days=days), self.certificate.not_valid_after_utc)
        revoked = [
            (int(one.serial, 16), one.revoked, one.reason)
            for one in known.certificates
            if one.revoked is not None and one.until > now
        ]
        made = building.revocation_list(self.certificate, key, revoked, known.crl_number, now, until)
        ledger.save(self._ledger, known)
        ledger.write(self.directory / "crl.pem", made.public_bytes(Encoding.PEM), ledger.PUBLIC)
        return until

    def renew_authority(self, *, days: int = AUTHORITY_DAYS) -> None:
        """Write a new certificate of the authority itself, for the same name and key. What it has issued stays valid.

        Args:
            days: How long it is to be valid.
        """
        key, now = self.key, self._now()
        with ledger.alone(self.directory):
            made = building.authority_certificate(key, self.certificate.subject, now, now + timedelta(days=days))
            ledger.write(self.directory / "ca.pem", made.public_bytes(Encoding.PEM), ledger.PUBLIC)
        self.certificate = made
