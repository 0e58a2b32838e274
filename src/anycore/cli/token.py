"""`anycore token`: the bearer tokens of a server, in its store."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import click

from anycore.cli.commands import Commands
from anycore.cli.exits import Exit
from anycore.cli.failures import Failure
from anycore.cli.text import printable

if TYPE_CHECKING:
    from anycore.identity.tokens import Token, Tokens

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DURATION: Final = re.compile(r"(\d{1,9})([smhdw])\Z")
_config_option = click.option(
    "-c",
    "--config",
    metavar="FILE",
    help="The configuration file of the server.  [default: $ANYCORE_CONFIG, or anycore.toml if there is one]",
)
_store_option = click.option("--store", metavar="URL", help="The store of the server.  [default: as configured]")


@click.group(cls=Commands)
def token() -> None:
    """Make, list and revoke bearer tokens.

    A token lets a program call as a user without a password: with --token-file, with token= in Python, or in a header as
    `Authorization: Bearer ...`. Only its hash is kept, in the store of the server.
    """


@token.command(
    epilog="""\b
Examples:
  anycore token create probe --scope 'thermostat.*' --expires 90d
  anycore token create alice --group ops --note 'laptop' > token.txt
""",
)
@click.argument("user")
@click.option("--group", "groups", multiple=True, metavar="NAME", help="A group of whoever calls with it.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    metavar="PATTERN",
    help="What may be called with it: a pattern as in rules, such as 'room.*'. All when left out.",
)
@click.option("--expires", metavar="TIME", help="How long it is good for: 30d, 12h, 15m; for ever when left out.")
@click.option("--note", default="", metavar="TEXT", help="What it is for.")
@_config_option
@_store_option
def create(
    user: str,
    groups: tuple[str, ...],
    scopes: tuple[str, ...],
    expires: str | None,
    note: str,
    config: str | None,
    store: str | None,
) -> None:
    """Make a token for USER and print it. It is shown this once and can be had nowhere again."""
    seconds = _seconds(expires) if expires else 0.0
    try:
        with _tokens(config, store) as tokens:
            text, made = tokens.create(user, groups=groups, scopes=scopes, seconds=seconds, note=note)
    except ValueError as error:
        raise Failure(str(error), Exit.USAGE) from error
    click.echo(text)
    click.echo(f"token {made.id} of {printable(user)}{_end(made)}", err=True)


@token.command("list")
@_config_option
@_store_option
def list_(config: str | None, store: str | None) -> None:
    """List the tokens: id, user, groups, scopes, when they end, what they are for."""
    with _tokens(config, store) as tokens:
        found = sorted(tokens, key=_order)
    for one in found:
        parts = [one.id, one.user]
        parts += [f"groups {', '.join(one.groups)}"] if one.groups else []
        parts += [f"scopes {', '.join(one.scopes)}"] if one.scopes else []
        click.echo(printable("  ".join(parts) + _end(one) + (f"  {one.note}" if one.note else "")))


@token.command()
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@_config_option
@_store_option
def revoke(ids: tuple[str, ...], config: str | None, store: str | None) -> None:
    """End tokens; running servers refuse them from the next call on."""
    with _tokens(config, store) as tokens:
        missing = [ident for ident in ids if not tokens.revoke(ident)]
    if missing:
        message = f"there is no token {', '.join(missing)}; `anycore token list` lists those there are"
        raise Failure(message, Exit.FAULT)


@contextlib.contextmanager
def _tokens(config: str | None, store: str | None) -> Iterator[Tokens]:
    from anycore.cli.options import load
    from anycore.identity.tokens import Tokens
    from anycore.settings.store import store_url
    from anycore.store import StoreError, open_store

    settings = load(config, {"server__store": store}, sections=("server", "store"))
    try:
        with open_store(store_url(settings)) as found:
            yield Tokens(found)
    except StoreError as error:
        raise Failure(str(error), Exit.CONFIGURATION) from error


def _seconds(text: str) -> float:
    found = _DURATION.match(text)
    if found is None or not int(found[1]):
        message = f"expected a time such as 30d, 12h or 15m, got {text!r}"
        raise click.BadParameter(message, param_hint="--expires")
    return float(int(found[1]) * _UNITS[found[2]])


def _end(one: Token) -> str:
    return f"  until {datetime.fromtimestamp(one.expires, UTC):%Y-%m-%d %H:%M} UTC" if one.expires else ""


def _order(one: Token) -> tuple[str, float]:
    return one.user, one.created
