"""The XML-RPC names of Python types, as `system.methodSignature` gives them."""

from __future__ import annotations

import dataclasses
import enum
import types
import typing
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgspec

if TYPE_CHECKING:
    from anycore.kernel.method import Signature

ANY: Final = "any"
_SCALARS: Final = {
    bool: "boolean", int: "int", float: "double", str: "string", bytes: "base64", bytearray: "base64",
    datetime: "dateTime.iso8601", date: "string", time: "string", timedelta: "string", Decimal: "string", UUID: "string",
    type(None): "nil",
}  # fmt: skip


def signature_of(signature: Signature) -> list[list[str]]:
    """Return a method's signatures: one for each number of arguments that it takes.

    Args:
        signature: The method's signature. Parameters that only a name can give have no place here.
    """
    # A date is read as text, since the wire has none, and written as its midnight.
    returns = type_of(datetime if signature.returns is date else signature.returns)
    names = [type_of(parameter.annotation) for parameter in signature.positional]
    return [[returns, *names[:count]] for count in range(signature.least, len(names) + 1)]


def type_of(annotation: Any) -> str:
    """Return the XML-RPC type of an annotation; `any` where values of several types are possible.

    Args:
        annotation: A type, as in an annotation.
    """
    origin = typing.get_origin(annotation) or annotation
    if origin is typing.Annotated:
        return type_of(typing.get_args(annotation)[0])
    if isinstance(origin, typing.NewType):
        return type_of(origin.__supertype__)
    if origin in (typing.Union, types.UnionType):
        kinds = {type_of(part) for part in typing.get_args(annotation)} - {"nil"}
        return kinds.pop() if len(kinds) == 1 else ANY
    if origin is typing.Literal:
        kinds = {type_of(type(value)) for value in typing.get_args(annotation)}
        return kinds.pop() if len(kinds) == 1 else ANY
    if annotation is None:
        return "nil"
    return _of_class(origin) if isinstance(origin, type) else ANY


def _of_class(cls: type) -> str:
    if cls in _SCALARS:
        return _SCALARS[cls]
    if issubclass(cls, enum.Enum):
        kinds = {type_of(type(member.value)) for member in cls}
        return kinds.pop() if len(kinds) == 1 else ANY
    if dataclasses.is_dataclass(cls) or issubclass(cls, (msgspec.Struct, Mapping)):
        return "struct"
    for base, name in _SCALARS.items():
        if issubclass(cls, base):
            return name
    return "array" if issubclass(cls, (Sequence, AbstractSet)) else ANY
