"""`anycore group`: the tree of groups of a server, in its store."""

from __future__ import annotations

import contextlib
import getpass
import os
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
    from anycore.access.groups.records import Part
    from anycore.access.groups.store import Groups


@click.group(
    cls=Commands,
    epilog="""\b
Examples:
  anycore group create physics --description 'all of us'
  anycore group add-member physics /DC=org/DC=example
  anycore group add-admin physics /DC=org/DC=example/CN=Alice
""",
)
def group() -> None:
    """See and change virtual organisations: groups, their members, and who administers them.

    This works on the store of the server, running or not, and may do everything. Over the network, where every caller may do what it
    administers: `anycore call URL group.add_member ...`.
    """


@group.command("list")
@click.argument("above", default="", metavar="[NAME]")
@store_options
def list_(above: str, config: str | None, store: str | None) -> None:
    """List the groups; with NAME, that one and those below it."""
    with _groups(config, store) as groups:
        for name in groups.names(above):
            click.echo(name)


@group.command()
@click.argument("name")
@store_options
def info(name: str, config: str | None, store: str | None) -> None:
    """Show what there is to know of the group NAME."""
    with _groups(config, store) as groups:
        record = groups.record(name)
        shown = [
            ("name", name),
            ("for", record.description),
            ("created", f"{_time(record.created)} by {record.by}"),
            ("members", str(record.member)),
            ("admins", str(record.admin)),
            ("below", str(len(groups.names(name)) - 1)),
        ]
    for label, value in shown:
        click.echo(printable(f"{label:<9}{value}"))


@group.command()
@click.argument("name")
@click.option("--description", default="", metavar="TEXT", help="What it is for.")
@store_options
def create(name: str, description: str, config: str | None, store: str | None) -> None:
    """Make the group NAME; one with a dot in its name is below another."""
    with _groups(config, store) as groups:
        groups.create(name, description, actor=_operator())


@group.command()
@click.argument("name")
@click.option("--recursive", is_flag=True, help="Delete those below it as well.")
@store_options
def delete(name: str, config: str | None, store: str | None, *, recursive: bool) -> None:
    """Delete the group NAME, and print what has gone."""
    with _groups(config, store) as groups:
        for gone in groups.delete(name, recursive=recursive, actor=_operator()):
            click.echo(gone)


@group.command()
@click.argument("name")
@click.argument("description")
@store_options
def describe(name: str, description: str, config: str | None, store: str | None) -> None:
    """Say what the group NAME is for."""
    with _groups(config, store) as groups:
        groups.describe(name, description, actor=_operator())


@group.command()
@click.argument("name")
@store_options
def members(name: str, config: str | None, store: str | None) -> None:
    """List the members that the group NAME has itself; those of groups above it are its members, too."""
    _list("member", name, config, store)


@group.command()
@click.argument("name")
@store_options
def admins(name: str, config: str | None, store: str | None) -> None:
    """List who administers the group NAME itself; who administers a group above it does so, too."""
    _list("admin", name, config, store)


@group.command("add-member")
@click.argument("name")
@click.argument("subjects", nargs=-1, required=True, metavar="SUBJECT...")
@store_options
def add_member(name: str, subjects: tuple[str, ...], config: str | None, store: str | None) -> None:
    """Add members to the group NAME: distinguished names, beginnings of them, or names such as user:bob."""
    with _groups(config, store) as groups:
        for subject in subjects:
            groups.add("member", name, subject, actor=_operator())


@group.command("remove-member")
@click.argument("name")
@click.argument("subjects", nargs=-1, required=True, metavar="SUBJECT...")
@store_options
def remove_member(name: str, subjects: tuple[str, ...], config: str | None, store: str | None) -> None:
    """Take members from the group NAME."""
    _remove("member", name, subjects, config, store)


@group.command("add-admin")
@click.argument("name")
@click.argument("subjects", nargs=-1, required=True, metavar="SUBJECT...")
@store_options
def add_admin(name: str, subjects: tuple[str, ...], config: str | None, store: str | None) -> None:
    """Let somebody administer the group NAME and all below it."""
    with _groups(config, store) as groups:
        for subject in subjects:
            groups.add("admin", name, subject, actor=_operator())


@group.command("remove-admin")
@click.argument("name")
@click.argument("subjects", nargs=-1, required=True, metavar="SUBJECT...")
@store_options
def remove_admin(name: str, subjects: tuple[str, ...], config: str | None, store: str | None) -> None:
    """Let somebody administer the group NAME no longer."""
    _remove("admin", name, subjects, config, store)


@group.command()
@click.argument("identity")
@store_options
def of(identity: str, config: str | None, store: str | None) -> None:
    """List the groups that IDENTITY is in: a distinguished name, or the name of a user."""
    from anycore.kernel.call import Identity

    dn = identity if identity.startswith("/") else ""
    who = Identity(identity.removeprefix("user:"), "certificate" if dn else "password", dn=dn)
    with _groups(config, store) as groups:
        for name in sorted(groups.reached("member", who)):
            click.echo(name)


@group.command()
@click.argument("above", default="", metavar="[NAME]")
@click.option(
    "--limit", type=click.IntRange(1), default=50, show_default=True, metavar="NUMBER", help="How many at most."
)
@store_options
def audit(above: str, limit: int, config: str | None, store: str | None) -> None:
    """Show who changed what and when, the last change first; with NAME, of that group and those below it."""
    with _groups(config, store) as groups:
        for one in groups.audit(above, limit=limit):
            click.echo(printable(f"{_time(one.time)}  {one.who}  {one.action}  {one.group}  {one.detail}".rstrip()))


def _list(part: Part, name: str, config: str | None, store: str | None) -> None:
    with _groups(config, store) as groups:
        for entry in groups.entries(part, name):
            click.echo(printable(entry.subject))


def _remove(part: Part, name: str, subjects: tuple[str, ...], config: str | None, store: str | None) -> None:
    with _groups(config, store) as groups:
        missing = [one for one in subjects if not groups.remove(part, name, one, actor=_operator())]
    if missing:
        command = "members" if part == "member" else "admins"
        message = f"{name} has none such of its own: {', '.join(missing)}; `anycore group {command} {name}` lists those it has"
        raise Failure(message, Exit.FAULT)


@contextlib.contextmanager
def _groups(config: str | None, store: str | None) -> Iterator[Groups]:
    from anycore.access.groups.store import Groups
    from anycore.access.groups.tree import GroupError
    from anycore.store import namespace

    with store_of(config, store, "groups") as (settings, found):
        try:
            groups = Groups(lambda: namespace(found, "groups"), settings.groups)
        except GroupError as error:
            raise Failure(f"admins in [groups]: {error}", Exit.CONFIGURATION) from error
        try:
            yield groups
        except GroupError as error:
            raise Failure(str(error), Exit.FAULT) from error


def _operator() -> str:
    try:
        return f"operator {getpass.getuser()}"
    except (KeyError, OSError):  # in a container, whose user may have no name
        return f"operator {os.getuid()}"


def _time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
