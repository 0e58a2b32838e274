"""`anycore ca revoke`, `list` and `crl`: what looks after certificates that were made."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from anycore.cli.ca import directory_option, json_option, opened, passphrase_option, telling
from anycore.cli.text import printable

if TYPE_CHECKING:
    from anycore.identity.authority import Entry

_REASONS: Final = (
    "unspecified",
    "key-compromise",
    "affiliation-changed",
    "superseded",
    "cessation-of-operation",
    "privilege-withdrawn",
)


@click.command()
@click.argument("which", metavar="NAME | SERIAL")
@directory_option
@click.option(
    "--reason",
    type=click.Choice(_REASONS),
    default="unspecified",
    show_default=True,
    help="Why, for the revocation list.",
)
@passphrase_option
def revoke(*, which: str, directory: Path, reason: str, passphrase_file: Path | None) -> None:
    """Revoke a certificate, and write a new revocation list.

    NAME is the common name; where there are several certificates of it, give the serial number, or its first eight digits.
    Servers that watch crl.pem refuse the certificate within seconds. Connections that it has opened stay until they end.
    """
    with telling():
        authority = opened(directory, passphrase_file)
        entry = authority.revoke(authority.find(which), reason)
    click.echo(printable(f"{entry.subject} ({entry.serial[:12]}) is revoked; {directory / 'crl.pem'} says so"))


@click.command("list")
@directory_option
@click.option("--all", "everything", is_flag=True, help="Those that were revoked, have expired or were renewed, too.")
@json_option
def list_certificates(*, directory: Path, everything: bool, as_json: bool) -> None:
    """List the certificates that were made, those that end first at the beginning."""
    now = datetime.now(UTC)
    with telling():
        entries = sorted(opened(directory).entries(), key=lambda entry: entry.until)
    shown = [entry for entry in entries if everything or (entry.state(now) == "valid" and not entry.successor)]
    if as_json:
        from anycore.cli.output import as_json as text

        click.echo(text([_row(entry, now) for entry in shown]))
        return
    rows = [("serial", "until", "state", "usage", "subject", "names"), *(_cells(entry, now) for entry in shown)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _cells(entry: Entry, now: datetime) -> tuple[str, ...]:
    state = entry.state(now) + (", renewed" if entry.successor else "")
    names = " ".join(entry.names)
    return entry.serial[:12], f"{entry.until:%Y-%m-%d}", state, "+".join(entry.usages), printable(entry.subject), names


def _row(entry: Entry, now: datetime) -> dict[str, Any]:
    import msgspec

    return {**msgspec.structs.asdict(entry), "state": entry.state(now)}


@click.command()
@directory_option
@click.option(
    "--days",
    type=click.IntRange(1, 3650),
    default=90,
    show_default=True,
    metavar="NUMBER",
    help="How long it is to be valid.",
)
@passphrase_option
def crl(*, directory: Path, days: int, passphrase_file: Path | None) -> None:
    """Write a new revocation list.

    A list that has expired is believed by nobody, and servers that have been given one then refuse every client: write a new one in
    time. `anycore ca renew` does so, too.
    """
    with telling():
        until = opened(directory, passphrase_file).renew_crl(days=days)
    click.echo(f"{directory / 'crl.pem'} is valid until {until:%Y-%m-%d}")
