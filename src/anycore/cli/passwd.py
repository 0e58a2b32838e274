"""`anycore passwd`: the users of a password file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from anycore.cli.credentials import ask, first_line
from anycore.cli.exits import Exit
from anycore.cli.failures import Failure
from anycore.cli.text import printable

if TYPE_CHECKING:
    from anycore.identity.password_file import User


@click.command(
    epilog="""\b
Examples:
  anycore passwd passwords alice
  anycore passwd passwords bob --group ops --group night
  anycore passwd passwords alice --verify
  anycore passwd passwords --list
""",
)
@click.argument("file", type=click.Path(dir_okay=False))
@click.argument("user", required=False)
@click.option("--delete", "action", flag_value="delete", help="Remove the user.")
@click.option(
    "--verify", "action", flag_value="verify", help="Tell whether a password is the user's: the exit code is 1 if not."
)
@click.option("--list", "action", flag_value="list", help="List the users and their groups.")
@click.option("--group", "groups", multiple=True, metavar="NAME", help="A group of the user, in place of those before.")
@click.option("--keep-password", is_flag=True, help="Change the groups only.")
@click.option(
    "--password-file", metavar="FILE", help="Take the password from the first line of FILE; - for standard input."
)
def passwd(
    file: str,
    user: str | None,
    action: str | None,
    groups: tuple[str, ...],
    password_file: str | None,
    *,
    keep_password: bool,
) -> None:
    """Set the password of a user in a password file.

    The file is made if there is none. A running server reads it again when it has changed. The password is asked for; hashes are argon2id.
    """
    from anycore.identity.password_file import PasswordFileError

    path = Path(file)
    try:
        if action == "list":
            _list(path)
            return
        if user is None:
            message = "whose password? Give a USER, or --list"
            raise click.UsageError(message)
        if action == "delete":
            _delete(path, user)
        elif action == "verify":
            _verify(path, user, password_file)
        else:
            _set(path, user, groups, password_file, keep=keep_password)
    except PasswordFileError as error:
        raise Failure(str(error), Exit.CONFIGURATION) from error


def _set(path: Path, user: str, groups: tuple[str, ...], password_file: str | None, *, keep: bool) -> None:
    from anycore.identity.hashing import hash_password
    from anycore.identity.password_file import User, check_group, check_name, check_password, editing

    check_name(user)
    wanted = tuple(map(check_group, groups))
    hashed = ""
    if not keep:
        password = first_line(password_file) if password_file else ask(f"New password of {user}", confirm=True)
        hashed = hash_password(check_password(password))
    with editing(path) as users:
        before = users.get(user)
        if keep and before is None:
            raise _no_user(path, user)
        kept = before.groups if before is not None and not groups else wanted
        users[user] = User(user, hashed or (before.hash if before is not None else ""), kept)
    click.echo(f"{printable(user)} is {'changed' if before is not None else 'added'} in {path}")


def _delete(path: Path, user: str) -> None:
    from anycore.identity.password_file import editing

    with editing(path) as users:
        if users.pop(user, None) is None:
            raise _no_user(path, user)
    click.echo(f"{printable(user)} is removed from {path}")


def _verify(path: Path, user: str, password_file: str | None) -> None:
    from anycore.identity.hashing import Checker
    from anycore.identity.password_file import read_users

    known = read_users(path).get(user)
    password = first_line(password_file) if password_file else ask(f"Password of {user}")
    if not Checker().check(known.hash if known is not None else None, password):
        message = f"this is not the password of {user} in {path}"
        raise Failure(message, Exit.FAULT)
    click.echo(f"this is the password of {printable(user)}")


def _list(path: Path) -> None:
    from anycore.identity.password_file import read_users

    for user in sorted(read_users(path).values(), key=_name):
        click.echo(printable(f"{user.name}  {', '.join(user.groups)}".rstrip()))


def _name(user: User) -> str:
    return user.name


def _no_user(path: Path, user: str) -> Failure:
    message = f"{path} has no user {user!r}; `anycore passwd {path} --list` lists those there are"
    return Failure(message, Exit.CONFIGURATION)
