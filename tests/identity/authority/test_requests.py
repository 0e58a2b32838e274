from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from anycore.identity.authority import Authority, AuthorityError, Wanted, make_key, make_request
from anycore.identity.authority.names import subject
from anycore.identity.authority.reading import expiries
from anycore.identity.authority.requests import read_request

if TYPE_CHECKING:
    from pathlib import Path

REQUEST = make_request(make_key(), "machine")
DER = x509.load_pem_x509_csr(REQUEST).public_bytes(Encoding.DER)
EDITS = st.lists(st.tuples(st.integers(0, len(DER) - 1), st.integers(0, 255)), min_size=1, max_size=4)


def pem(der: bytes, kind: str) -> bytes:
    import base64

    body = base64.encodebytes(der).decode()
    return f"-----BEGIN {kind}-----\n{body}-----END {kind}-----\n".encode()


@settings(max_examples=200, deadline=None)
@given(EDITS)
def test_a_broken_request_is_refused_and_never_a_bug(edits: list[tuple[int, int]]) -> None:
    broken = bytearray(DER)
    for position, value in edits:
        broken[position] = value
    try:
        found = read_request(pem(bytes(broken), "CERTIFICATE REQUEST"))
    except AuthorityError:
        return
    assert found.public_bytes(Encoding.DER) == DER  # nothing was changed: any change breaks the signature


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400))
def test_rubbish_is_refused(data: bytes) -> None:
    for text in (data, pem(data, "CERTIFICATE REQUEST"), pem(data, "NEW CERTIFICATE REQUEST")):
        with pytest.raises(AuthorityError):
            read_request(text)
    for kind in ("CERTIFICATE", "X509 CRL"):
        with pytest.raises(AuthorityError, match=r"ca\.pem: what it holds cannot be read"):
            expiries(pem(data, kind), "ca.pem")
    assert expiries(b"rubbish", "x") == []


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("authority") / "ca", "Example CA")


def test_a_broken_certificate_is_vouched_for_by_nobody(authority: Authority) -> None:
    whole = authority.read(authority.issue(Wanted("ada")).entry).public_bytes(Encoding.DER)

    @settings(max_examples=200, deadline=None)
    @given(st.integers(0, len(whole) - 1), st.integers(1, 255))
    def change(position: int, by: int) -> None:
        broken = bytearray(whole)
        broken[position] = (broken[position] + by) % 256
        with pytest.raises(AuthorityError):
            authority.vouch(bytes(broken))

    change()


def test_what_a_request_asks_for_in_vain(authority: Authority, tmp_path: Path) -> None:
    """To be an authority, or to have names of kinds that are not looked at: of extensions, only host names and addresses count."""
    names = x509.SubjectAlternativeName([x509.DNSName("web.example.org"), x509.RFC822Name("root@example.org")])
    asking = (
        x509.CertificateSigningRequestBuilder(subject("web"))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(names, critical=False)
        .sign(make_key(), hashes.SHA256())
    )
    made = authority.read(authority.sign(asking.public_bytes(Encoding.PEM)).entry)
    assert not made.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    given_names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(given_names) == [x509.DNSName("web.example.org")]


def test_a_request_without_a_name_that_is_used_here(authority: Authority) -> None:
    for name, said in (
        (x509.Name([]), "has no common name"),
        (
            x509.Name([x509.NameAttribute(x509.OID_TITLE, "Dr"), x509.NameAttribute(x509.OID_COMMON_NAME, "ada")]),
            "has a part",
        ),
    ):
        asking = x509.CertificateSigningRequestBuilder(name).sign(make_key(), hashes.SHA256())
        with pytest.raises(AuthorityError, match=said):
            authority.sign(asking.public_bytes(Encoding.PEM))
