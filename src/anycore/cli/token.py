"""`anycore token`: the bearer tokens of a server, in its store."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import click

from anycore.cli.exits import Exit
from anycore.cli.failures import Failure
from anycore.cli.options import SettingsCommand, load, settings_options
from anycore.cli.text import printable

if TYPE_CHECKING:
    from anycore.identity.tokens import Token, Tokens

_SECTIONS: Final = ("store",)
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DURATION: Final = re.compile(r"(\d+)([smhdw])\Z")


@click.group()
def token() -> None:
    """Make, list and revoke bearer tokens.

    A token lets a program call as a user without a password: with --token-file, with token= in Python, or in a header as
    `Authorization: Bearer ...`. Only its hash is kept, in the store of the server, which must be the same here as there: give the
    same configuration file.
    """


@token.command(
    cls=SettingsCommand,
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
    help="What may be called with it: a method, or the beginning of some, as in 'room.*'. All when left out.",
)
@click.option("--expires", metavar="TIME", help="How long it is good for: 30d, 12h, 15m; for ever when left out.")
@click.option("--note", default="", metavar="TEXT", help="What it is for.")
@settings_options(*_SECTIONS)
def create(
    user: str,
    groups: tuple[str, ...],
    scopes: tuple[str, ...],
    expires: str | None,
    note: str,
    config: str | None,
    **options: Any,
) -> None:
    """Make a token for USER and print it. It is shown this once and can be had nowhere again."""
    seconds = _seconds(expires) if expires else 0.0
    tokens = _tokens(config, options)
    try:
        text, made = tokens.create(user, groups=groups, scopes=scopes, seconds=seconds, note=note)
    except ValueError as error:
        raise Failure(str(error), Exit.USAGE) from error
    click.echo(text)
    click.echo(f"token {made.id} of {printable(user)}{_end(made)}", err=True)


@token.command("list", cls=SettingsCommand)
@settings_options(*_SECTIONS)
def list_(config: str | None, **options: Any) -> None:
    """List the tokens: id, user, groups, scopes, when they end, what they are for."""
    for one in sorted(_tokens(config, options), key=_order):
        parts = [one.id, one.user]
        parts += [f"groups {', '.join(one.groups)}"] if one.groups else []
        parts += [f"scopes {', '.join(one.scopes)}"] if one.scopes else []
        click.echo(printable("  ".join(parts) + _end(one) + (f"  {one.note}" if one.note else "")))


@token.command(cls=SettingsCommand)
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@settings_options(*_SECTIONS)
def revoke(ids: tuple[str, ...], config: str | None, **options: Any) -> None:
    """End tokens; running servers refuse them from the next call on."""
    tokens = _tokens(config, options)
    missing = [ident for ident in ids if not tokens.revoke(ident)]
    if missing:
        message = f"there is no token {', '.join(missing)}; `anycore token list` lists those there are"
        raise Failure(message, Exit.FAULT)


def _tokens(config: str | None, options: dict[str, Any]) -> Tokens:
    from anycore.identity.tokens import Tokens
    from anycore.server.storage import Storage
    from anycore.store import StoreError

    storage = Storage(load(config, options, sections=_SECTIONS))
    click.get_current_context().call_on_close(storage.close)
    try:
        return Tokens(storage.open())
    except StoreError as error:
        raise Failure(str(error), Exit.STARTUP) from error


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
