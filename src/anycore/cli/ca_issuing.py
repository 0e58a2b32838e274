"""`anycore ca issue`, `sign` and `renew`: what makes certificates."""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from anycore.cli.ca import days_option, directory_option, names_options, opened, passphrase_option, telling, wanted
from anycore.cli.exits import Exit
from anycore.cli.failures import Failure
from anycore.cli.text import printable

if TYPE_CHECKING:
    from anycore.identity.authority import Authority, Entry, Issued

_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._@+-]+")
_output_option = click.option(
    "-o", "--output", type=click.Path(file_okay=False, path_type=Path), default=Path(), show_default="the current one", metavar="DIR",
    help="The directory to write to.",
)  # fmt: skip
_name_option = click.option(
    "--cn", "name", default="", metavar="NAME", help="The common name.  [default: --user, --dns or --ip]"
)


@click.command()
@directory_option
@_name_option
@names_options
@days_option
@click.option(
    "--key",
    "kind",
    type=click.Choice(["p256", "p384", "rsa"]),
    default="p256",
    show_default=True,
    help="The kind of key.",
)
@_output_option
@click.option("--force", is_flag=True, help="Write over files that are there.")
@passphrase_option
def issue(
    *,
    directory: Path,
    name: str,
    days: int,
    kind: str,
    output: Path,
    force: bool,
    passphrase_file: Path | None,
    **names: Any,
) -> None:
    """Make a key and a certificate: NAME.key and NAME.pem.

    For a server, give its host names and addresses: anycore ca issue --dns server.example.org --ip 192.0.2.7. For a person or a
    machine that calls: anycore ca issue --cn "Ada Lovelace" --user ada --dn O=Example. With --usage server --usage client it is for both.
    """
    with telling():
        about = wanted(name, **names).check()
        authority = opened(directory, passphrase_file)
        certificate, key = (output / f"{file_name(about.name)}.{kind}" for kind in ("pem", "key"))
        for path in (certificate, key):
            if path.exists() and not force:
                raise Failure(f"{path} exists; give --force to write over it, or another --output", Exit.CONFIGURATION)
        issued = authority.issue(about, days=days, kind=kind)
        write(key, issued.key, private=True)
        write(certificate, issued.chain)
    _tell(issued, f"{certificate} and {key}")


@click.command()
@click.argument("request", type=click.Path(allow_dash=True, path_type=Path), metavar="REQUEST")
@directory_option
@_name_option
@names_options
@days_option
@_output_option
@passphrase_option
def sign(
    *, request: Path, directory: Path, name: str, days: int, output: Path, passphrase_file: Path | None, **names: Any
) -> None:
    """Make a certificate for a certificate signing request in PEM form, or - for standard input: NAME.pem.

    It says what the request says: look at that first, with openssl req -noout -text. With any of --cn, --dn, --user, --dns and --ip it
    says what they say, and of the request only the key counts.
    """
    try:
        pem = sys.stdin.buffer.read() if str(request) == "-" else request.read_bytes()
    except OSError as error:
        raise Failure(f"{request} cannot be read: {error.strerror}", Exit.CONFIGURATION) from error
    with telling():
        usages = names.pop("usages")
        about = wanted(name, usages=usages, **names) if name or any(names.values()) else None
        issued = opened(directory, passphrase_file).sign(pem, about, usages=usages, days=days)
        path = output / f"{file_name(issued.entry.name)}.pem"
        write(path, issued.chain)
    _tell(issued, str(path))


@click.command()
@click.argument("which", nargs=-1, metavar="[NAME | SERIAL]...")
@directory_option
@click.option(
    "--within", type=click.IntRange(0), default=30, show_default=True, metavar="DAYS",
    help="Where nothing is named: renew what ends within so many days.",
)  # fmt: skip
@click.option(
    "--authority", "itself", is_flag=True, help="Renew the certificate of the authority itself, for ten years."
)
@days_option
@_output_option
@passphrase_option
def renew(
    *,
    which: tuple[str, ...],
    directory: Path,
    within: int,
    itself: bool,
    days: int,
    output: Path,
    passphrase_file: Path | None,
) -> None:
    """Make certificates again, for the same names and keys: NAME.pem.

    Without a name, those that end soon are renewed, but for those that machines got by anycore enroll, which renew theirs themselves;
    and the revocation list is. The old ones stay valid for as long as they were. Fit for a daily job.
    """
    with telling():
        authority = opened(directory, passphrase_file)
        if itself:
            authority.renew_authority()
            until = authority.certificate.not_valid_after_utc
            click.echo(f"{directory / 'ca.pem'} is valid until {until:%Y-%m-%d}; fingerprint {authority.fingerprint}")
            return
        found = [authority.find(one) for one in which] if which else _ending(authority, within)
        for entry in found:
            issued = authority.renew(entry, days=days)
            path = output / f"{file_name(entry.name)}.pem"
            write(path, issued.chain)
            _tell(issued, str(path))
        if not which:
            until = authority.renew_crl()
            nothing = "" if found else f"no certificate ends within {within} days; "
            click.echo(f"{nothing}{directory / 'crl.pem'} is valid until {until:%Y-%m-%d}")


def _ending(authority: Authority, within: int) -> list[Entry]:
    now = datetime.now(UTC)
    return [
        entry
        for entry in authority.entries()
        if entry.state(now) == "valid"
        and not entry.successor
        and entry.made_by != "enrolment"
        and entry.until <= now + timedelta(days=within)
    ]


def file_name(name: str) -> str:
    """Return the name of a file for a common name: `*.example.org` and `../x` are no names of files."""
    return _UNSAFE.sub("_", name).lstrip(".") or "certificate"


def write(path: Path, data: bytes, *, private: bool = False) -> None:
    """Write a file whole, or leave the old one.

    Args:
        path: The file; its directory is made if it is not there.
        data: What is to be in it.
        private: Whether only its owner may read it.
    """
    from anycore.identity.authority import AuthorityError, ledger

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AuthorityError(f"{path.parent} cannot be made: {error.strerror}; choose another directory") from error
    ledger.write(path, data, ledger.PRIVATE if private else ledger.PUBLIC)


def _tell(issued: Issued, where: str) -> None:
    entry = issued.entry
    click.echo(printable(f"{entry.subject}, for {' and '.join(entry.usages)}, until {entry.until:%Y-%m-%d}: {where}"))
