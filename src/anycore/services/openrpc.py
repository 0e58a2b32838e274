"""The OpenRPC document of a server (spec.open-rpc.org, version 1.3.2), made from the methods' annotations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from anycore.wire import jsonvalue

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from anycore.kernel.method import Method, Parameter

_TEMPLATE: Final = "#/components/schemas/{name}"


class _Schemas:
    """The JSON schemas of types. They are made in one go, so that two types of one name are told apart.

    Args:
        annotations: The types. Those that JSON Schema cannot describe have the schema of anything.
    """

    def __init__(self, annotations: Iterable[Any]) -> None:
        described = [annotation for annotation in annotations if _can_be_described(annotation)]
        self.components: dict[str, Any] = {}
        self._of: dict[int, dict[str, Any]] = {}
        try:
            self._add(described)
        except KeyError:  # two types of one name in one module, made by a function: not even msgspec tells those apart
            for annotation in described:
                self._add([annotation])

    def _add(self, annotations: list[Any]) -> None:
        schemas, components = msgspec.json.schema_components(annotations, ref_template=_TEMPLATE)
        self.components.update(components)
        self._of.update({id(one): schema for one, schema in zip(annotations, schemas, strict=True)})

    def of(self, annotation: Any) -> dict[str, Any]:
        """Return the schema of a type."""
        return self._of.get(id(annotation), {})


def document(methods: Sequence[Method], version: str) -> dict[str, Any]:
    """Make the OpenRPC document.

    Args:
        methods: What to describe.
        version: The version of the API; the server's own.
    """
    signatures = [method.signature for method in methods]
    annotations = [parameter.annotation for signature in signatures for parameter in signature.parameters]
    schemas = _Schemas([*annotations, *(signature.returns for signature in signatures)])
    described = [_method(method, name, schemas) for method in methods for name in (method.name, *method.aliases)]
    return {
        "openrpc": "1.3.2",
        "info": {"title": "Anycore", "version": version},
        "methods": described,
        "components": {"schemas": schemas.components},
    }


def _method(method: Method, name: str, schemas: _Schemas) -> dict[str, Any]:
    signature = method.signature
    parameters = [parameter for parameter in signature.parameters if not parameter.kind.startswith("rest")]
    lines = method.doc.splitlines()
    described: dict[str, Any] = {
        "name": name,
        "params": [_parameter(parameter, schemas) for parameter in parameters],
        "result": {"name": "result", "schema": schemas.of(signature.returns)},
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


def _parameter(parameter: Parameter, schemas: _Schemas) -> dict[str, Any]:
    schema = schemas.of(parameter.annotation)
    if not parameter.required:
        schema = {**schema, **_default(parameter.default)}
    return {"name": parameter.name, "required": parameter.required, "schema": schema}


def _default(value: Any) -> dict[str, Any]:
    """Return the member of a schema that tells a default; none if JSON has no value for it, such as an infinity."""
    try:
        default = msgspec.to_builtins(value)
        jsonvalue.encode(default)
    except Exception:  # noqa: BLE001 - to read the value may run its own code; the parameter is optional all the same
        return {}
    return {"default": default}


def _can_be_described(annotation: Any) -> bool:
    if annotation is Any:
        return False  # the schema of anything is what it gets without
    try:
        msgspec.json.schema_components([annotation])
    except Exception:  # noqa: BLE001 - an annotation is an arbitrary expression
        return False
    return True
