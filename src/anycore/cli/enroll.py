"""`anycore enroll`: a machine gets its certificate with a one-time token, or renews the one that it has."""

from __future__ import annotations

import hmac
import ssl
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from anycore.cli.ca import telling
from anycore.cli.ca_issuing import write
from anycore.cli.exits import Exit
from anycore.cli.failures import Failure, calling
from anycore.cli.text import printable

if TYPE_CHECKING:
    from cryptography import x509

    from anycore.identity.authority.material import PrivateKey

_TIMEOUT: Final = 60.0
_OURS: Final = "client.pem"
_THEIRS: Final = "ca.pem"


@click.command()
@click.argument("url", metavar="URL")
@click.option("--token", metavar="TOKEN", help="The one-time token; - to read it from standard input.")
@click.option(
    "--fingerprint", metavar="SHA256", help="The fingerprint of the authority, as anycore ca init printed it."
)
@click.option("--renew", is_flag=True, help="Renew the certificate that this machine has, by showing it.")
@click.option(
    "--within", type=click.IntRange(0), default=30, show_default=True, metavar="DAYS",
    help="With --renew: do nothing as long as it is valid for longer than that.",
)  # fmt: skip
@click.option(
    "-o", "--output", type=click.Path(file_okay=False, path_type=Path), default=Path(), show_default="the current one", metavar="DIR",
    help="The directory with client.pem and ca.pem.",
)  # fmt: skip
@click.option(
    "--key",
    "kind",
    type=click.Choice(["p256", "p384", "rsa"]),
    default="p256",
    show_default=True,
    help="The kind of key.",
)
def enroll(
    *, url: str, token: str | None, fingerprint: str | None, renew: bool, within: int, output: Path, kind: str
) -> None:
    """Get a certificate for this machine, or renew it.

    It comes from the server at URL, which must begin with https://. The private key is made here and never leaves. The token is sent only to a server with a certificate of the authority that has the
    fingerprint. Written are client.pem, with the private key, the certificate and that of the authority, and ca.pem with the latter.

    With --renew, a new key and certificate take the place of those in client.pem. Fit for a daily job.
    """
    if "https" not in url.partition("://")[0].lower().split("+"):
        raise click.BadParameter(f"{url} does not use TLS; write https://", param_hint="URL")
    if "@" in url.partition("://")[2].partition("/")[0]:  # they would be sent to a server that nobody knows yet
        raise click.BadParameter("there is no user and password for this; leave them out", param_hint="URL")
    with telling():
        if renew:
            _renew(url, output, within, kind)
            return
        if not token or not fingerprint:
            raise click.UsageError("--token and --fingerprint are both needed; `anycore ca token create` prints them")
        _enroll(url, sys.stdin.readline().strip() if token == "-" else token, fingerprint, output, kind)  # noqa: S105


def _enroll(url: str, token: str, fingerprint: str, output: Path, kind: str) -> None:
    from anycore.identity.authority import make_key, make_request

    authority = _authority(url, fingerprint)
    ours = output / _OURS
    if ours.exists():
        raise Failure(f"{ours} exists; renew it with --renew, or remove it", Exit.CONFIGURATION)
    key = make_key(kind)
    write(output / _THEIRS, authority)  # before the token is used up: it shows that we may write here
    chain = _call(url, "enrolment.enroll", _trusting(authority), token, make_request(key, "new machine").decode())
    _keep(output, key, chain, authority)


def _authority(url: str, fingerprint: str) -> bytes:
    """Return the authority's certificate in PEM form, as the server tells it to anybody, if it has the fingerprint."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.serialization import Encoding

    from anycore.identity.authority.material import fingerprint as shown
    from anycore.identity.authority.material import parse_fingerprint

    expected = parse_fingerprint(fingerprint)
    stranger = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    stranger.check_hostname = False  # nothing is believed that comes this way but what has the fingerprint
    stranger.verify_mode = ssl.CERT_NONE
    found = _certificates(_call(url, "enrolment.authority", stranger), url)[0]
    if not hmac.compare_digest(found.fingerprint(hashes.SHA256()), expected):
        raise Failure(
            f"the authority of {url} has the fingerprint {shown(found)}, and not {fingerprint}: somebody is between you and"
            " the server, or the fingerprint is that of another authority; the token was not sent",
            Exit.TRANSPORT,
        )
    return found.public_bytes(Encoding.PEM)


def _renew(url: str, output: Path, within: int, kind: str) -> None:
    from anycore.identity.authority import make_key, make_request

    ours, theirs = output / _OURS, output / _THEIRS
    try:
        current = _certificates(ours.read_text(encoding="ascii"), str(ours))[0]
        authority = theirs.read_bytes()
        context = _trusting(authority)
        context.load_cert_chain(ours)
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(
            f"{ours} and {theirs} cannot be read ({error}); enroll first, with --token", Exit.CONFIGURATION
        ) from error
    until = current.not_valid_after_utc
    if until > datetime.now(UTC) + timedelta(days=within):
        click.echo(f"{ours} is valid until {until:%Y-%m-%d}; nothing to do")
        return
    key = make_key(kind)
    _keep(output, key, _call(url, "enrolment.renew", context, make_request(key, "known machine").decode()), authority)


def _call(url: str, method: str, context: ssl.SSLContext, *args: str) -> str:
    from anycore.clients import connect

    with calling(), connect(url, context=context, timeout=_TIMEOUT) as client:
        return str(client.call(method, *args))


def _trusting(authority: bytes) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=authority.decode("ascii"))
    return context


def _certificates(pem: str, where: str) -> list[x509.Certificate]:
    from anycore.identity.authority import AuthorityError
    from anycore.identity.authority.reading import certificates

    try:
        found = certificates(pem.encode())
    except ValueError as error:
        raise AuthorityError(f"{where}: the certificate cannot be read ({error})") from error
    if not found:
        raise AuthorityError(f"{where}: there is no certificate in PEM form")
    return found


def _keep(output: Path, key: PrivateKey, chain: str, authority: bytes) -> None:
    """Write what the server has answered, if it is a certificate of the authority for our key. One file, so that both change at once."""
    from cryptography.exceptions import InvalidSignature

    from anycore.identity.authority import private_pem
    from anycore.identity.authority.names import slashes

    path = output / _OURS
    made = _certificates(chain, "the server's answer")[0]
    try:
        made.verify_directly_issued_by(_certificates(authority.decode("ascii"), _THEIRS)[0])
        fits = made.public_key() == key.public_key()
    except (ValueError, TypeError, InvalidSignature):
        fits = False
    if not fits:
        raise Failure(
            "the server's answer is no certificate of its authority for our key; ask its operator", Exit.TRANSPORT
        )
    write(path, private_pem(key) + chain.encode(), private=True)
    click.echo(printable(f"{path}: {slashes(made.subject)}, until {made.not_valid_after_utc:%Y-%m-%d}"))
