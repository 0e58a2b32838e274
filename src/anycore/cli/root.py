"""The command `anycore`: its subcommands, imported when they are wanted, and what happens to errors nobody else has caught.

Nothing but click is imported here, so that help and completion come at once.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from importlib import import_module
from typing import Any, Final

import click

from anycore.cli.exits import MEANINGS, Exit
from anycore.cli.failures import Failure

COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "serve": ("anycore.cli.serve:serve", "Serve plugins until told to stop."),
    "classic": ("anycore.cli.classic:classic", "Let RPyC's classic clients run any code in this process."),
    "ctl": ("anycore.cli.ctl:ctl", "Ask a running server how it is, or tell it what to do."),
    "systemd": ("anycore.cli.systemd:systemd", "Print a service unit and a socket unit of systemd for a server."),
    "call": ("anycore.cli.call:call", "Call a method of a server and print its result."),
    "methods": ("anycore.cli.methods:methods", "List the methods of a server, or describe one."),
    "shell": ("anycore.cli.shell:shell", "Call the methods of a server from a Python prompt."),
    "new": ("anycore.cli.new:new", "Make something new to start from."),
    "check": ("anycore.cli.check:check", "Check the configuration and the plugins without serving."),
    "ca": ("anycore.cli.ca:ca", "Run a private certificate authority, in a directory."),
    "enroll": ("anycore.cli.enroll:enroll", "Get a certificate for this machine, or renew it."),
    "acl": ("anycore.cli.acl:acl", "Explain and test who may call, read and write what."),
    "registry": ("anycore.cli.registry:registry", "Serve a registry of RPyC services, or ask one."),
    "passwd": ("anycore.cli.passwd:passwd", "Set the password of a user in a password file."),
    "token": ("anycore.cli.token:token", "Make, list and revoke bearer tokens."),
    "session": ("anycore.cli.session:session", "List and end the sessions of callers that have logged in."),
    "group": (
        "anycore.cli.group:group",
        "See and change virtual organisations: groups, their members, and who administers them.",
    ),
    "store": ("anycore.cli.store:store", "Look into the store of a server, change it, move it, keep it in order."),
    "config": ("anycore.cli.config:config", "Print the effective configuration, explained, as a TOML file."),
    "completion": ("anycore.cli.completion:completion", "Print the script that completes commands in a shell."),
}
_DEBUG: Final = "anycore.debug"


class Root(click.Group):
    """A group whose commands are imported when they are wanted."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names of the commands, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Return a command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        found: click.Command = getattr(import_module(module), attribute)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that is named, or say which was probably meant."""
        if args[0] not in COMMANDS and not args[0].startswith("-") and not ctx.resilient_parsing:
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            ctx.fail(f"No such command {args[0]!r}." + "".join(f" Did you mean {name!r}?" for name in near))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the exit codes."""
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(int(code)), text) for code, text in MEANINGS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what it raises becomes a message and an exit code."""
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")  # rather than fail on a letter the terminal lacks
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise click.exceptions.Exit(Exit.INTERRUPTED) from None
        except click.ClickException as error:
            if error.__cause__ is not None and debugging(ctx):
                traceback.print_exception(error.__cause__)
            raise
        except (click.Abort, click.exceptions.Exit):
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno == errno.EPIPE:
                raise
            if debugging(ctx):
                traceback.print_exception(error)
            message = f"{type(error).__name__}: {error}; this is a bug in Anycore: report it with the output of --debug"
            raise Failure(message, Exit.BUG) from error


def debugging(ctx: click.Context) -> bool:
    """Tell whether tracebacks are wanted: by `--debug`, or by ANYCORE_DEBUG."""
    return bool(ctx.meta.get(_DEBUG)) or os.environ.get("ANYCORE_DEBUG", "").lower() in ("1", "true", "yes", "on")


def show_tracebacks(ctx: click.Context) -> None:
    """Ask for the traceback of what ends the command, as `--debug` does.

    Args:
        ctx: The context of any command.
    """
    ctx.meta[_DEBUG] = True


def asked_for_tracebacks(ctx: click.Context) -> bool:
    """Tell whether `--debug` was given before the command."""
    return bool(ctx.meta.get(_DEBUG))


@click.group(cls=Root, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(package_name="anycore", prog_name="anycore", message="%(prog)s %(version)s")
@click.pass_context
def main(ctx: click.Context, *, debug: bool) -> None:
    """Anycore serves Python to a network: one plugin, callable over any wire, on any core."""
    if debug:
        show_tracebacks(ctx)
