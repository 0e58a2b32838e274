"""`anycore session`: the sessions of a server, in its store."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from anycore.cli.commands import Commands
from anycore.cli.exits import Exit
from anycore.cli.failures import Failure
from anycore.cli.store_options import store_of, store_options
from anycore.cli.text import printable

if TYPE_CHECKING:
    from anycore.identity.sessions.kept import Sessions
    from anycore.identity.sessions.record import Session


@click.group(cls=Commands)
def session() -> None:
    """List and end the sessions of callers that have logged in.

    They are in the store of the server, so this works while it runs, and while it does not.
    """


@session.command("list")
@click.option(
    "--of", "owner", default="", metavar="IDENTITY", help="Only those of a distinguished name, or of user:NAME."
)
@store_options
def list_(owner: str, config: str | None, store: str | None) -> None:
    """List the sessions: name, whose, from where, how they began, when they were used."""
    with _sessions(config, store) as sessions:
        found = sorted(sessions.all(), key=lambda one: (one.owner, one.began))
    for one in found:
        if not owner or one.owner == owner:
            where = one.address or "here"
            click.echo(printable(f"{one.name}  {one.owner}  from {where}  by {one.how}  used {_time(one.used)}"))


@session.command()
@click.argument("name")
@store_options
def show(name: str, config: str | None, store: str | None) -> None:
    """Show all that is kept of the session NAME; its secret is not."""
    with _sessions(config, store) as sessions:
        found = sessions.find(name)
    if found is None:
        raise _missing([name])
    for label, value in _rows(found):
        click.echo(printable(f"{label:<9}{value}"))


@session.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@store_options
def end(names: tuple[str, ...], config: str | None, store: str | None) -> None:
    """End sessions; running servers refuse them from the next call on."""
    with _sessions(config, store) as sessions:
        missing = [name for name in names if not sessions.end(name)]
    if missing:
        raise _missing(missing)


@session.command("end-all")
@click.option(
    "--of", "owner", default="", metavar="IDENTITY", help="Only those of a distinguished name, or of user:NAME."
)
@store_options
def end_all(owner: str, config: str | None, store: str | None) -> None:
    """End all sessions, or all of one identity, and print how many there were."""
    with _sessions(config, store) as sessions:
        click.echo(sessions.end_all(owner))


@contextlib.contextmanager
def _sessions(config: str | None, store: str | None) -> Iterator[Sessions]:
    from anycore.identity.sessions.kept import Sessions
    from anycore.store import namespace

    with store_of(config, store, "sessions") as (settings, found):
        yield Sessions(lambda: namespace(found, "sessions"), settings.sessions)


def _rows(one: Session) -> list[tuple[str, str]]:
    return [
        ("name", one.name),
        ("whose", one.owner),
        ("user", one.user),
        ("names", ", ".join(one.names)),
        ("from", one.address or "here"),
        ("began", f"{_time(one.began)} by {one.how}{' over TLS' if one.tls else ''}"),
        ("used", _time(one.used)),
        ("until", _time(one.until)),
    ]


def _missing(names: list[str]) -> Failure:
    return Failure(f"there is no session {', '.join(names)}; `anycore session list` lists those there are", Exit.FAULT)


def _time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
