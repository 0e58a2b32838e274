"""What the commands that talk to a server sign in with. Secrets come from files, the environment or a prompt, never from the command line."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from anycore.cli.exits import Exit
from anycore.cli.failures import Failure

if TYPE_CHECKING:
    from anycore.settings.tables import ClientSettings

PASSWORD: Final = "ANYCORE_PASSWORD"  # noqa: S105 - the name of a variable
TOKEN: Final = "ANYCORE_TOKEN"  # noqa: S105 - as above
_STANDARD_INPUT: Final = "-"


def of_client(settings: ClientSettings) -> tuple[tuple[str, str] | None, str]:
    """Return name and password, or else a token; neither where nothing says so.

    Args:
        settings: The table `[client]`.

    Raises:
        Failure: A file cannot be read, or there is nobody to ask.
    """
    if settings.user and settings.token_file:
        message = "a user and a token file are given; leave one of them out"
        raise Failure(message, Exit.CONFIGURATION)
    if settings.password_file and not settings.user:
        message = "a password file is given and no user; add --user NAME, or `user` below [client]"
        raise Failure(message, Exit.CONFIGURATION)
    if settings.user:
        return (settings.user, _password(settings)), ""
    if settings.token_file:
        return None, first_line(settings.token_file)
    return None, os.environ.get(TOKEN, "")


def _password(settings: ClientSettings) -> str:
    if settings.password_file:
        return first_line(settings.password_file)
    if PASSWORD in os.environ:
        return os.environ[PASSWORD]
    return ask(f"Password of {settings.user}")


def ask(prompt: str, *, confirm: bool = False) -> str:
    """Ask for a password at the terminal.

    Args:
        prompt: What for.
        confirm: Whether to ask twice.

    Raises:
        Failure: There is no terminal.
    """
    if not sys.stdin.isatty():
        message = f"there is no terminal to ask for a password; write it to a file, or to {PASSWORD} in the environment"
        raise Failure(message, Exit.USAGE)
    found: str = click.prompt(prompt, hide_input=True, confirmation_prompt=confirm, err=True)
    return found


def first_line(file: str) -> str:
    """Return the first line of a file with a secret.

    Args:
        file: The file; - for standard input.

    Raises:
        Failure: It cannot be read, or is empty.
    """
    try:
        text = sys.stdin.readline() if file == _STANDARD_INPUT else Path(file).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        message = f"{file} cannot be read: {reason}; its first line must be the secret"
        raise Failure(message, Exit.CONFIGURATION) from error
    lines = text.splitlines()
    if not lines or not lines[0]:
        message = f"{file} is empty; its first line must be the secret"
        raise Failure(message, Exit.CONFIGURATION)
    return lines[0]
