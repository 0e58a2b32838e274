"""`anycore call`."""

from __future__ import annotations

import re
from typing import Any, Final

import click

from anycore.cli.failures import calling
from anycore.cli.options import SettingsCommand, settings_options
from anycore.cli.output import argument, as_json
from anycore.cli.remote import client, complete_method, suggesting, telling

_NUMBER: Final = re.compile(r"-\.?\d")
_SHIELD: Final = "\0"  # cannot occur in an argument of a process


class CallCommand(SettingsCommand):
    """A command that takes negative numbers as arguments, not as options."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the command line."""
        shielded = [_SHIELD + arg if _NUMBER.match(arg) else arg for arg in args]
        rest = super().parse_args(ctx, shielded)
        ctx.params = {name: _bare(value) for name, value in ctx.params.items()}
        return rest


def _bare(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_bare(item) for item in value)
    return value.removeprefix(_SHIELD) if isinstance(value, str) else value


@click.command(
    cls=CallCommand,
    epilog="""\b
Examples:
  anycore call http://127.0.0.1:6789 system.listMethods
  anycore call http://127.0.0.1:6789 thermostat.set 21.5
  anycore call jsonrpc+http://127.0.0.1:6789 thermostat.set --kw celsius=21.5
  anycore call rpyc://127.0.0.1:18812 thermostat.set 21.5
""",
)
@click.argument("url")
@click.argument("method", shell_complete=complete_method)
@click.argument("args", nargs=-1)
@settings_options("client")
@click.option("--kw", "named", multiple=True, metavar="NAME=VALUE", help="An argument by name; JSON-RPC and RPyC only.")
@click.option(
    "--raw/--json", "raw", default=False, help="Print strings and bytes as they are, or all as JSON, the default."
)
def call(
    url: str,
    method: str,
    args: tuple[str, ...],
    named: tuple[str, ...],
    config: str | None,
    *,
    raw: bool,
    **options: Any,
) -> None:
    """Call a method of a server and print its result.

    The scheme of URL chooses the wire: http:// and https:// are XML-RPC, jsonrpc+http:// and jsonrpc+https:// are
    JSON-RPC, rpyc:// and rpycs:// are RPyC, whose methods are those below conn.root; unix+http:///path/of/socket and
    unix+rpyc:///path/of/socket are Unix sockets.

    Each of ARGS is JSON if it can be read as JSON, else text: 5 is a number, '"5"' and five are strings. After --
    nothing is an option.

    The result is printed as JSON, bytes in base64, dates as ISO 8601. A fault is printed on standard error.
    """
    arguments = [argument(arg) for arg in args]
    keywords = dict(_named(item) for item in named)
    with client(url, config, options) as server, calling(), telling(server), suggesting(server, method):
        result = server.call(method, *arguments, **keywords)
        shown = (
            result if raw and isinstance(result, bytes | str) else as_json(result)
        )  # may ask an object of the server
    click.echo(shown, nl=not isinstance(shown, bytes))


def _named(item: str) -> tuple[str, Any]:
    name, sign, value = item.partition("=")
    if not sign or not name:
        message = f"expected NAME=VALUE, got {item!r}; write e.g. --kw celsius=21.5"
        raise click.BadParameter(message, param_hint="--kw")
    return name, argument(value)
