"""A group of commands whose list says of each command all of its first sentence."""

from __future__ import annotations

import click

_WHOLE = 1000


class Commands(click.Group):
    """A group whose help is wrapped, where click would end each line in dots."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands."""
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.get_short_help_str(_WHOLE)) for name, command in found if command])
