"""`anycore ca`: the group, and its `init`; others live in `ca_issuing` and `ca_keeping`, those of tokens in `ca_tokens`."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from anycore.cli.commands import Commands
from anycore.cli.exits import Exit
from anycore.cli.failures import Failure

if TYPE_CHECKING:
    from anycore.identity.authority import Authority, Wanted

COMMANDS: Final[dict[str, str]] = {
    "init": "anycore.cli.ca:init",
    "issue": "anycore.cli.ca_issuing:issue",
    "sign": "anycore.cli.ca_issuing:sign",
    "renew": "anycore.cli.ca_issuing:renew",
    "revoke": "anycore.cli.ca_keeping:revoke",
    "list": "anycore.cli.ca_keeping:list_certificates",
    "crl": "anycore.cli.ca_keeping:crl",
    "token": "anycore.cli.ca_tokens:token",
}
PASSPHRASE: Final = "ANYCORE_CA_PASSPHRASE"  # noqa: S105 - the name of a variable
_F = TypeVar("_F", bound=Callable[..., Any])
_FILE: Final = click.Path(dir_okay=False, path_type=Path)
_FOLDER: Final = click.Path(file_okay=False, path_type=Path)


class AuthorityGroup(Commands):
    """A group whose commands are imported when they are wanted."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names of the commands, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Return a command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].partition(":")
        found: click.Command = getattr(import_module(module), attribute)
        return found


@click.group(cls=AuthorityGroup)
def ca() -> None:
    """Run a private certificate authority, in a directory.

    It certifies servers, people and machines. Whoever has its private key, ca.key, is the authority: keep it where few can read it,
    or encrypt it.
    """


directory_option = click.option(
    "-d",
    "--directory",
    type=_FOLDER,
    default=Path("ca"),
    show_default=True,
    metavar="DIR",
    help="Where the authority lives.",
)
passphrase_option = click.option(
    "--passphrase-file", type=_FILE, metavar="FILE",
    help=f"Read the passphrase of the authority's key from this file.  [default: ${PASSPHRASE}, or ask]",
)  # fmt: skip
days_option = click.option(
    "--days",
    type=click.IntRange(1, 36_500),
    default=365,
    show_default=True,
    metavar="NUMBER",
    help="How long it is to be valid.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def names_options(command: _F) -> _F:
    """Give a command the options that say for whom a certificate is."""
    for option in (
        click.option("--usage", "usages", type=click.Choice(["server", "client"]), multiple=True,
                     help="What it may be used for; may be repeated.  [default: server with --dns or --ip, else client]"),
        click.option("--ip", "ips", multiple=True, metavar="ADDRESS", help="An address of the server; may be repeated."),
        click.option("--dns", multiple=True, metavar="NAME", help="A host name of the server; may be repeated."),
        click.option("--user", default="", metavar="NAME", help="The user that a person is known as: the part UID of the subject."),
        click.option("--dn", "parts", multiple=True, metavar="PART", help="A part of the subject, such as O=Example; may be repeated."),
    ):  # fmt: skip
        command = option(command)
    return command


def wanted(
    name: str, *, parts: tuple[str, ...], user: str, dns: tuple[str, ...], ips: tuple[str, ...], usages: tuple[str, ...]
) -> Wanted:
    """Return what a certificate is to say, of what `names_options` gave; the common name may be left out where there is another one."""
    from anycore.identity.authority import Wanted

    found = name or user or next(iter((*dns, *ips)), "")
    if not found:
        raise click.UsageError("nobody is named; give --dns or --ip for a server, --cn or --user for a client")
    more = (f"UID={user}",) if user else ()
    return Wanted(found, (*parts, *more), dns, ips, usages or (("server",) if dns or ips else ("client",)))


@contextlib.contextmanager
def telling() -> Iterator[None]:
    """Turn what an authority cannot do into a failure of the command."""
    from anycore.identity.authority import AuthorityError

    try:
        yield
    except AuthorityError as error:
        raise Failure(str(error), Exit.CONFIGURATION) from error


def opened(directory: Path, passphrase_file: Path | None = None) -> Authority:
    """Return the authority of a directory.

    Raises:
        AuthorityError: There is none.
    """
    from anycore.identity.authority import Authority

    return Authority(directory, lambda: passphrase(passphrase_file))


def passphrase(file: Path | None, *, new: bool = False) -> str:
    """Return the passphrase of an authority's key: from a file, from the environment, or from whoever sits at the terminal.

    Args:
        file: The file, or None.
        new: Whether it is a new one, which is asked for twice.

    Raises:
        Failure: There is none.
    """
    if file is not None:
        try:
            return file.read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise Failure(f"the passphrase cannot be read from {file}: {error}", Exit.CONFIGURATION) from error
    if os.environ.get(PASSPHRASE):
        return os.environ[PASSPHRASE]
    if not sys.stdin.isatty():
        raise Failure(
            f"the authority's key needs a passphrase, and nobody can be asked; give --passphrase-file, or set {PASSPHRASE}",
            Exit.CONFIGURATION,
        )
    found: str = click.prompt("Passphrase of the authority's key", hide_input=True, confirmation_prompt=new, err=True)
    return found


@ca.command()
@click.argument("directory", type=_FOLDER, default=Path("ca"), metavar="[DIR]")
@click.option("--name", default="Anycore CA", show_default=True, metavar="NAME", help="The authority's common name.")
@click.option(
    "--dn", "parts", multiple=True, metavar="PART", help="A part of its name, such as O=Example; may be repeated."
)
@click.option(
    "--days",
    type=click.IntRange(1, 36_500),
    default=3650,
    show_default=True,
    metavar="NUMBER",
    help="How long it is to be valid.",
)
@click.option(
    "--key",
    "kind",
    type=click.Choice(["p256", "p384", "rsa"]),
    default="p256",
    show_default=True,
    help="The kind of its key.",
)
@click.option(
    "--encrypt", is_flag=True, help="Encrypt its key with a passphrase; --passphrase-file and the variable do so, too."
)
@passphrase_option
def init(
    *,
    directory: Path,
    name: str,
    parts: tuple[str, ...],
    days: int,
    kind: str,
    encrypt: bool,
    passphrase_file: Path | None,
) -> None:
    """Make a new authority in DIR: ca unless named.

    The fingerprint that is printed is what new machines know the authority by: see anycore enroll.
    """
    from anycore.identity.authority import Authority

    encrypted = encrypt or passphrase_file is not None or bool(os.environ.get(PASSPHRASE))
    secret = passphrase(passphrase_file, new=True) if encrypted else ""
    with telling():
        made = Authority.create(directory, name, parts=parts, days=days, kind=kind, passphrase=secret)
    click.echo(f"The authority {name} is in {directory}, valid until {made.certificate.not_valid_after_utc:%Y-%m-%d}.")
    click.echo(f"  {directory / 'ca.pem'}   its certificate: for whoever is to trust it")
    click.echo(f"  {directory / 'crl.pem'}  its revocation list: for servers")
    click.echo(f"  {directory / 'ca.key'}   its private key{', encrypted' if encrypted else ''}: for nobody")
    click.echo(f"fingerprint {made.fingerprint}")
