"""The OpenRPC document of a server (spec.open-rpc.org, version 1.3.2), made from the methods' annotations."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anycore.kernel.method import Method, Parameter

_TEMPLATE: Final = "#/components/schemas/{name}"


def document(methods: Sequence[Method], version: str) -> dict[str, Any]:
    """Make the OpenRPC document.

    Args:
        methods: What to describe.
        version: The version of the API; the server's own.
    """
    components: dict[str, Any] = {}
    described = [_method(method, name, components) for method in methods for name in (method.name, *method.aliases)]
    return {
        "openrpc": "1.3.2",
        "info": {"title": "Anycore", "version": version},
        "methods": described,
        "components": {"schemas": components},
    }


def _method(method: Method, name: str, components: dict[str, Any]) -> dict[str, Any]:
    signature = method.signature
    parameters = [parameter for parameter in signature.parameters if not parameter.kind.startswith("rest")]
    lines = method.doc.splitlines()
    described: dict[str, Any] = {
        "name": name,
        "params": [_parameter(parameter, components) for parameter in parameters],
        "result": {"name": "result", "schema": _schema(signature.returns, components)},
        "paramStructure": _structure(parameters),
        "tags": [{"name": method.plugin}],
    }
    if lines:
        described["summary"] = lines[0]
        described["description"] = method.doc
    return described


def _structure(parameters: Sequence[Parameter]) -> str:
    if any(parameter.kind == "keyword" for parameter in parameters):
        return "by-name"
    return "by-position" if any(parameter.positional_only for parameter in parameters) else "either"


def _parameter(parameter: Parameter, components: dict[str, Any]) -> dict[str, Any]:
    schema = _schema(parameter.annotation, components)
    if not parameter.required:
        with suppress(
            TypeError
        ):  # a default that JSON has no value for is left out; the parameter is optional all the same
            schema = {**schema, "default": msgspec.to_builtins(parameter.default)}
    return {"name": parameter.name, "required": parameter.required, "schema": schema}


def _schema(annotation: Any, components: dict[str, Any]) -> dict[str, Any]:
    if annotation is Any:
        return {}
    try:
        (schema,), found = msgspec.json.schema_components([annotation], ref_template=_TEMPLATE)
    except (TypeError, NotImplementedError):
        return {}  # a type that JSON Schema cannot describe: anything goes, as far as the document knows
    components.update(found)
    return schema
