"""`anycore ca token`: one-time tokens for new machines, in the store of the server that enrols them."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from anycore.cli.ca import directory_option, json_option, names_options, opened, telling, wanted
from anycore.cli.commands import Commands
from anycore.cli.exits import Exit
from anycore.cli.failures import Failure
from anycore.cli.text import printable

if TYPE_CHECKING:
    from anycore.identity.authority.invitations import Invitations

_UNITS: Final = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_TIME: Final = re.compile(r"(\d{1,9})([smhd]?)\Z")
_config_option = click.option(
    "-c",
    "--config",
    metavar="FILE",
    help="The configuration file of the server.  [default: $ANYCORE_CONFIG, or anycore.toml if there is one]",
)
_store_option = click.option("--store", metavar="URL", help="The store of the server.  [default: as configured]")


@click.group(cls=Commands)
def token() -> None:
    """Make, list and withdraw the one-time tokens by which new machines get a certificate."""


@token.command()
@click.argument("name")
@click.option(
    "--ttl", default="24h", show_default=True, metavar="TIME", help="How long it may be used: 90s, 30m, 24h, 7d."
)
@click.option(
    "--url", default="https://SERVER:PORT", metavar="URL", help="The server, for the command that is printed."
)
@names_options
@directory_option
@_config_option
@_store_option
def create(
    *, name: str, ttl: str, url: str, directory: Path, config: str | None, store: str | None, **names: Any
) -> None:
    """Make a token for a certificate with the common name NAME, and print the command for the new machine.

    What the certificate says is settled here: the machine brings its key, and no names.
    """
    with telling():
        fingerprint = opened(directory).fingerprint
        with _invitations(config, store) as invitations:
            made = invitations.create(wanted(name, **names), _seconds(ttl))
    click.echo(f"anycore enroll {url} --token {made} --fingerprint {fingerprint}")


@token.command("list")
@_config_option
@_store_option
@json_option
def list_tokens(*, config: str | None, store: str | None, as_json: bool) -> None:
    """List the tokens that can be used. Only their hashes are kept, by the beginning of which they are named."""
    with _invitations(config, store) as invitations:
        found = invitations.entries()
    if as_json:
        from anycore.cli.output import as_json as text

        rows = [
            {
                "id": digits,
                "name": one.wanted.name,
                "usages": one.wanted.usages,
                "expires": datetime.fromtimestamp(one.expires, UTC),
            }
            for digits, one in found
        ]
        click.echo(text(rows))
        return
    for digits, one in found:
        until = datetime.fromtimestamp(one.expires, UTC)
        click.echo(
            printable(f"{digits}  {one.wanted.name}  {', '.join(one.wanted.usages)}  until {until:%Y-%m-%d %H:%M} UTC")
        )


@token.command()
@click.argument("which", metavar="NAME | ID")
@_config_option
@_store_option
def withdraw(*, which: str, config: str | None, store: str | None) -> None:
    """Make tokens useless: those for the common name NAME, or the one that the list calls ID."""
    with _invitations(config, store) as invitations:
        gone = invitations.withdraw(which)
    if not gone:
        raise Failure(f"there is no token {which!r}; see: anycore ca token list", Exit.CONFIGURATION)
    for one in gone:
        click.echo(printable(f"the token for {one.wanted.name} is withdrawn"))


@contextlib.contextmanager
def _invitations(config: str | None, store: str | None) -> Iterator[Invitations]:
    from anycore.cli.options import load
    from anycore.identity.authority.invitations import Invitations
    from anycore.settings.store import store_url
    from anycore.store import StoreError, open_store

    settings = load(config, {"server__store": store}, sections=("server", "store"))
    url = store_url(settings)
    if url.startswith("memory:"):
        raise Failure(
            "a store in memory: lasts no longer than this command; give --store lmdb:PATH, as the server has it",
            Exit.CONFIGURATION,
        )
    try:
        with open_store(url) as found:
            yield Invitations(found)
    except StoreError as error:
        raise Failure(str(error), Exit.CONFIGURATION) from error


def _seconds(text: str) -> float:
    found = _TIME.match(text)
    if found is None or not int(found[1]):
        raise click.BadParameter(f"{text!r} is no time; write e.g. 24h, or 30m", param_hint="--ttl")
    return int(found[1]) * _UNITS[found[2]]
