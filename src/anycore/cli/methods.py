"""`anycore methods`, for any server that describes its methods: as OpenRPC, or else as XML-RPC introspection does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from anycore.cli.failures import calling
from anycore.cli.options import SettingsCommand, settings_options
from anycore.cli.remote import client, complete_method, suggesting
from anycore.cli.text import printable

if TYPE_CHECKING:
    from anycore.cli.remote import Server

_NAMES = {"integer": "int", "number": "float", "string": "str", "boolean": "bool", "null": "None", "object": "dict"}


@click.command(cls=SettingsCommand)
@click.argument("url")
@click.argument("name", required=False, shell_complete=complete_method)
@settings_options("client")
def methods(url: str, name: str | None, config: str | None, **options: Any) -> None:
    """List the methods of a server, or describe one.

    Without NAME all are listed with their signatures; with the name of a plugin, its methods; with that of a method, it is described.
    URL is that of `anycore call`.
    """
    with client(url, config, options) as server, calling(), suggesting(server, name or ""):
        described = _openrpc(server)
        below = [] if name is None or name in described else _below(server, name)
        text = server.help(name) if name is not None and not below else ""
        for known in sorted(server.methods()) if name is None else below or [name]:
            signatures = [known + described[known]] if known in described else _classic(server, known)
            click.echo(printable("\n".join(signatures)))
        if text:
            click.echo("\n" + "\n".join(f"    {line}".rstrip() for line in printable(text).splitlines()))


def _below(server: Server, name: str) -> list[str]:
    """Return the methods of a plugin, if it is the name of one; none when the server does not list its methods."""
    from anycore.clients import Fault

    try:
        return sorted(known for known in server.methods() if known.startswith(f"{name}."))
    except Fault:
        return []


def _openrpc(server: Server) -> dict[str, str]:
    """Return the signatures that the server's OpenRPC document gives; none when it has no such document."""
    from anycore.clients import Fault

    try:
        document = server.call("rpc.discover")
        return {method["name"]: _signature(method) for method in document["methods"]}
    except (Fault, AttributeError, KeyError, TypeError):
        return {}  # no such method, or something else under that name


def _signature(method: dict[str, Any]) -> str:
    parameters = [_parameter(parameter) for parameter in method.get("params", ())]
    result = _type(method.get("result", {}).get("schema", {}))
    return f"({', '.join(parameters)})" + (f" -> {result}" if result else "")


def _parameter(parameter: dict[str, Any]) -> str:
    schema = parameter.get("schema", {})
    kind = _type(schema)
    text = str(parameter["name"]) + (f": {kind}" if kind else "")
    if parameter.get("required"):
        return text
    return f"{text} = {json.dumps(schema['default']) if 'default' in schema else '...'}"


def _type(schema: dict[str, Any]) -> str:
    """Return a JSON Schema in short, in the words of Python; an empty string for one that takes anything."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "enum" in schema:
        return " | ".join(json.dumps(value) for value in schema["enum"])
    if "anyOf" in schema:
        return " | ".join(found for found in map(_type, schema["anyOf"]) if found)
    kind = schema.get("type", "")
    if isinstance(kind, list):
        return " | ".join(_NAMES.get(str(one), str(one)) for one in kind)
    if kind == "array":
        several = schema.get("prefixItems")
        if isinstance(several, list):
            return f"tuple[{', '.join(_type(one) or 'Any' for one in several)}]"
        items = schema.get("items")
        inner = _type(items) if isinstance(items, dict) else ""
        return f"list[{inner}]" if inner else "list"
    if kind == "object":
        values = schema.get("additionalProperties")
        inner = _type(values) if isinstance(values, dict) else ""
        return f"dict[str, {inner}]" if inner else "dict"
    return _NAMES.get(kind, str(kind))


def _classic(server: Server, name: str) -> list[str]:
    """Return a line for each signature that system.methodSignature gives: type of the result, then of the parameters."""
    from anycore.clients import Fault

    try:
        signatures = server.signature(name)
    except Fault:
        return [name]
    if not isinstance(signatures, list):
        return [name]
    return [f"{name}({', '.join(map(str, one[1:]))}) -> {one[0]}" for one in signatures if one]
